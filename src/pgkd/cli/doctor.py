"""`pgkd doctor`: what is installed, which weights are here, does the teacher answer."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

Option = typer.Option

_EXTRAS = {
    "local": ("xllamacpp",),
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "bedrock": ("boto3",),
    "train": ("torch", "transformers", "accelerate"),
    "data": ("datasets", "pyarrow"),
}


def doctor(
    teacher: Annotated[
        str, Option(help="Provider to ask for one sentence; 'none' asks none.")
    ] = "local",
    teacher_model: Annotated[str | None, Option(help="Model name or GGUF path.")] = None,
    base_url: Annotated[str | None, Option(help="Endpoint of the provider.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell what is installed and found, and ask the teacher for one sentence."""
    from pgkd.cli.console import print_json
    from pgkd.distill.provenance import environment

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
    from pgkd.weights import cached, catalogue

    return {entry.name: (str(p) if (p := cached(entry.name)) else None) for entry in catalogue()}


def _device() -> dict[str, str] | None:
    """Where the encoder student would compute; None where it cannot, for want of its extra."""
    from pgkd.errors import MissingExtraError
    from pgkd.student.devices import described, place_of

    try:
        return described(place_of())
    except MissingExtraError:
        return None


def _ask(provider: str, model: str | None, base_url: str | None) -> dict[str, Any]:
    """One sentence of the teacher; weights that are absent are told, not fetched."""
    from pgkd.config import Config
    from pgkd.distill.assembly import teacher_of
    from pgkd.errors import PgkdError
    from pgkd.teacher import Message, Request, Sampling
    from pgkd.weights import DEFAULT_TEACHER, cached

    if provider == "local" and model is None and cached(DEFAULT_TEACHER) is None:
        return {"error": f"its weights are not here. Run: pgkd models pull {DEFAULT_TEACHER}"}
    asked = Request(
        (Message("user", "In one short sentence: what is text classification?"),),
        sampling=Sampling(temperature=0.0, max_tokens=48, seed=0),
        purpose="doctor",
    )
    settings = {"provider": provider, "model": model, "base_url": base_url}
    try:
        with teacher_of(Config.parse({"teacher": settings})) as teacher:
            reply = teacher.complete(asked)
    except PgkdError as error:
        return {"error": str(error)}
    return {"model": reply.model, "answer": reply.text, "seconds": round(reply.seconds, 2)}


def _print(found: dict[str, Any]) -> None:
    from pgkd.cli.console import clean, console, print_rows

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
