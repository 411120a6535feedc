"""Pause and stop from outside: a signal in the run folder, looked at before every call.

Whoever may write into the folder may send one; the process that runs the loop looks, whether it was
started from the command line, from Python or from the web UI.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Literal, get_args

from pgkd.errors import RunError
from pgkd.events import Event, Hooks, Round
from pgkd.files import reason, write_whole
from pgkd.runs.files import as_json
from pgkd.usage.ledger import now

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Prompt
    from pgkd.usage.batch import BatchProgress

Signal = Literal["go", "pause", "stop"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

FILE = "control.json"
_LOOK = 0.3  # seconds between two looks at the signal while a run is paused


def send_signal(run: RunFolder, wanted: Signal, by: str) -> None:
    """Ask a run to pause, to go on or to stop. It hears it before its next call.

    Raises:
        RunError: the signal cannot be written.
    """
    try:
        content = as_json({"signal": wanted, "by": by, "time": now()})
        write_whole(run.path / FILE, content, alone=False)
    except OSError as error:
        raise RunError(f"{run.path / FILE} cannot be written: {error}") from error


def read_signal(run: RunFolder) -> tuple[Signal, str]:
    """The signal to a run, and who sent it; a file that cannot be read sends none."""
    if not os.path.lexists(run.path / FILE):
        return "go", ""
    try:
        found = run.read_json(FILE)
        wanted, by = found["signal"], str(found["by"])
    except (RunError, KeyError, TypeError):
        return "go", ""
    return (wanted, by) if wanted in SIGNALS else ("go", "")


def clear_signal(run: RunFolder) -> None:
    """Let a run go on, whatever signal it had before."""
    try:
        (run.path / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{run.path / FILE} cannot be removed: {reason(error)}.") from error


class Control(Hooks):
    """Makes a run follow the signals that are sent to it.

    To pause is to wait before the next call, or the next training. To stop is what Ctrl-C does: the
    run ends with its best student, and can be resumed. Before the student of round 0 is there, a
    run has nothing to keep; so it stops when that has been trained.

    Calls are made by several threads; each of them waits.

    Args:
        run: its folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._has_student = False
        self._paused = False
        self._mutex = threading.Lock()
        self._leaving = threading.Event()

    def on_batch(self, progress: BatchProgress) -> None:
        """Look while a batch is waited for, which may take a day."""
        self._follow()

    def on_call(self, call: str) -> None:
        """Look before every call; a round that is being left makes no more."""
        self._follow(self._leaving)

    def on_calls_end(self) -> None:
        """Let no thread wait on: the process would wait for it, and never end."""
        self._leaving.set()

    def on_curated(self, prompt: Prompt, accepted: int, rejected: int) -> None:
        """Look between two replies."""
        self._follow()

    def on_event(self, event: Event) -> None:
        """Look while the task is busy; nobody has been asked when the first ones come."""
        if self._has_student:
            self._follow()

    def on_training(self, number: int) -> None:
        """Look before a training."""
        self._leaving.clear()
        self._follow()

    def on_round_end(self, finished: Round) -> None:
        """Look when there is a student to keep."""
        self._has_student = True
        self._follow()

    def _follow(self, leaving: threading.Event | None = None) -> None:
        """Wait while it is to pause.

        Raises:
            KeyboardInterrupt: it is to stop, or the calls of the round have ended meanwhile.
        """
        gone = leaving or threading.Event()  # which nobody sets: then it is a clock
        wanted, by = read_signal(self._run)
        while wanted == "pause":
            self._note(paused=True, by=by)
            if gone.wait(_LOOK):
                raise KeyboardInterrupt
            wanted, by = read_signal(self._run)
        self._note(paused=False, by=by)
        if wanted == "stop" and self._has_student:
            raise KeyboardInterrupt(f"{by} stopped it")

    def _note(self, *, paused: bool, by: str) -> None:
        """Write it down once, whichever thread sees it first."""
        with self._mutex:
            if paused != self._paused:
                self._paused = paused
                self._run.log("run paused" if paused else "run continued", by=by)
