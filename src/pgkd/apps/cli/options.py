"""Options that mirror pgkd.yaml: one that is not given leaves the file's setting alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pgkd.config import Config, merge
from pgkd.errors import ConfigError

OPTIONS = {
    "train": "data.train",
    "validation": "data.validation",
    "unlabelled": "data.unlabelled",
    "pool_share": "pool.share",
    "text_column": "data.text_column",
    "label_column": "data.label_column",
    "classes": "data.classes",
    "limit": "data.limit",
    "on_conflict": "data.on_conflict",
    "student": "student.kind",
    "encoder": "student.encoder",
    "recipe": "student.recipe",
    "teacher": "teacher.provider",
    "teacher_model": "teacher.model",
    "base_url": "teacher.base_url",
    "mode": "guidance.mode",
    "instructions": "guidance.instructions",
    "class_list": "class_list",
    "written_weight": "written_weight",
    "exam": "exam",
    "texts_per_class": "texts_per_class",
    "rounds": "rounds",
    "samples": "samples",
    "patience": "patience",
    "cache": "teacher.cache",
    "concurrency": "teacher.concurrency",
    "batch": "teacher.batch",
    "budget_usd": "budget.usd",
    "budget_tokens": "budget.tokens",
    "budget_calls": "budget.calls",
    "seed": "seed",
    "track": "track",
    "out": "out",
}
"""Name of each command-line option, and the setting that it overrides."""


def resolve(config: Path | None, threads: int | None, **options: Any) -> Config:
    """The settings of a run: the file's, overridden by the options that were given.

    Args:
        config: a pgkd.yaml; None takes ``pgkd.yaml`` of this folder where no training file is
            given and there is one.
        threads: CPU threads of student and teacher both.
        options: values by the names of `OPTIONS`; None where an option was not given.
    """
    overrides: dict[str, Any] = {}
    for name, value in options.items():
        if value is not None and value != []:  # an option that may be given often is a list
            overrides = merge(overrides, _nested(OPTIONS[name], value))
    if threads is not None:
        both = {"student": {"threads": threads}, "teacher": {"threads": threads}}
        overrides = merge(overrides, both)
    here = Path("pgkd.yaml")
    if config is None and options.get("train") is None and here.exists():
        config = here
    return Config.from_yaml(config, overrides) if config else Config.parse(overrides)


def check_writable(path: Path) -> None:
    """See, before the work, that a file or folder can be written or made.

    Raises:
        ConfigError: the folder that is to hold it is read-only, or is a file.
    """
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if there != path and not there.is_dir():
        raise ConfigError(f"{path} cannot be made: {there} is no folder.")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{there} cannot be written to: choose another place for {path}.")


def _nested(path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {head: _nested(rest, value)} if rest else {head: value}
