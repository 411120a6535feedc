"""`pgkd doctor`: what is installed, which weights are here, does the teacher answer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pgkd.teachers.base import Teacher

Option = typer.Option

_EXTRAS = {
    "local": ("xllamacpp",),
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "bedrock": ("boto3",),
    "train": ("torch", "transformers", "accelerate"),
    "data": ("datasets", "pyarrow"),
}
_ENDS = {"length": ", cut off at its bound of tokens", "refusal": ", but is a refusal"}


def doctor(
    teacher: Annotated[
        str, Option(help="Provider to ask one small question; 'none' asks none.")
    ] = "local",
    teacher_model: Annotated[str | None, Option(help="Model name or GGUF path.")] = None,
    base_url: Annotated[str | None, Option(help="Endpoint of the provider.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what is installed and found, and ask the teacher one question as a run asks."""
    from pgkd.apps.cli.console import print_json
    from pgkd.runs.provenance import environment

    found: dict[str, Any] = {
        "versions": environment(),
        "cpus": os.cpu_count(),
        "device": _device(),
        "offline": os.environ.get("PGKD_OFFLINE") == "1",
        "weights": _weights(),
        "teacher": None if teacher == "none" else _ask(teacher, teacher_model, base_url),
    }
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["teacher"] is not None and "error" in found["teacher"]:
        raise typer.Exit(1)


def _weights() -> dict[str, str | None]:
    from pgkd.weights.cache import cached
    from pgkd.weights.pins import catalogue

    return {entry.name: (str(p) if (p := cached(entry.name)) else None) for entry in catalogue()}


def _device() -> dict[str, str] | None:
    """Where the encoder student would compute; None where it cannot, for want of its extra."""
    from pgkd.errors import MissingExtraError
    from pgkd.tasks.classification.students.devices import described, place_of

    try:
        return described(place_of())
    except MissingExtraError:
        return None


def _ask(provider: str, model: str | None, base_url: str | None) -> dict[str, Any]:
    """One small question in the form of a run's; missing weights are reported, not fetched."""
    from tempfile import TemporaryDirectory

    from pgkd.config import Config
    from pgkd.errors import PgkdError
    from pgkd.tasks.classification.assembly import employed, teacher_of
    from pgkd.usage.ledger import Ledger
    from pgkd.weights.cache import cached
    from pgkd.weights.pins import DEFAULT_TEACHER

    if provider == "local" and model is None and cached(DEFAULT_TEACHER) is None:
        return {"error": f"its weights are not here. Run: pgkd models pull {DEFAULT_TEACHER}"}
    settings = {"provider": provider, "model": model, "base_url": base_url}
    try:
        config = Config.parse({"teacher": {**settings, "retries": 0, "cache": "off"}})
        with (
            TemporaryDirectory() as folder,
            Ledger(Path(folder) / "ledger.sqlite") as ledger,
            teacher_of(config) as teacher,
        ):
            return _answered(employed(config, teacher, ledger))
    except PgkdError as error:
        return {"error": str(error)}


def _answered(teacher: Teacher) -> dict[str, Any]:
    """What a teacher makes of a question with a system message, a schema and a sampling."""
    from pgkd.tasks.classification.data.examples import Taxonomy
    from pgkd.tasks.classification.prompts.labelling import label_request, read_labels
    from pgkd.teachers.base import Reply, Sampling

    classes = Taxonomy.from_names(["question", "greeting"])
    asked = label_request("When does the next train leave?", classes)
    sampling = Sampling(max_tokens=asked.sampling.max_tokens, seed=0)
    reply: Reply = teacher.complete(replace(asked, sampling=sampling, purpose="doctor"))
    if read_labels([reply], classes, scored=False)[0].label is None:
        how = _ENDS.get(reply.finish_reason, "")
        return {"error": f"its answer names no class that was offered{how}: {reply.text[:300]!r}"}
    return {"model": reply.model, "answer": reply.text, "seconds": round(reply.seconds, 2)}


def _print(found: dict[str, Any]) -> None:
    from pgkd.apps.cli.console import clean, console, print_rows

    versions = found["versions"]
    packages = [(name, version or "not installed") for name, version in versions.items()]
    print_rows("Installed", ("package", "version"), packages)
    weights = [
        (name, path or f"not here: pgkd models pull {name}")
        for name, path in found["weights"].items()
    ]
    print_rows("Weights", ("name", "where"), weights)
    shell = console()
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if versions.get(module, "") is None]
        if missing:
            shell.print(f"missing: {', '.join(missing)}. Run: pip install 'pgkd[{extra}]'")
    shell.print(f"{found['cpus']} CPUs" + ("; PGKD_OFFLINE=1" if found["offline"] else ""))
    if device := found["device"]:
        told = [device["device"], *([device["gpu"]] if "gpu" in device else ())]
        shell.print(f"The encoder student computes on {', '.join(told)}, in {device['precision']}")
    if teacher := found["teacher"]:
        if "error" in teacher:
            shell.print(f"The teacher does not answer: {teacher['error']}")
        else:
            answer = clean(teacher["answer"], 300)
            shell.print(f"{teacher['model']}, {teacher['seconds']} s: ", answer, sep="")
