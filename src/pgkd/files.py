"""Files and folders that are never half there, and that one process holds at a time."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def write_whole(path: Path, content: str | bytes, *, alone: bool = True) -> None:
    """Write a file, so that a reader sees the old one or the new one, never half.

    What was there is not written to: it may be a hard link to another's.

    Args:
        path: the file.
        content: all of it; text becomes UTF-8.
        alone: nobody else writes it meanwhile. If others may, the last one is read, and a process
            that is killed leaves a file beside it which none takes the place of.

    Raises:
        OSError: it cannot be written.
    """
    writer = "" if alone else f".{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.name}{writer}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_anew(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a new folder, which then takes the place of the old one.

    Where `write` raises, the old folder stays and of the new one nothing is left.
    """
    new = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        write(new)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def held(lock: Path, refusal: Exception, *, patience: float = 0) -> Iterator[None]:
    """Keep every other process out, for as long as the context lasts.

    Args:
        lock: a file that all of them agree on; it is made where it is missing, and stays.
        refusal: what is raised where another process holds it.
        patience: seconds that its end is waited for.

    Raises:
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    file = FileLock(lock)
    try:
        file.acquire(timeout=patience)
    except Timeout:
        raise refusal from None
    try:
        yield
    finally:
        file.release()


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, but share the files of it that have several names.

    Those are pretrained weights from the cache: 90 MB that no training has touched.
    """
    shutil.copytree(source, target, copy_function=_copy_or_share, dirs_exist_ok=True)


def _copy_or_share(source: str, target: str) -> str:
    if Path(source).stat().st_nlink > 1:
        link_or_copy(Path(source), Path(target))
    else:
        shutil.copy2(source, target)
    return target
