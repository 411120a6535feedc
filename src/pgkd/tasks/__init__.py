"""The kinds of task that can be distilled, a folder each.

A package adds one with an entry point of the group ``pgkd.tasks``; it names a subclass of `Task`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pgkd.errors import ConfigError
from pgkd.task import Task

_GROUP = "pgkd.tasks"
_OWN = {
    "classification": ("pgkd.tasks.classification.task", "Classification"),
    "multilabel": ("pgkd.tasks.multilabel.task", "MultiLabel"),
    "pairs": ("pgkd.tasks.pairs.task", "Pairs"),
    "generation": ("pgkd.tasks.generation.task", "Generation"),
    "hierarchy": ("pgkd.tasks.hierarchy.task", "Hierarchy"),
    "slots": ("pgkd.tasks.slots.task", "Slots"),
}
DEFAULT = "classification"


def tasks() -> tuple[str, ...]:
    """Names of all kinds of task that are at hand."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


def make_task(name: str) -> Task:
    """The kind of task of this name.

    Raises:
        ConfigError: there is none.
    """
    if name in _OWN:
        module, attribute = _OWN[name]
        kind: Any = getattr(import_module(module), attribute)
    else:
        points = list(entry_points(group=_GROUP, name=name))
        if not points:
            raise ConfigError(f'Unknown task "{name}". Choose from: {", ".join(tasks())}.')
        kind = points[0].load()
    made: Task = kind()
    return made
