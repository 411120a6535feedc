"""Commands that the web UI starts: the same that a user types, in processes of their own.

They are not the web UI's: when it closes, a distillation goes on.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PGKD = "from pgkd.apps.cli import main; main()"
_LAST_BYTES = 4000  # of a log


def command(arguments: Sequence[str]) -> list[str]:
    """A pgkd command, by the Python that runs the web UI."""
    return [sys.executable, "-c", _PGKD, *arguments]


@dataclass(frozen=True, slots=True)
class Told:
    """How a command is.

    Attributes:
        running: whether it still runs.
        code: its exit status; None while it runs.
        last: the end of what it printed.
    """

    running: bool
    code: int | None
    last: str


class Jobs:
    """Commands that were started here, by a name of each."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._started: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Start a command; what it prints goes to a file.

        Raises:
            RunError: one of that name still runs, or it cannot be started.
        """
        with self._mutex:
            if name in self._started and self._started[name][0].poll() is None:
                raise RunError("This is being done already: wait for its end.")
            try:
                log.unlink(missing_ok=True)  # it may be a link that somebody has put there
                with log.open("xb") as out:
                    process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
                        command(arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                        start_new_session=True,  # Ctrl-C ends the web UI, not what it started
                    )  # fmt: skip
            except OSError as error:
                raise RunError(f"The command cannot be started: {error}") from error
            self._started[name] = process, log

    def told(self, name: str) -> Told | None:
        """How the command of a name is; None where none was started here."""
        with self._mutex:
            found = self._started.get(name)
        if found is None:
            return None
        process, log = found
        code = process.poll()
        return Told(code is None, code, _end_of(log))


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
