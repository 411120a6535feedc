"""``export.json``: what an export is, and how near it came to its student."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pgkd.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

Format = Literal["plain", "onnx", "onnx-int8", "huggingface"]
FORMATS: tuple[Format, ...] = get_args(Format)

FILE = "export.json"
_VERSION = 1
_SERVED: tuple[Format, ...] = ("onnx-int8", "onnx", "plain")  # the smallest first


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself.

    Attributes:
        format: which of the formats it has.
        classes: class names in column order.
        max_length: tokens of a text that are read; None where the files themselves say it.
        parity: how near it came to its student, as `Parity.to_json` tells it.
    """

    format: Format
    classes: tuple[str, ...]
    max_length: int | None = None
    parity: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the folder of an export."""
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from the folder of an export.

        Raises:
            ExportError: there is none, it is damaged, or a later version of pgkd wrote it.
        """
        path = folder / FILE
        if not path.is_file():
            raise ExportError(f"{folder} is no export: it has no {FILE}. Make one: pgkd export RUN")
        try:
            data = dict(json.loads(path.read_text(encoding="utf-8")))
            version = data.pop("version")
            found = cls(**{**data, "classes": tuple(data["classes"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path} is damaged: {error!r}. Export the run again.") from error
        if version != _VERSION:
            raise ExportError(f"{path} has version {version}; this pgkd reads {_VERSION}.")
        if found.format not in FORMATS:
            raise ExportError(f"{path} is damaged: there is no format {found.format!r}.")
        length = found.max_length
        if length is not None and (type(length) is not int or length < 1):
            raise ExportError(f"{path} is damaged: a text cannot be cut to {length!r} tokens.")
        return found


def find_export(path: Path) -> Path:
    """The export at a path that `pgkd.load` can read: the folder itself, or the smallest of a run.

    Raises:
        ExportError: there is none.
    """
    if (path / FILE).is_file():
        return path
    for name in _SERVED:
        if (path / "export" / name / FILE).is_file():
            return path / "export" / name
    raise ExportError(
        f"{path} is no export and holds none that can be served. Make one: pgkd export {path}"
    )
