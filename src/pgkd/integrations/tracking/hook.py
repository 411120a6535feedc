"""Calls trackers as a run proceeds.

Nothing that a tracker does, or fails to do, ends a run. Each step has half a minute. A tracker that
fails is left alone from then on, which is reported once. What it has logged stands in
``tracking.json``, so that the next session of the run logs the rest.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from math import isfinite
from queue import SimpleQueue
from typing import Any, Self, TypeVar

from pgkd.config import Config
from pgkd.errors import RunError
from pgkd.events import Hooks, Outcome, Round
from pgkd.integrations.tracking import Ending, TrackedRun, Tracker, redact, tracked_settings
from pgkd.runs.folder import RunFolder
from pgkd.runs.journal import round_record
from pgkd.task import Prompt
from pgkd.teachers.base import Teacher
from pgkd.usage.ledger import known_usd, summed

FILE = "tracking.json"
_TIMEOUT = 30.0  # seconds for a step; MLflow makes a database in five

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Tracking(Hooks):
    """Calls trackers; a context manager around a run.

    Args:
        trackers: who is called.
        run: the run folder.
        config: its settings.
        timeout: seconds for each step of a tracker.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        run: RunFolder,
        config: Config,
        *,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._run = run
        self._config = config
        self._records = _read_records(run)
        self._workers = [Worker(tracker, timeout) for tracker in trackers]
        self._on_failure: Callable[[str, str], None] = lambda tracker, why: None
        self._begun = -1  # the round that has begun
        self._ended = False

    def heard_by(self, all_hooks: Hooks, given: Sequence[Hooks]) -> Self:
        """Set who hears of a failed tracker; the log does if none of the given hooks shows it."""
        shown = any(type(hook).on_untracked is not Hooks.on_untracked for hook in given)

        def on_failure(tracker: str, why: str) -> None:
            all_hooks.on_untracked(tracker, why)
            if not shown:
                _log.warning("%s no longer tracks this run, which continues: %s", tracker, why)

        self._on_failure = on_failure
        return self

    def __enter__(self) -> Self:
        settings = tracked_settings(self._config) if self._workers else {}
        folder = self._run.path.resolve()
        for worker in self._workers:
            record = self._records.get(worker.name, {})
            known = TrackedRun(folder.name, folder, settings, record.get("id"))
            id_ = self._call(worker, "could not begin", partial(worker.tracker.begin, known))
            if id_ is not None:
                self._save(worker, id_, record.get("rounds", 0) if id_ == known.id else 0)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            close = partial(worker.tracker.close, failed=not self._ended)
            self._call(worker, "could not be closed", close)
            worker.stop()

    def traced(self, teacher: Teacher) -> Teacher:
        """The teacher, wrapped by trackers that watch its calls."""
        for worker in self._workers:
            if not worker.failed:
                teacher = worker.tracker.traced(teacher)
        return teacher

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        """A round begins with its requests."""
        self._begin_round(number)

    def on_training(self, number: int) -> None:
        """Round 0 begins with its training."""
        self._begin_round(number)

    def on_round_end(self, finished: Round) -> None:
        """Log the round where it has not been logged yet."""
        number = finished.number
        behind = [w for w in self._workers if not w.failed and w.rounds <= number]
        figures = round_figures(finished, self._run) if behind else {}
        for worker in behind:
            log = partial(worker.tracker.log, number, figures)
            self._call(worker, f"could not log round {number}", log)
            if not worker.failed:
                self._save(worker, self._records[worker.name]["id"], number + 1)

    def on_run_end(self, outcome: Outcome) -> None:
        """Log how the run ended."""
        self._ended = True
        rounds = outcome.rounds
        best = round_figures(rounds[outcome.best], self._run) if rounds and self._workers else {}
        records = [round_record(finished) for finished in rounds]
        ending = Ending(outcome.best, outcome.stopped_by, best, records)
        for worker in self._workers:
            self._call(worker, "could not log the end", partial(worker.tracker.end, ending))

    def _begin_round(self, number: int) -> None:
        if number <= self._begun:
            return
        self._begun = number
        for worker in self._workers:
            if worker.rounds <= number:
                begin = partial(worker.tracker.begin_round, number)
                self._call(worker, f"could not begin round {number}", begin)

    def _call(self, worker: Worker, failure: str, work: Callable[[], _Result]) -> _Result | None:
        """Do a step of a tracker; None where it fails or has failed before."""
        if worker.failed:
            return None
        try:
            return worker.do(work)
        except TimeoutError:
            why = f"no answer within {worker.timeout:g} seconds"
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, the run goes on)
            first = str(error).strip().partition("\n")[0]
            why = redact(f"{type(error).__name__}: {first}").rstrip(".: ")
        worker.failed = True
        self._on_failure(worker.name, f"it {failure} ({why})")
        return None

    def _save(self, worker: Worker, id_: str, rounds: int) -> None:
        """Remember what a tracker has logged."""
        worker.rounds = rounds
        self._records[worker.name] = {"id": id_, "rounds": rounds}
        self._run.write_json(FILE, self._records)


class Worker:
    """Runs the steps of a tracker in a thread of its own, which a process that ends abandons.

    Attributes:
        rounds: number of rounds that the tracker has logged.
        failed: whether a step has failed.
    """

    def __init__(self, tracker: Tracker, timeout: float) -> None:
        self.tracker = tracker
        self.name = tracker.name
        self.timeout = timeout
        self.rounds = 0
        self.failed = False
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"pgkd-{self.name}", daemon=True)

    def do(self, work: Callable[[], _Result]) -> _Result:
        """What the work returns or raises.

        Raises:
            TimeoutError: it takes too long. It may go on.
        """
        if self._thread.ident is None:
            self._thread.start()
        future: Future[_Result] = Future()
        context = copy_context()  # a span that the caller has open stays the parent

        def run() -> None:
            try:
                future.set_result(context.run(work))
            except BaseException as error:  # noqa: BLE001  (it is the caller's; also SystemExit)
                future.set_exception(error)

        self._queue.put(run)
        return future.result(self.timeout)

    def stop(self) -> None:
        """End the thread after the steps so far."""
        self._queue.put(None)

    def _serve(self) -> None:
        while (run := self._queue.get()) is not None:
            run()


def round_figures(finished: Round, run: RunFolder) -> dict[str, float]:
    """The figures of a round; calls, tokens and dollars are sums over all rounds so far."""
    evaluation = finished.evaluation
    with run.ledger() as ledger:
        sums = summed(call for call in ledger.calls() if call.round <= finished.number)
    usd = known_usd(sums)
    found = {
        **{f"validation/{name}": value for name, value in evaluation.figures.items()},
        "texts/asked": finished.asked,
        "texts/accepted": finished.accepted,
        "texts/synthetic": finished.synthetic,
        "texts/weight": evaluation.synthetic_weight,
        **{
            f"teacher/{name}": sums[name]
            for name in ("calls", "failed", "input_tokens", "output_tokens")
        },
        "teacher/usd": None if usd is None else float(usd),
        "kept_as_best": int(finished.verdict.keep),
    }
    return {n: value for n, value in found.items() if value is not None and isfinite(value)}


def _read_records(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """What trackers logged in earlier sessions of the run; nothing where the file is damaged."""
    if not os.path.lexists(run.path / FILE):
        return {}
    try:
        return {
            str(name): {"id": str(record["id"]), "rounds": int(record["rounds"])}
            for name, record in run.read_json(FILE).items()
        }
    except (RunError, AttributeError, KeyError, TypeError, ValueError):
        return {}
