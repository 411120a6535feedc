"""Options that several commands share, and settings made of a pgkd.yaml and of options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

import pgkd
from pgkd.errors import ConfigError

DATA, STUDENT, TEACHER, ROUNDS, OUTPUT = (
    f"Advanced: {group}" for group in ("data", "student", "teacher", "rounds", "output")
)
"""Panels of `pgkd distill --help`, below the options that most people need."""

Run = Annotated[Path, Argument(help="Run folder.")]
RunOrStudent = Annotated[Path, Argument(help="Run folder, or the folder of a saved student.")]
ExportPath = Annotated[Path, Argument(help="Export, or a run folder that has one.")]
Json = Annotated[bool, Option("--json", help="Print as JSON.")]
Which = Annotated[str, Option(help="Student of the run: best, reviewed, last or first.")]
TestData = Annotated[Path, Option(help="Labelled rows that the run has not seen.")]
TextColumn = Annotated[str, Option(help="Column of the text.")]
LabelColumn = Annotated[str, Option(help="Column of the class.")]
AbstainBelow = Annotated[
    float | None, Option(min=0, max=1, help="Flag answers that are less probable than this.")
]
CascadeConfig = Annotated[Path | None, Option(help="pgkd.yaml of the teacher; default: the run's.")]
CascadeLedger = Annotated[
    Path | None, Option(help="Calls of the cascade; default: cascade.sqlite of the run.")
]
Teacher = Annotated[str | None, Option(help="Provider: local, openai, anthropic, ...")]
TeacherModel = Annotated[str | None, Option(help="Model name or GGUF path.")]
BudgetUsd = Annotated[str | None, Option(help="Spend at most so many US dollars.")]


def advanced(panel: str, description: str, *names: str, default: Any = None) -> Any:
    """An option in a panel of its own, as the default of a parameter."""
    return Option(default, *names, help=description, rich_help_panel=panel)


_teacher = partial(Option, rich_help_panel=TEACHER)
BaseUrl = Annotated[str | None, _teacher(help="Endpoint of the provider.")]
Cache = Annotated[
    str | None, _teacher(help="Replies that other runs paid for: auto, on, off, read, refresh.")
]
Concurrency = Annotated[int | None, _teacher(help="Concurrent calls to the teacher.")]
BudgetTokens = Annotated[int | None, _teacher(help="Use at most so many tokens.")]
BudgetCalls = Annotated[int | None, _teacher(help="Make at most so many calls.")]

SETTINGS = {
    name: f"{section}{name}"
    for section, names in {
        "": "task label_names synthetic_weight exam texts_per_class rounds samples patience seed "
        "track out",
        "data.": "train validation unlabelled text_column label_column classes limit on_conflict",
        "student.": "encoder recipe",
        "teacher.": "base_url cache concurrency batch",
        "guidance.": "mode instructions",
    }.items()
    for name in names.split()
} | {
    "student": "student.kind",
    "teacher": "teacher.provider",
    "teacher_model": "teacher.model",
    "pool_share": "pool.share",
    "budget_usd": "budget.usd",
    "budget_tokens": "budget.tokens",
    "budget_calls": "budget.calls",
}
"""The setting of pgkd.yaml that each option overrides."""


def load_config(config: Path | None, threads: int | None = None, **options: Any) -> pgkd.Config:
    """The settings of a file, overridden by the options that were given.

    Args:
        config: a pgkd.yaml; None takes ``pgkd.yaml`` of this folder where no training file is
            given and there is one.
        threads: CPU threads of student and teacher.
        options: values by the names of `SETTINGS`; None where an option was not given.
    """
    from pgkd.config import merge

    given = {SETTINGS[name]: value for name, value in options.items() if value not in (None, [])}
    if threads is not None:
        given |= {"student.threads": threads, "teacher.threads": threads}
    overrides: dict[str, Any] = {}
    for setting, value in given.items():
        for name in reversed(setting.split(".")):
            value = {name: value}
        overrides = merge(overrides, value)
    here = Path("pgkd.yaml")
    if config is None and options.get("train") is None and here.exists():
        config = here
    if config is None:
        return pgkd.Config.parse(overrides)
    return pgkd.Config.from_yaml(config, overrides)


def load_run_config(path: Path, config: Path | None, **budget: Any) -> pgkd.Config:
    """The settings of a cascade: those of a file or else of its run, with another budget.

    Args:
        path: an export, or a run folder.
        config: a pgkd.yaml; None takes that of the run.
        budget: values by the names of the options; None where one was not given.

    Raises:
        ConfigError: there is neither.
    """
    config = config or path / "config.yaml"
    if not config.is_file():
        raise ConfigError(f"{config} does not exist: give --config, to choose the teacher.")
    return load_config(config, **budget)


def check_choice(kind: str, value: str, choices: Iterable[str]) -> None:
    """See that a value is one of the choices.

    Raises:
        ConfigError: it is not.
    """
    if value not in choices:
        raise ConfigError(f'Unknown {kind} "{value}". Choose from: {", ".join(choices)}.')


def check_writable(path: Path) -> None:
    """See, before the work, that a file or folder can be written or created.

    Raises:
        ConfigError: its folder is read-only, or is a file.
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if existing != path and not existing.is_dir():
        raise ConfigError(f"{path} cannot be created: {existing} is no folder.")
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"{existing} cannot be written to: choose another place for {path}.")
