"""The class list: from a YAML file, or from the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from pgkd.errors import DataError
from pgkd.quoting import shown
from pgkd.tasks.classification.data.taxonomy import LabelClass, Taxonomy
from pgkd.yamls import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

_FORMS = "a list of names, a list of {name, description, parent}, or a mapping of names"


def read_taxonomy(path: Path) -> Taxonomy:
    """Read a class list.

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
    return Taxonomy(tuple(made))


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
