"""A labelled text, the label names of a task, and the files that list them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from pgkd.config import read_yaml
from pgkd.errors import DataError
from pgkd.task import Example, Origin
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelledText(Example):
    """A text with its label.

    Attributes:
        text: the text, never empty.
        label: a name of the `Taxonomy`.
        id: see `Example`; ``pool:17`` is text 17 of the unlabelled ones.
        origin: None for the user's own rows.
        human_verified: whether a person has accepted or corrected it.
    """

    text: str
    label: str
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def output(self) -> str:
        """The label."""
        return self.label

    def revised(self, text: str | None, output: str | None) -> LabelledText:
        """See `Example.revised`."""
        return replace(
            self, text=text or self.text, label=output or self.label, human_verified=True
        )


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


_FORMS = "a list of names, a list of {name, description, parent}, or a mapping of names"


def read_taxonomy(path: Path) -> Taxonomy:
    """The taxonomy of a class list; see `read_classes`.

    Raises:
        DataError: the file cannot be read, or lists every entry that cannot be used.
    """
    return Taxonomy(read_classes(path))


def read_classes(path: Path) -> tuple[LabelClass, ...]:
    """Read a class list, in which a name may stand twice.

    Args:
        path: YAML: a list of names, a list of ``{name, description, parent}``, or a mapping of
            names to descriptions or to ``{description, parent}``; also under a key ``classes``.

    Raises:
        DataError: the file cannot be read, or lists every entry that cannot be used.
    """
    try:
        data = read_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = shown(" ".join(str(error).split()), 300)  # YAML's reasons have several lines
        raise DataError(f"The class list {path} cannot be read: {reason}") from error
    if isinstance(data, dict) and set(data) == {"classes"}:
        data = data["classes"]
    if isinstance(data, dict):
        entries = [_named(name, value) for name, value in data.items()]
    elif isinstance(data, list):
        entries = data
    else:
        raise DataError(f"The class list {path} is not {_FORMS}.")
    made, problems = [], []
    for number, entry in enumerate(entries, start=1):
        try:
            made.append(_class(entry))
        except ValueError as error:
            problems.append(f"entry {number}: {error}")
    if problems:
        raise DataError(f"The class list {path} cannot be used:", problems)
    return tuple(made)


def _named(name: Any, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"name": name, **value}
    return {"name": name, "description": value}


def _class(entry: Any) -> LabelClass:
    fields = entry if isinstance(entry, dict) else {"name": entry}
    unknown = sorted(map(str, set(fields) - {"name", "description", "parent"}))
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}; known are name, description, parent")
    # YAML reads `on`, `1` and `null` as other types: quoting is the user's only way to mean them.
    for key, value in fields.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{key} {value!r} is no text; put it in quotes")
    name, description, parent = (
        (fields.get(key) or "").strip() for key in ("name", "description", "parent")
    )
    if not name:
        raise ValueError("it has no name")
    return LabelClass(name, description, parent or None)


def label_indices(labels: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The column of each label's class, shape (n,).

    Args:
        labels: n class names.
        classes: class names in column order.

    Raises:
        KeyError: a label is none of the classes.
    """
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)
