"""Judged cells in one file: a grid that was begun on one machine goes on on another.

The file holds what results are made of. It holds no text, no student and no reply.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from typing import TYPE_CHECKING

from pgkd.bench.folders import KEPT, CellFolder
from pgkd.errors import DataError
from pgkd.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

_MEMBER = re.compile(rf"(?P<cell>[\w.-]*\w)/(?P<file>{'|'.join(map(re.escape, KEPT))})")
_LARGEST = 1 << 26  # bytes of a file: a hundred times as many as the largest known


def unpack(archive: Path, cells: Path) -> int:
    """Put the cells of an archive beside those that are there; what is there stays as it is.

    Args:
        archive: where `pack` wrote; where it does not exist, nothing is done.
        cells: the folder of cells.

    Returns:
        How many cells were new.

    Raises:
        DataError: the file is damaged, or is no such archive.
    """
    if not archive.is_file():
        return 0
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(archive, "r:xz") as opened:
            for member in opened:
                known = _MEMBER.fullmatch(member.name)
                if known is None or not member.isfile() or member.size > _LARGEST:
                    raise DataError(f"{archive} is no archive of cells: it holds {member.name!r}.")
                content = opened.extractfile(member)
                assert content is not None  # it is a file
                found.setdefault(known["cell"], {})[known["file"]] = content.read()
    except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as error:
        raise DataError(f"{archive} cannot be read: {error}") from error
    new = [name for name in found if CellFolder(cells / name).state == "open"]
    for name in new:
        (cells / name).mkdir(parents=True)
        for file in (file for file in KEPT if file in found[name]):
            write_whole(cells / name / file, found[name][file])
    return len(new)


def pack(cells: Path, archive: Path) -> int:
    """Write every cell that has been judged into an archive, in the place of what it was.

    The same cells give the same bytes.

    Args:
        cells: the folder of cells.
        archive: a file, ``.tar.xz``.

    Returns:
        How many cells it holds.
    """
    judged = [path for path in sorted(cells.glob("*")) if CellFolder(path).state == "tested"]
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:xz") as opened:
        for path in judged:
            for file in KEPT:
                content = (path / file).read_bytes()
                member = tarfile.TarInfo(f"{path.name}/{file}")
                member.size = len(content)
                opened.addfile(member, io.BytesIO(content))
    archive.parent.mkdir(parents=True, exist_ok=True)
    write_whole(archive, written.getvalue())
    return len(judged)
