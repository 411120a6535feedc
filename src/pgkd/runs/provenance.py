"""What a run is made of: settings, rows, versions. Written before anything is asked or trained."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pgkd.runs.files import as_json
from pgkd.tasks import make_task

if TYPE_CHECKING:
    from pgkd.config import Config
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Dataset

_PACKAGES = (
    "pgkd", "numpy", "scikit-learn", "cleanlab", "rapidfuzz", "datasets", "pyarrow", "torch",
    "transformers", "accelerate", "tokenizers", "xllamacpp", "openai", "anthropic", "boto3",
)  # fmt: skip


def provenance(run: RunFolder, config: Config, dataset: Dataset) -> dict[str, str]:
    """What the run is made of, as files: their names and contents.

    Raises:
        StudentError: the device of the student is not here.
        MissingExtraError: the student needs an extra that is not installed.
    """
    place = make_task(config.task).environment(config)
    return {
        "config.yaml": _resolved(config, run).to_yaml(),
        "environment.json": as_json({**environment(), **place}),
        "task.json": as_json(dataset.to_json()),
    }


def _resolved(config: Config, run: RunFolder) -> Config:
    """The config with absolute paths, which mean the same from the run folder as from here."""
    paths = {
        name: value.resolve()
        for name, value in dict(config.data).items()
        if isinstance(value, Path)
    }
    data = config.data.model_copy(update=paths)
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
