"""Files that are never half there, read with bounds, and locked by one process at a time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

Refuse = Callable[[str], Exception]
"""Makes an error of a sentence: the caller's class of errors."""


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


MOST_BYTES = 256 << 20
MOST_BYTES_OF_LINE = 16 << 20
MOST_BYTES_OF_YAML = 256 << 10
MOST_NODES_OF_YAML = 50_000  # aliases counted as what they stand for
DEEPEST = 50  # levels; pgkd writes eight

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to would be waited for
    | getattr(os, "O_NOFOLLOW", 0)  # the links were followed, and looked at, before
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_regular(
    path: Path, refuse: Refuse, *, within: Path | None = None, most: int = MOST_BYTES
) -> BinaryIO:
    """Open a file to read, if it is a regular one.

    Args:
        path: the file.
        refuse: makes the error.
        within: a folder; a link that leads out of it is refused.
        most: bytes that the file may have.
    """
    try:
        real = path.resolve(strict=True)
        if within is not None and not real.is_relative_to(within.resolve(strict=True)):
            raise refuse(f"{path} is a link that leaves {within}, and is not followed.")
        descriptor = os.open(real, _FLAGS)
    except FileNotFoundError:
        raise refuse(f"{path} is missing.") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise refuse(f"{path} cannot be read: {reason(error)}.") from error
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size > most:
        os.close(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise refuse(f"{path} is no regular file.")
        raise refuse(f"{path} has {about.st_size:,} bytes; at most {most:,} are read.")
    return os.fdopen(descriptor, "rb")


def check_kind(
    path: Path, refuse: Refuse, *, within: Path | None = None, folders: bool = False
) -> None:
    """See that a file is one, where a library opens it that would wait at a pipe for ever.

    One that is gone is none: who opens it will find that.

    Args:
        path: the file.
        refuse: makes the error.
        within: a folder; a link that leads out of it is refused.
        folders: whether it may be a folder.
    """
    try:
        mode, real = path.stat().st_mode, path.resolve()
    except FileNotFoundError:
        return
    except (OSError, RuntimeError, ValueError) as error:
        raise refuse(f"{path} cannot be read: {reason(error)}.") from error
    if within is not None and not real.is_relative_to(within.resolve()):
        raise refuse(f"{path} is a link that leaves {within}, and is not followed.")
    if not stat.S_ISREG(mode) and not (folders and stat.S_ISDIR(mode)):
        raise refuse(f"{path} is no regular file.")


def read_text(
    path: Path, refuse: Refuse, *, within: Path | None = None, most: int = MOST_BYTES
) -> str:
    """All of a text file; see `open_regular`."""
    try:
        with open_regular(path, refuse, within=within, most=most) as file:
            return file.read(most + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"{path} is damaged: {reason(error)}.") from error


def read_json(path: Path, refuse: Refuse, *, within: Path | None = None) -> dict[str, Any]:
    """The JSON object in a file; see `open_regular`."""
    text = read_text(path, refuse, within=within)
    try:
        return json_object(text)
    except ValueError as error:
        raise refuse(f"{path} is damaged: {reason(error)}.") from error


def read_json_lines(
    path: Path, refuse: Refuse, *, within: Path | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of every line; the half of one at the end, which a crash leaves, is none.

    See `open_regular`.
    """
    with open_regular(path, refuse, within=within) as file:
        number = 0
        while line := file.readline(MOST_BYTES_OF_LINE + 1):
            number += 1
            try:
                if len(line) > MOST_BYTES_OF_LINE:
                    raise ValueError(f"it has more than {MOST_BYTES_OF_LINE:,} bytes")
                record = json_object(line.decode("utf-8"))
            except ValueError as error:
                if line.startswith(b"{") and not line.endswith(b"\n") and not file.read(1):
                    return
                raise refuse(f"{path}, line {number}, is damaged: {reason(error)}.") from error
            yield number, record


def read_yaml(path: Path, refuse: Refuse, *, within: Path | None = None) -> dict[str, Any]:
    """The mapping in a YAML file; see `open_regular`."""
    import yaml

    text = read_text(path, refuse, within=within, most=MOST_BYTES_OF_YAML)
    try:
        _check_yaml(text)
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of a date, of a number
        raise refuse(f"{path} is damaged: {reason(error)}.") from error
    if not isinstance(found, dict) or not found:
        raise refuse(f"{path} is damaged: it holds no settings.")
    return found


def json_object(text: str) -> dict[str, Any]:
    """A JSON object that is not nested beyond reason.

    Raises:
        ValueError: the text is something else.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if _is_deeper(found, DEEPEST):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return found


def reason(error: Exception, longest: int = 200) -> str:
    """Why something failed: one line, without a full stop."""
    told = (error.strerror if isinstance(error, OSError) else None) or str(error)
    line = " ".join(told.split()).rstrip(".") or type(error).__name__
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _check_yaml(text: str) -> None:
    """See that a text stays small when its aliases are written out. Nothing is built of it yet.

    Raises:
        YAMLError, ValueError: it does not, or is no YAML.
    """
    import yaml

    nodes = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias {event.anchor} refers to nothing, or to itself")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            nodes += 1
            opened.append((event.anchor, nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = nodes - before + 1
        if len(opened) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        if nodes > MOST_NODES_OF_YAML:
            raise ValueError(f"it holds more than {MOST_NODES_OF_YAML:,} values")
