"""`pgkd doctor` and `pgkd models`: what is installed and downloaded on this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import typer
from typer import Argument, Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import clean, console, print_json, print_rows

_EXTRAS = {
    "local": ("xllamacpp",),
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "bedrock": ("boto3",),
    "train": ("torch", "transformers", "accelerate"),
    "data": ("datasets", "pyarrow"),
}
_ENDINGS = {"length": ", cut off at the token limit", "refusal": ", but is a refusal"}

models = typer.Typer(no_args_is_help=True)


def doctor(
    teacher: str = Option("local", help="Provider to ask one small question; 'none' asks none."),
    teacher_model: options.TeacherModel = None,
    base_url: str | None = Option(None, help="Endpoint of the provider."),
    as_json: options.Json = False,
) -> None:
    """Show what is installed and found, and ask the teacher one question as a run does."""
    from pgkd.runs.provenance import environment
    from pgkd.weights.fetch import cached
    from pgkd.weights.pins import catalogue

    paths = {weights.name: cached(weights.name) for weights in catalogue()}
    found: dict[str, Any] = {
        "versions": environment(),
        "cpus": os.cpu_count(),
        "device": _find_device(),
        "offline": os.environ.get("PGKD_OFFLINE") == "1",
        "weights": {name: str(path) if path else None for name, path in paths.items()},
        "teacher": None if teacher == "none" else _ask(teacher, teacher_model, base_url),
    }
    if as_json:
        print_json(found)
    else:
        _print_findings(found)
    if found["teacher"] is not None and "error" in found["teacher"]:
        raise typer.Exit(1)


def _find_device() -> dict[str, str] | None:
    """Where the encoder student would compute; None without its extra."""
    from pgkd.encoders.devices import find_device
    from pgkd.errors import MissingExtraError

    try:
        return find_device().describe()
    except MissingExtraError:
        return None


def _ask(provider: str, model: str | None, base_url: str | None) -> dict[str, Any]:
    """One small question in the form of a run's; missing weights are reported, not fetched."""
    from tempfile import TemporaryDirectory

    from pgkd.errors import PgkdError
    from pgkd.teachers import teacher_from
    from pgkd.usage import metered_teacher
    from pgkd.usage.ledger import Ledger
    from pgkd.weights.fetch import cached
    from pgkd.weights.pins import DEFAULT_TEACHER

    if provider == "local" and model is None and cached(DEFAULT_TEACHER) is None:
        return {"error": f"its weights are not here. Run: pgkd models pull {DEFAULT_TEACHER}"}
    settings = {"provider": provider, "model": model, "base_url": base_url}
    try:
        config = pgkd.Config.parse({"teacher": {**settings, "retries": 0, "cache": "off"}})
        with (
            TemporaryDirectory() as folder,
            Ledger(Path(folder) / "ledger.sqlite") as ledger,
            teacher_from(config) as teacher,
        ):
            return _read_answer(metered_teacher(config, teacher, ledger))
    except PgkdError as error:
        return {"error": str(error)}


def _read_answer(teacher: pgkd.Teacher) -> dict[str, Any]:
    """A teacher's answer to a question with a system message, a schema and sampling."""
    from pgkd.tasks.classification.prompts.labelling import label_request, read_labels
    from pgkd.teachers.base import Sampling

    classes = pgkd.Taxonomy.from_names(["question", "greeting"])
    request = label_request("When does the next train leave?", classes)
    sampling = Sampling(max_tokens=request.sampling.max_tokens, seed=0)
    reply = teacher.complete(replace(request, sampling=sampling, purpose="doctor"))
    if read_labels([reply], classes, scored=False)[0].label is None:
        ending = _ENDINGS.get(reply.finish_reason, "")
        return {"error": f"its answer names none of the classes{ending}: {reply.text[:300]!r}"}
    return {"model": reply.model, "answer": reply.text, "seconds": round(reply.seconds, 2)}


def _print_findings(found: dict[str, Any]) -> None:
    versions, weights = found["versions"], found["weights"]
    print_rows(
        "Installed", ("package", "version"),
        [(name, version or "not installed") for name, version in versions.items()],
    )  # fmt: skip
    print_rows(
        "Weights", ("name", "where"),
        [(name, path or f"not here: pgkd models pull {name}") for name, path in weights.items()],
    )  # fmt: skip
    shell = console()
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if versions.get(module, "") is None]
        if missing:
            shell.print(f"missing: {', '.join(missing)}. Run: pip install 'pgkd[{extra}]'")
    shell.print(f"{found['cpus']} CPUs" + ("; PGKD_OFFLINE=1" if found["offline"] else ""))
    if device := found["device"]:
        gpu = f", {device['gpu']}" if "gpu" in device else ""
        shell.print(
            f"The encoder student computes on {device['device']}{gpu}, in {device['precision']}"
        )
    if teacher := found["teacher"]:
        if "error" in teacher:
            shell.print(f"The teacher does not answer: {teacher['error']}")
        else:
            answer = clean(teacher["answer"], 300)
            shell.print(f"{teacher['model']}, {teacher['seconds']} s: ", answer, sep="")


@models.command("list")
def list_models(as_json: options.Json = False) -> None:
    """List the weights that pgkd knows, and which of them are here."""
    from pgkd.weights.fetch import cached
    from pgkd.weights.pins import catalogue

    found = [(weights, cached(weights.name)) for weights in catalogue()]
    if as_json:
        print_json(
            [
                {
                    "name": weights.name,
                    "kind": weights.kind,
                    "bytes": weights.size,
                    "licence": weights.licence,
                    "hub": weights.hub,
                    "about": weights.about,
                    "path": str(path) if path else None,
                }
                for weights, path in found
            ]
        )
        return
    rows = [
        (
            w.name, w.kind, f"{w.size / 1e6:,.0f} MB", w.licence,
            "here" if path else "not here", w.about,
        )
        for w, path in found
    ]  # fmt: skip
    print_rows("", ("name", "kind", "size", "licence", "in the cache", "about"), rows)


@models.command()
def pull(
    names: list[str] | None = Argument(None, help="Default: the default teacher and student."),
    source: str = Option("auto", help="auto, hub or mirror."),
) -> None:
    """Download weights into the cache, unless they are there."""
    from pgkd.weights.fetch import Source
    from pgkd.weights.fetch import pull as fetch
    from pgkd.weights.pins import DEFAULT_STUDENT, DEFAULT_TEACHER

    options.check_choice("source", source, get_args(Source))
    for name in names or (DEFAULT_TEACHER, DEFAULT_STUDENT):
        path = fetch(name, source)  # type: ignore[arg-type]  # checked above
        console().print(f"{name}: {path}", soft_wrap=True)


@models.command()
def path(name: str = Argument(help="A name from `pgkd models list`.")) -> None:
    """Print where weights are."""
    from pgkd.errors import WeightsError
    from pgkd.weights.fetch import cached

    found = cached(name)
    if found is None:
        raise WeightsError(f"'{name}' is not in the cache. Run: pgkd models pull {name}")
    print(found)
