"""Rows whose label is a path, and class lists with parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path as File
from typing import Any

from pgkd.data.cells import Problems, is_broken, is_missing, name_of, one_column, place
from pgkd.data.reading import raise_unusable
from pgkd.errors import DataError
from pgkd.tasks.classification.data.dataset import Parts, TextDataset, assemble
from pgkd.tasks.classification.data.examples import LabelClass, LabelledText, Taxonomy, read_classes
from pgkd.tasks.common.rows import make_rows, read_part
from pgkd.tasks.hierarchy.tree import SEPARATOR, Path, join, split
from pgkd.text import shown

_SEPARATORS = (SEPARATOR, " / ", " | ", "::", ">")
_DEEPEST = 20  # levels
Nodes = dict[Path, str]
"""The nodes of a tree, those above first, each with its description or an empty one."""


def find_separator(labels: Sequence[str]) -> str:
    """What stands between the levels: the first usual separator that most labels have."""
    counts = {s: sum(s in label for label in labels) for s in _SEPARATORS}
    return next((s for s, n in counts.items() if 2 * n > len(labels)), SEPARATOR)


def _split_labels(labels: Sequence[str], separator: str | None) -> list[Path]:
    """The paths of labels; the separator is the given one, or the one that is found."""
    separator = separator or find_separator(labels)
    return [split(label.replace(separator, SEPARATOR)) for label in labels]


def _check_path(names: Iterable[Any]) -> Path:
    """A path of the names of its levels, without missing ones at its end, or a ValueError."""
    path = ["" if is_missing(name) else name_of(name) for name in names]
    while path and not path[-1]:
        path.pop()
    if not path or not all(path) or is_broken("".join(path)):
        raise ValueError(f"the path '{shown(join(path))}' has a level without a usable name")
    if len(path) > _DEEPEST or any(SEPARATOR in name for name in path):
        raise ValueError(f"'{shown(join(path))}' has over {_DEEPEST} levels, or '>' in a name")
    return tuple(path)


def _make_row(texts: Sequence[str], cells: Sequence[Any], id_: str) -> LabelledText:
    """A row with its label as it stands there, a text or a list of names, or a ValueError."""
    cell = cells[0].tolist() if hasattr(cells[0], "tolist") else cells[0]
    if isinstance(cell, list | tuple):
        return LabelledText(texts[0], join(_check_path(cell)), id_)
    if is_missing(cell) or isinstance(cell, Mapping):
        raise ValueError("it has no label")
    return LabelledText(texts[0], name_of(cell), id_)


def _find_node(path: Path, nodes: Iterable[Path]) -> Path:
    """The one node whose path is this, or ends with it, such as a leaf's name; else the path."""
    found = [node for node in nodes if node[-len(path) :] == path]
    found = [path] if path in found else found
    # A leaf may have the name of the node above it: a label is rather the leaf.
    found = [node for node in found if not any(node == other[:-1] for other in found)]
    if len(found) > 1:
        several = ", ".join(f"'{shown(join(node))}'" for node in found[:3])
        raise ValueError(f"'{shown(join(path))}' is in several branches; give {several}")
    return found[0] if found else path


def _resolve(
    rows: Sequence[LabelledText], nodes: Nodes, separator: str | None, problems: Problems
) -> list[LabelledText]:
    """Rows whose labels are whole paths; what is wrong with the others is noted."""
    made = []
    find = cache(lambda path: _find_node(_check_path(path), nodes))
    for row, path in zip(rows, _split_labels([r.label for r in rows], separator), strict=True):
        try:
            made.append(replace(row, label=join(find(path))))
        except ValueError as error:
            problems.add("rows with a path that cannot be used", f"{place(row.id)}: {error}")
    return made


def read_paths(file: File, data: Any) -> list[LabelledText]:
    """The rows of a file that nothing is trained on; see `pgkd.task.Task.read`."""
    problems = Problems()
    rows = _resolve(_read(file, "", data, problems), read_nodes(data), data.separator, problems)
    raise_unusable(file, problems)
    return rows


def _read(file: File, part: str, data: Any, problems: Problems) -> list[LabelledText]:
    return read_part(file, part, (data.text_column,), (data.label_column,), _make_row, problems)


