"""Where the code of a page runs: a folder, a shell for its commands, names for its Python."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.docs.checks import check, shown_commands
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from tests.docs.pages import Block

HERE = Path(__file__).parent
_LONGEST = 600  # seconds of a block, on a machine that is busy with other things


class Desk:
    """Works through the blocks of one page, in order.

    Args:
        folder: where the page's commands run; what lies there is what a reader has.
        warm: address of the process that stands behind `pgkd`.
    """

    def __init__(self, folder: Path, warm: str) -> None:
        self.folder = folder
        self._port = str(_free_port())
        self._names: dict[str, Any] = {"__name__": "page"}
        self._said = ""
        self._environment = {
            **os.environ,
            "PAGE_WARM": warm,
            "PAGE_PYTHON": sys.executable,
            "PAGE_CALL": str(HERE / "call.py"),
            "PAGE_PORT": self._port,
            "PAGE_SERVER": str(folder.with_suffix(".server")),
            "BROWSER": "true",  # --open opens nothing
            "PGKD_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        }

    def work(self, block: Block) -> None:
        """Run a block, or do what its notes say instead.

        Raises:
            AssertionError: it fails, or does not print what the page says.
        """
        if "output" in block.notes:
            self._compare(block.code)
            return
        if "file" in block.notes:
            path = self.folder / block.notes["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.filled, encoding="utf-8")
        if block.shown:
            check(block, self.folder.parent)
        missing = "needs" in block.notes and shutil.which(block.notes["needs"]) is None
        if missing or not block.notes.keys().isdisjoint(("file", "not run")):
            return
        if block.language == "sh":
            self._said = self._shell(block.filled, fails="fails" in block.notes)
        elif block.language == "python":
            padding = "\n" * (block.line - 1)  # so that a traceback names the line of the page
            exec(compile(padding + block.filled, "page", "exec"), self._names)

    def close(self) -> None:
        """Stop the server that the page began."""
        self._shell("page_stop")

    def _shell(self, code: str, *, fails: bool = False) -> str:
        commands = shown_commands(code).replace("localhost:8000", f"localhost:{self._port}")
        prelude = (HERE / "prelude.sh").read_text(encoding="utf-8")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", prelude + commands],
            cwd=self.folder, env=self._environment, timeout=_LONGEST, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _compare(self, shown: str) -> None:
        """Every line of an output was printed, spaces aside."""
        said = {" ".join(line.split()) for line in self._said.splitlines()}
        for line in shown.splitlines():
            assert " ".join(line.split()) in said | {""}, f"not printed: {line}\nbut {self._said}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
