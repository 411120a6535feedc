"""Where weights were loaded from, and how they get into the folder of a student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pgkd.files import link_or_copy, write_anew
from pgkd.weights.fetch import ensure
from pgkd.weights.pins import find

_FILES = (
    "config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "LICENSE*", "NOTICE*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WeightsOrigin:
    """A folder of weights, or a name on the Hugging Face hub.

    Two origins are equal where the files are: hard links of one file count as the same, a file that
    was rewritten does not.

    Attributes:
        source: folder, or name on the hub.
        stamp: name, device, inode, size and time of every file; for a hub name, the name.
    """

    source: str = field(compare=False)
    stamp: tuple[tuple[object, ...], ...]

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The origin of the files that are in a folder now."""
        found = [(path.name, path.stat()) for path in _weight_files(folder)]
        stamp = tuple((n, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for n, s in found)
        return cls(str(folder), stamp)

    @classmethod
    def find(cls, source: str) -> Self | None:
        """The origin of a name of `pgkd models list` or of a folder; None for anything else.

        Raises:
            WeightsError: known weights are not here and cannot be fetched.
        """
        if find(source) is None and not Path(source).is_dir():
            return None
        return cls.from_folder(Path(ensure(source)))

    def unchanged_files(self) -> list[Path]:
        """The files, if they are still the ones that were loaded; else none."""
        folder = Path(self.source)
        same = folder.is_dir() and WeightsOrigin.from_folder(folder) == self
        return _weight_files(folder) if same else []


def save_weights(
    folder: Path, origin: WeightsOrigin | None, save: Callable[[Path], object]
) -> None:
    """Write a folder of weights, by hard links to unchanged files where possible.

    The folder is written beside its place and then moved there. A file that exists is never
    written to: it may be a hard link to the weights of every other student on this machine.

    Args:
        folder: to make or to replace.
        origin: where the weights were loaded from, or None where they were trained.
        save: writes the weights into a folder, where there are no files to link.
    """
    files = origin.unchanged_files() if origin else []

    def write(new: Path) -> None:
        for path in files:
            link_or_copy(path, new / path.name)
        if not files:
            save(new)

    write_anew(folder, write)


def _weight_files(folder: Path) -> list[Path]:
    return sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()})
