"""From what happens in a run to what trackers are told of it.

Nothing that a tracker does, or fails to do, ends a run. It is given half a minute for each step.
One that fails is told no more, which is said once; what it knows stands in ``tracking.json``, so
that the next life of the run tells it the rest.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

from pgkd.errors import RunError
from pgkd.events import Hooks, Outcome, Round
from pgkd.integrations.tracking.base import Ending, TrackedRun
from pgkd.integrations.tracking.helper import Helper
from pgkd.integrations.tracking.settings import told_settings, without_secrets
from pgkd.runs.journal import round_record
from pgkd.usage.sums import known_usd, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pgkd.config import Config
    from pgkd.integrations.tracking.base import Tracker
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Prompt
    from pgkd.teachers.base import Teacher

FILE = "tracking.json"
_PATIENCE = 30.0  # seconds for a step; a database of MLflow's is made in five

_log = logging.getLogger(__name__)


class Tracking(Hooks):
    """Tells trackers of a run; a context manager around it.

    Args:
        trackers: who is told.
        run: the run folder.
        config: its settings.
        patience: seconds that a tracker has for each step.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        run: RunFolder,
        config: Config,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._run = run
        self._config = config
        self._records = _records(run)
        self._followers = [_Follower(tracker, patience) for tracker in trackers]
        self._told: Callable[[str, str], None] = lambda tracker, why: None
        self._begun = -1  # the round that has begun
        self._ended = False

    def heard_by(self, all_hooks: Hooks, given: Sequence[Hooks]) -> Self:
        """Set who hears of a tracker that has failed; the log does if no hook given shows it."""
        shown = any(type(hook).on_untracked is not Hooks.on_untracked for hook in given)

        def told(tracker: str, why: str) -> None:
            all_hooks.on_untracked(tracker, why)
            if not shown:
                _log.warning("%s is told no more of this run, which goes on: %s", tracker, why)

        self._told = told
        return self

    def __enter__(self) -> Self:
        settings = told_settings(self._config) if self._followers else {}
        for follower in self._followers:
            record = self._records.get(follower.name, {})
            known = TrackedRun(
                self._run.path.resolve().name,
                self._run.path.resolve(),
                settings,
                record.get("id"),
            )
            id_ = self._tell(follower, "could not begin", partial(follower.tracker.begin, known))
            if id_ is not None:
                follower.rounds = record.get("rounds", 0) if id_ == known.id else 0
                self._note(follower, id_)
        return self

    def __exit__(self, *exception: object) -> None:
        for follower in self._followers:
            close = partial(follower.tracker.close, failed=not self._ended)
            self._tell(follower, "could not be told the rest", close)
            follower.helper.stop()

    def traced(self, teacher: Teacher) -> Teacher:
        """The teacher as trackers want it, to watch its calls."""
        for follower in self._followers:
            if not follower.gone:
                teacher = follower.tracker.traced(teacher)
        return teacher

    def on_round_start(self, number: int, asks: Sequence[Prompt]) -> None:
        """A round begins with its asks."""
        self._begin_round(number)

    def on_training(self, number: int) -> None:
        """Round 0 begins with its training."""
        self._begin_round(number)

    def on_round_end(self, finished: Round) -> None:
        """Tell the figures of the round to whoever does not know them."""
        number = finished.number
        behind = [f for f in self._followers if not f.gone and f.rounds <= number]
        figures = figures_of(finished, self._run) if behind else {}
        for follower in behind:
            log = partial(follower.tracker.log, number, figures)
            self._tell(follower, f"could not be told of round {number}", log)
            if not follower.gone:
                follower.rounds = number + 1
                self._note(follower)

    def on_run_end(self, outcome: Outcome) -> None:
        """Tell how the run ended."""
        self._ended = True
        rounds = outcome.rounds
        best = figures_of(rounds[outcome.best], self._run) if rounds and self._followers else {}
        records = [round_record(finished) for finished in rounds]
        ending = Ending(outcome.best, outcome.stopped_by, best, records)
        for follower in self._followers:
            self._tell(follower, "could not be told the end", partial(follower.tracker.end, ending))

    def _begin_round(self, number: int) -> None:
        if number <= self._begun:
            return
        self._begun = number
        for follower in self._followers:
            if follower.rounds <= number:
                begin = partial(follower.tracker.begin_round, number)
                self._tell(follower, f"could not be told of round {number}", begin)

    def _tell(self, follower: _Follower, failure: str, work: Callable[[], Any]) -> Any:
        """Have a tracker do something; what it returns, or None where it is told no more."""
        if follower.gone:
            return None
        try:
            return follower.helper.do(work, follower.patience)
        except TimeoutError:
            why = f"no answer within {follower.patience:g} seconds"
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, the run goes on)
            first = str(error).strip().partition("\n")[0]
            why = without_secrets(f"{type(error).__name__}: {first}").rstrip(".: ")
        follower.gone = True
        self._told(follower.name, f"it {failure} ({why})")
        return None

    def _note(self, follower: _Follower, id_: str | None = None) -> None:
        """Remember what a tracker knows."""
        record = self._records.setdefault(follower.name, {})
        self._records[follower.name] = {
            "id": record.get("id") if id_ is None else id_,
            "rounds": follower.rounds,
        }
        self._run.write_json(FILE, self._records)


class _Follower:
    """A tracker, and what it knows.

    Attributes:
        rounds: that it was told of: all before this number.
        gone: whether it has failed.
    """

    def __init__(self, tracker: Tracker, patience: float) -> None:
        self.tracker = tracker
        self.name = tracker.name
        self.patience = patience
        self.helper = Helper(f"pgkd-{tracker.name}")
        self.rounds = 0
        self.gone = False


def figures_of(finished: Round, run: RunFolder) -> dict[str, float]:
    """What trackers are told of a round; tokens and dollars are those of all rounds so far."""
    evaluation = finished.evaluation
    with run.ledger() as ledger:
        sums = summed(call for call in ledger.calls() if call.round <= finished.number)
    usd = known_usd(sums)
    found = {
        **{f"validation/{name}": value for name, value in evaluation.figures.items()},
        "texts/asked": finished.asked,
        "texts/kept": finished.accepted,
        "texts/written": finished.synthetic,
        "texts/weight": evaluation.synthetic_weight,
        "teacher/calls": sums["calls"],
        "teacher/failed": sums["failed"],
        "teacher/input_tokens": sums["input_tokens"],
        "teacher/output_tokens": sums["output_tokens"],
        "teacher/usd": None if usd is None else float(usd),
        "kept_as_best": int(finished.verdict.keep),
    }
    return {n: value for n, value in found.items() if value is not None and isfinite(value)}


def _records(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """What trackers know of earlier lives of the run; a damaged file tells nothing."""
    if not os.path.lexists(run.path / FILE):
        return {}
    try:
        found = run.read_json(FILE)
        return {
            str(name): {"id": str(record["id"]), "rounds": int(record["rounds"])}
            for name, record in found.items()
        }
    except (RunError, AttributeError, KeyError, TypeError, ValueError):
        return {}
