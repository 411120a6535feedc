"""What a run is made of: settings, rows, versions. Written before anything is asked or trained."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pgkd.runs.folder import as_json
from pgkd.tasks.classification.students.devices import described, place_of

if TYPE_CHECKING:
    from pgkd.config import Config
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.pool import Pool
    from pgkd.tasks.classification.data.assembly import Task

_FILES = ("train", "validation", "classes", "unlabelled")
_PACKAGES = (
    "pgkd", "numpy", "scikit-learn", "cleanlab", "rapidfuzz", "datasets", "pyarrow", "torch",
    "transformers", "accelerate", "tokenizers", "xllamacpp", "openai", "anthropic", "boto3",
)  # fmt: skip


def provenance(run: RunFolder, config: Config, task: Task) -> dict[str, str]:
    """What the run is made of, as files: their names and contents.

    Raises:
        StudentError: the device of the student is not here.
        MissingExtraError: the student needs an extra that is not installed.
    """
    rows = {
        "classes": [
            {"name": c.name, "description": c.description, "parent": c.parent}
            for c in task.taxonomy
        ],
        "train": [row.to_json() for row in task.train],
        "validation": [row.to_json() for row in task.validation],
        "warnings": list(task.warnings),
        "pool": _digest(task.pool),
    }
    return {
        "config.yaml": _resolved(config, run).to_yaml(),
        "environment.json": as_json({**environment(), **_place(config)}),
        "task.json": as_json(rows),
    }


def _place(config: Config) -> dict[str, str]:
    """The device and precision of a student that has a choice of them."""
    student = config.student
    return (
        described(place_of(student.device, student.precision)) if student.kind == "encoder" else {}
    )


def _digest(pool: Pool) -> dict[str, Any] | None:
    """What tells a pool from another one; None where there is none. It may be a hundred MB."""
    if not pool.texts:
        return None
    digest = hashlib.sha256()
    for text in pool.texts:
        digest.update(f"{text.id} {text.text}\n".encode())
    return {"texts": len(pool.texts), "sha256": digest.hexdigest()}


def _resolved(config: Config, run: RunFolder) -> Config:
    """The config with absolute paths, which mean the same from the run folder as from here."""
    paths = {name: getattr(config.data, name) for name in _FILES}
    found = {name: path.resolve() for name, path in paths.items() if path is not None}
    data = config.data.model_copy(update=found)
    return config.model_copy(update={"data": data, "out": run.path.resolve()})


def environment() -> dict[str, str | None]:
    """Versions that a result rests on; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {**versions, "platform": platform.platform(), "machine": platform.machine()}