def load_paths(config: Any) -> TextDataset:
    """The rows of the files that a config names.

    Raises:
        DataError: lists everything that is wrong with them and with the class list.
    """
    data, problems, nodes = config.data, Problems(), Nodes()
    try:
        nodes = read_nodes(data)
    except DataError as error:
        problems.add_error("class lists that cannot be used", error)
    files = {p: f for p in ("train", "validation") if (f := getattr(data, p))}
    rows = {part: _read(file, part, data, problems) for part, file in files.items()}
    what = f"The rows of {' and '.join(map(str, files.values()))}"
    return _make_dataset(config, rows, nodes, problems, what)


def make_paths(
    config: Any, inputs: Any, outputs: Any, classes: Any, validation: Any
) -> TextDataset:
    """Texts and paths in memory, lists of names or texts; classes are paths, too."""
    problems, rows = Problems(), dict[str, list[LabelledText]]()
    parts = {"train": (inputs, outputs), **({"validation": validation} if validation else {})}
    for part, (given, wanted) in parts.items():
        texts, paths = one_column(given, "texts"), list(wanted)
        if len(texts) != len(paths):
            raise DataError(f"{part}: {len(texts)} texts, but {len(paths)} paths.")
        cells = zip(range(1, len(texts) + 1), zip(texts), zip(paths), strict=True)
        rows[part] = make_rows(cells, part, _make_row, problems)
    try:
        listed = [LabelClass(_make_row(("",), (x,), "").label) for x in classes or ()]
    except ValueError as error:
        raise DataError(f"The classes cannot be used: {error}") from error
    nodes = _make_nodes(listed, config.data.separator, "The classes")
    return _make_dataset(config, rows, nodes, problems, "The rows")


def _make_dataset(
    config: Any, parts: Mapping[str, list[LabelledText]], nodes: Nodes, problems: Problems,
    what: str,
) -> TextDataset:  # fmt: skip
    """Check rows of both parts, then draw and split them; see `assemble`."""
    data, every = config.data, [row for rows in parts.values() for row in rows]
    rows = _resolve(every, nodes, data.separator, problems)
    train, held = ([r for r in rows if r.id.startswith(x)] for x in ("train", "validation"))
    labels, taxonomy = {row.label for row in rows}, None
    if nodes:  # its leaves, and the inner nodes that are labels of rows
        inner = {path[:-1] for path in nodes} - {split(label) for label in labels}
        paths = {join(path): about for path, about in nodes.items() if path not in inner}
        taxonomy, labels = Taxonomy(tuple(map(LabelClass, paths, paths.values()))), set(paths)
    if rows and not any(SEPARATOR in label for label in labels):
        told = "set data.separator, or list parents in data.classes"
        problems.add("trees of one level", f"no label has a level above it: {told}")
    return assemble(
        Parts(train, held if "validation" in parts else None, taxonomy), problems, what,
        drop=data.on_conflict == "drop", fraction=data.validation_fraction, limit=data.limit,
        seed=config.seed,
    )  # fmt: skip


def read_nodes(data: Any) -> Nodes:
    """The tree of the class list that the settings name; empty where they name none.

    Raises:
        DataError: it cannot be read, or lists what is wrong in it.
    """
    classes = read_classes(data.classes) if data.classes else ()
    return _make_nodes(classes, data.separator, f"The class list {data.classes}")


def _make_nodes(classes: Sequence[LabelClass], separator: str | None, what: str) -> Nodes:
    names = [name for each in classes for name in (each.name, each.parent or each.name)]
    path_of = dict(zip(names, _split_labels(names, separator), strict=True))
    times = Counter(each.name for each in classes)
    parent_of = {each.name: each.parent for each in classes}
    problems, nodes = Problems(), Nodes()
    for each in classes:
        path, above = path_of[each.name], each.parent
        while above and times[above] < 2 and len(path) <= _DEEPEST:
            path, above = (*path_of[above], *path), parent_of.get(above)
        try:
            if above:
                raise ValueError(
                    f"the parent '{shown(above)}' of '{shown(each.name)}' is not clear"
                )
            for level in range(1, len(path := _check_path(path))):
                nodes.setdefault(path[:level], "")
            nodes[path] = each.description or nodes.get(path, "")
        except ValueError as error:
            problems.add("classes", str(error))
    problems.raise_if_any(f"{what} cannot be used:")
    return nodes
