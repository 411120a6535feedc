"""The classes of a task: their names, descriptions and parents."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pgkd.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class that a text can have."""

    name: str
    description: str = ""
    parent: str | None = None

    @property
    def readable(self) -> str:
        """The name as a person would say it: ``card_arrival`` is "card arrival"."""
        return " ".join(self.name.replace("_", " ").split()) or self.name


@dataclass(frozen=True)
class Taxonomy:
    """All classes, in a fixed order: column ``i`` of every probability matrix is ``classes[i]``.

    Raises:
        DataError: fewer than two classes, or a name that is empty or repeated.
    """

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        problems = []
        if len(self.classes) < 2:
            problems.append(f"{len(self.classes)} class given; a classifier needs at least two")
        names = [c.name for c in self.classes]
        problems += [f"class {i + 1} has an empty name" for i, n in enumerate(names) if not n]
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        problems += [f"class '{name}' is listed twice" for name in repeated]
        if problems:
            raise DataError("The class list cannot be used:", problems)

    @classmethod
    def from_names(cls, names: Iterable[str]) -> Taxonomy:
        """Make a taxonomy of bare names, in the order given."""
        return cls(tuple(LabelClass(name) for name in names))

    def described(self, descriptions: Mapping[str, str]) -> Taxonomy:
        """The same classes; those without a description get one, by class name."""
        return Taxonomy(
            tuple(
                replace(c, description=c.description or descriptions.get(c.name, ""))
                for c in self.classes
            )
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names in column order."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def index(self) -> dict[str, int]:
        """Column of each class name."""
        return {name: i for i, name in enumerate(self.names)}

    def __getitem__(self, name: str) -> LabelClass:
        return self.classes[self.index[name]]

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)
