"""What a reader of the docs has at hand: the helpdesk rows, a finished run, pgkd in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_encoder
from tests.docs import warm
from tests.docs.desk import Desk
from tests.docs.pages import ROOT, Block

if TYPE_CHECKING:
    from collections.abc import Iterator

HELPDESK = ROOT / "examples" / "helpdesk"


@pytest.fixture(scope="session")
def stand_in_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder that knows the words of the helpdesk rows."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(HELPDESK.glob("*.csv"))]
    return make_encoder(tmp_path_factory.mktemp("encoder"), texts)


@pytest.fixture(scope="session")
def warm_process(stand_in_encoder: Path) -> Iterator[str]:
    """Address of the process that runs every `pgkd` of the pages."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with tempfile.TemporaryDirectory(prefix="pgkd-") as folder:  # short: a socket's path is limited
        address = str(Path(folder) / "socket")
        command = [sys.executable, "-m", warm.__name__, address, str(stand_in_encoder)]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield address
            process.terminate()


def keep_some(path: Path, per_class: int) -> None:
    """Leave the first rows of each class in a file: enough for a page to run, and quick."""
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:
        label = row.rpartition(",")[2]
        seen[label] += 1
        if seen[label] <= per_class:
            kept.append(row)
    path.write_text("\n".join((head, *kept)) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory, warm_process: str) -> Path:
    """A folder with some helpdesk rows in ``helpdesk/`` and a finished run in ``runs/helpdesk``."""
    folder = tmp_path_factory.mktemp("reader") / "home"
    shutil.copytree(HELPDESK, folder / "helpdesk")
    shutil.copytree(HELPDESK, folder / "examples" / "helpdesk")
    for name, per_class in (("train.csv", 8), ("test.csv", 3)):
        keep_some(folder / "helpdesk" / name, per_class)
    commands = (
        "pgkd distill --config helpdesk/pgkd.yaml --rounds 1 --samples 4 --out runs/helpdesk\n"
        "pgkd export runs/helpdesk\n"
    )
    Desk(folder, warm_process).work(Block("sh", commands, 1))
    return folder


@pytest.fixture
def desk(
    tmp_path: Path,
    reader: Path,
    warm_process: str,
    stand_in_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    """A desk of one page, with what a reader has; one thread is enough for its small models."""
    import torch

    folder = tmp_path / "home"
    shutil.copytree(reader, folder)
    warm.stand_in(stand_in_encoder, monkeypatch.setattr)
    monkeypatch.chdir(folder)
    made, threads = Desk(folder, warm_process), torch.get_num_threads()
    torch.set_num_threads(1)
    yield made
    torch.set_num_threads(threads)
    made.close()
