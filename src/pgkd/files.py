"""Files and folders that are never half there, and that one process holds at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from contextlib import contextmanager, suppress
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
        partial.unlink(missing_ok=True)  # it may be a link that somebody has put there
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        raise with_name(error, path) from None
    finally:
        partial.unlink(missing_ok=True)


def with_name(error: OSError, path: Path) -> OSError:
    """An error of the system that names the file: that of a full disk does not."""
    return OSError(error.errno, error.strerror or str(error), str(path))


_HINTS = {
    errno.ENOSPC: "Make room on the disk; a run is then resumed by the same command.",
    errno.EDQUOT: "Make room in your quota; a run is then resumed by the same command.",
    errno.EFBIG: "The limit on file sizes is too low (ulimit -f); a run is then resumed by the "
    "same command.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.EACCES: "Choose a place that you may write to.",
}


def system_error(error: OSError) -> str:
    """An error of the system in one sentence, and what to do where that is known."""
    where = f"{error.filename}: " if error.filename else ""
    why = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    return f"{where}{why}. {_HINTS.get(error.errno or 0, '')}".rstrip()


def write_anew(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a new folder, which then takes the place of the old one.

    Where `write` raises, the old folder stays and of the new one nothing is left.
    """
    new = folder.with_name(f".{folder.name}.partial")
    discard(new)
    new.mkdir(parents=True)
    try:
        write(new)
        move_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def move_folder(new: Path, folder: Path) -> None:
    """Let a folder take the place of another one, which goes when the new one is there."""
    old = folder.with_name(f".{folder.name}.old")
    if os.path.lexists(folder):
        discard(old)
        folder.rename(old)
    new.rename(folder)
    discard(old)


def discard(path: Path) -> None:
    """Remove a folder, or whatever is in its place: a link without what it leads to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


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

    with suppress(FileNotFoundError):
        if not stat.S_ISREG(lock.lstat().st_mode):  # to lock a link would empty what it leads to
            raise OSError(errno.EINVAL, "it is no regular file", str(lock))
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
