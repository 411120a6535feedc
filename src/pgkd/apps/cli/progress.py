"""What `pgkd distill` and `pgkd predict` show on the way: a bar on a terminal, lines elsewhere."""

# ruff: noqa: D102  (`Hooks` and `Watcher` document their methods)

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich import progress as bars
from rich.console import Console

from pgkd.apps.bulk import Watcher
from pgkd.apps.cli.console import clean, format_change, print_rows
from pgkd.evaluation import titled
from pgkd.events import Hooks

if TYPE_CHECKING:
    from pgkd.events import Event, Outcome, Round
    from pgkd.runs.resume import Resumed
    from pgkd.task import Evaluation, Prompt
    from pgkd.usage.batch import BatchProgress
    from pgkd.usage.estimate import Estimate

_REASONS = {
    "rounds": "all rounds are done",
    "patience": "the loss stopped improving",
    "nothing usable": "no text of the teacher was usable",
    "budget": "",  # the detail says it all
    "interrupted": "interrupted",
    "teacher failed": "the teacher failed",
}

_FIGURES = 3  # of an evaluation that are shown
_DELAY = 2.0  # seconds before the progress of rows is shown
_INTERVAL = 30.0  # seconds between two lines, without a terminal


class RunDisplay(Hooks):
    """Shows a run on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = bars.Progress(
            "{task.description}", bars.BarColumn(), bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._requests = 0  # of the round
        self._accepted = 0  # texts of the round
        self._counted = 0  # events of these
        self._in_batches = 0  # requests
        self._batch_error = ""  # last shown
        self._bar = self._progress.add_task("preparing the student", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def _print(self, *parts: Any) -> None:
        self._console.print(*parts, sep="")

    def on_resumed(self, resumed: Resumed) -> None:
        self._print(f"resuming: {resumed.replies} replies of the teacher are reused at no cost")
        if resumed.lost:
            names = ", ".join(clean(call.id).plain for call in resumed.lost)
            self._print(f"in flight at the interruption, perhaps charged, sent again: {names}")
        if resumed.waiting:
            self._print(
                f"{resumed.waiting} requests are out in a batch; waiting for it costs nothing more"
            )

    def on_event(self, event: Event) -> None:
        if event.progress:
            if not self._counted:
                self._progress.reset(self._bar, total=self._accepted, description=event.progress)
            self._counted += 1
            self._progress.advance(self._bar)
        elif line := event.describe():
            self._print(clean(line, 1000))

    def on_training(self, number: int) -> None:
        self._progress.update(self._bar, description=f"round {number}: training", total=None)

    def on_estimate(self, estimate: Estimate) -> None:
        self._print(format_estimate(estimate))

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        self._requests = len(prompts)
        self._accepted = self._counted = 0
        self._progress.reset(
            self._bar, total=len(prompts), description=f"round {number}: the teacher writes"
        )
        if not self._console.is_terminal:
            self._print(f"round {number}: {len(prompts)} requests to the teacher")

    def on_batch(self, progress: BatchProgress) -> None:
        if progress.error:
            if progress.error != self._batch_error:
                self._print("batch: ", clean(progress.error))
            self._batch_error = progress.error
            return
        if progress.requests > self._in_batches:
            self._print(
                f"batch: {progress.requests} requests are sent together, at half the price. The "
                "answers may take a day. Ctrl-C loses nothing: the same command resumes."
            )
        self._in_batches = progress.requests
        if progress.requests:
            self._progress.update(
                self._bar, description="waiting for a batch",
                completed=progress.finished, total=progress.requests,
            )  # fmt: skip
        else:
            self._progress.reset(self._bar, total=self._requests, description="the teacher writes")

    def on_curated(self, prompt: Prompt, accepted: int, rejected: int) -> None:
        self._accepted += accepted
        self._progress.advance(self._bar)

    def on_round_end(self, finished: Round) -> None:
        self._print(_format_round(finished))

    def on_untracked(self, tracker: str, why: str) -> None:
        self._print(
            f"warning: {tracker} no longer tracks this run, which continues: ", clean(why, 300),
            ". When it works again, the same command sends what it has missed.",
        )  # fmt: skip

    def print_summary(self, path: Path, outcome: Outcome) -> None:
        """Print how the run ended: round 0, the best and the last round side by side."""
        rounds = outcome.rounds
        if not rounds:
            return
        parts = [_REASONS[outcome.stopped_by], outcome.detail.rstrip(".")]
        why = ": ".join(part for part in parts if part)
        first, last = rounds[0].evaluation, rounds[-1]
        self._print(f"\nStopped after round {last.number}: {why}.")
        shown = {
            "before the teacher (round 0)": rounds[0],
            f"best (round {outcome.best})": rounds[outcome.best],
            f"last (round {last.number})": last,
        }
        print_rows(
            describe_rows(first),
            ("", "texts", *figure_names(first)),
            [(name, str(r.synthetic), *format_figures(r.evaluation)) for name, r in shown.items()],
        )
        if issues := len(list(last.evaluation.label_issues())):
            self._print(f"{issues} possible label issues: see {path / 'label_issues.jsonl'}")
        self._print(f"Run folder: {path}\nNext: pgkd show {path}")
        self._print(f"      pgkd evaluate {path} --data TEST_FILE")


def describe_rows(evaluation: Evaluation) -> str:
    """The rows that figures of a run are of."""
    n = evaluation.n
    return f"On {n} validation rows" if evaluation.held_out else f"Cross-validated on {n} rows"


def figure_names(evaluation: Evaluation) -> list[str]:
    """Names of the figures that are shown, as people write them: ``macro_f1`` is "macro F1"."""
    shown = list(evaluation.figures)[:_FIGURES]
    return [titled(name) for name in shown]


def format_figures(evaluation: Evaluation) -> list[str]:
    """The figures that are shown."""
    return [f"{value:.3f}" for value in list(evaluation.figures.values())[:_FIGURES]]


def format_label_names(change: str, *, used: bool) -> str:
    """Whether training on the label names helps."""
    return (
        f"Label names as training data: cross-validated log loss {change}, "
        f"{'used' if used else 'not used'}."
    )


def format_estimate(estimate: Estimate) -> str:
    """An estimate in one line."""
    usd = "price unknown" if estimate.usd is None else f"about ${estimate.usd:.4f}"
    return (
        f"Up to {estimate.calls} calls plus retries: about {estimate.input_tokens:,} input and "
        f"{estimate.output_tokens:,} output tokens, {usd}. A budget reserves "
        f"{estimate.most_tokens:,} tokens for them."
    )


def _format_round(finished: Round) -> str:
    """A round in one line."""
    state = finished.evaluation
    named = zip(figure_names(state), format_figures(state), strict=True)
    figures = "validation " if state.held_out else "cross-validated "
    figures += ", ".join(f"{name} {value}" for name, value in named)
    if not finished.number:
        return f"round 0: {figures}"
    weight, verdict = state.synthetic_weight, finished.verdict
    weighed = "" if weight is None else f"a synthetic text counts {weight:.0%} of a labelled row; "
    return (
        f"round {finished.number}: accepted {finished.accepted} of {finished.asked} texts; "
        f"{weighed}{figures}; loss {format_change(verdict.change, verdict.standard_error)}, "
        f"{'new best' if verdict.keep else 'not the best'}"
    )


class RowsProgress(Watcher):
    """Shows rows and rows per second of work that takes longer than two seconds.

    Args:
        console: where to print.
        clock: a time in seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._bar = bars.Progress(
            "{task.description}", bars.BarColumn(), "{task.fields[rate]}",
            bars.TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", rate="")
        self._start("reading", 0, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:  # elsewhere it would leave an empty line
            self._bar.stop()

    def on_read(self, rows: int) -> None:
        self.on_rows(rows)

    def on_start(self, done: int, total: int | None) -> None:
        if done:
            self._console.print(f"resuming after {done:,} of {total:,} texts")
        self._start("classifying", done, total)

    def _start(self, step: str, done: int, total: int | None) -> None:
        self._step, self._total = step, total
        self._started, self._before = self._clock(), done
        self._due = self._started + _DELAY
        self._bar.reset(self._task, description=step, total=total, completed=done)

    def on_rows(self, done: int) -> None:
        now = self._clock()
        if now < self._due:
            return
        of = "" if self._total is None else f" of {self._total:,}"
        rate = f"{done:,}{of} rows, {(done - self._before) / (now - self._started):,.0f} rows/s"
        if self._console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=done, rate=rate)
        else:
            self._console.print(f"{self._step}: {rate}")
            self._due = now + _INTERVAL
