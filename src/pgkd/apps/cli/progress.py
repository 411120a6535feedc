"""What `pgkd distill` shows while it runs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pgkd.apps.cli.console import clean, print_rows
from pgkd.events import Hooks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from pgkd.events import Event, Outcome, Round
    from pgkd.runs.resume import Resumed
    from pgkd.task import Evaluation, Prompt
    from pgkd.usage.batches import BatchProgress
    from pgkd.usage.estimate import Estimate

_FIGURES = 3  # that are shown of an evaluation
_WHY = {
    "rounds": "all rounds were run",
    "patience": "the loss stopped improving",
    "nothing usable": "the teacher wrote nothing usable",
    "budget": "",  # the detail says it all
    "interrupted": "interrupted",
    "teacher failed": "the teacher failed",
}


class RunDisplay(Hooks):
    """Shows a run on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._requests = 0  # of the round
        self._kept = 0  # texts of the round, so far
        self._read = 0  # of them, once more
        self._out = 0  # requests, in batches
        self._trouble = ""  # of a batch, told last
        self._bar = self._progress.add_task("preparing the student", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def on_resumed(self, resumed: Resumed) -> None:
        """Say what is reused, and what the cut may have cost."""
        self._console.print(
            f"resuming: {resumed.replies} replies of the teacher are used again and cost nothing"
        )
        if resumed.lost:
            names = ", ".join(clean(call.id).plain for call in resumed.lost)
            self._console.print(
                f"in flight when the run was cut off, perhaps paid for, asked again: {names}"
            )
        if resumed.waiting:
            self._console.print(
                f"{resumed.waiting} requests are out in a batch: it is waited for, not paid again"
            )

    def on_event(self, event: Event) -> None:
        """Print what a task reports, or count it."""
        if event.progress:
            if not self._read:
                self._progress.reset(self._bar, total=self._kept, description=event.progress)
            self._read += 1
            self._progress.advance(self._bar)
        elif line := event.describe():
            self._console.print(clean(line, 1000))

    def on_training(self, number: int) -> None:
        """Say that the student trains."""
        self._progress.update(self._bar, description=f"round {number}: training", total=None)

    def on_estimate(self, estimate: Estimate) -> None:
        """Say what it will cost."""
        self._console.print(estimate_line(estimate))

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        """Begin to count requests."""
        self._requests = len(prompts)
        self._kept = self._read = 0
        self._progress.reset(
            self._bar, total=len(prompts), description=f"round {number}: the teacher writes"
        )
        if not self._console.is_terminal:
            self._console.print(f"round {number}: {len(prompts)} requests to the teacher")

    def on_batch(self, progress: BatchProgress) -> None:
        """Say once that batches are out, and once what goes wrong; show how far they are."""
        if progress.trouble:
            if progress.trouble != self._trouble:
                self._console.print("batch: ", clean(progress.trouble), sep="")
            self._trouble = progress.trouble
            return
        if progress.requests > self._out:
            self._console.print(
                f"batch: {progress.requests} requests go out together, at half the price. The "
                "answers may take a day. Ctrl-C loses nothing: the same command goes on."
            )
        self._out = progress.requests
        if progress.requests:
            self._progress.update(
                self._bar, description="waiting for a batch",
                completed=progress.finished, total=progress.requests,
            )  # fmt: skip
        else:
            self._progress.reset(self._bar, total=self._requests, description="the teacher writes")

    def on_curated(self, prompt: Prompt, accepted: int, rejected: int) -> None:
        """Count a request, and the texts that may be read once more."""
        self._kept += accepted
        self._progress.advance(self._bar)

    def on_round_end(self, finished: Round) -> None:
        """Print the round's line."""
        self._console.print(round_line(finished))

    def on_untracked(self, tracker: str, why: str) -> None:
        """Say that a tracker is left, and that nothing else is lost."""
        self._console.print(
            f"warning: {tracker} no longer tracks this run, which continues: ",
            clean(why, 300),
            ". When it works again, the same command tells it what it has missed.",
            sep="",
        )

    def summary(self, path: Path, outcome: Outcome) -> None:
        """Print how the run ended: round 0, the best and the last round side by side."""
        rounds = outcome.rounds
        if not rounds:
            return
        parts = [_WHY[outcome.stopped_by], outcome.detail.rstrip(".")]
        why = ": ".join(part for part in parts if part)
        self._console.print(f"\nStopped after round {rounds[-1].number}: {why}.")
        shown = {
            "before the teacher (round 0)": rounds[0],
            f"best (round {outcome.best})": rounds[outcome.best],
            f"last (round {rounds[-1].number})": rounds[-1],
        }
        first = rounds[0].evaluation
        print_rows(
            judged_on(first.n, held_out=first.held_out),
            ("", "texts", *map(figure_name, list(first.figures)[:_FIGURES])),
            [(name, str(r.synthetic), *_figures(r.evaluation)) for name, r in shown.items()],
        )
        issues = len(list(rounds[-1].evaluation.label_issues()))
        if issues:
            self._console.print(
                f"{issues} training rows may be mislabelled: see {path / 'suspects.jsonl'}"
            )
        self._console.print(f"Run folder: {path}\nNext: pgkd show {path}")
        self._console.print(f"      pgkd evaluate {path} --data TEST_FILE")


def _figures(evaluation: Evaluation) -> list[str]:
    return [f"{value:.3f}" for value in list(evaluation.figures.values())[:_FIGURES]]


def figure_name(name: str) -> str:
    """The name of a figure as people write it: ``macro_f1`` is "macro F1"."""
    return name.replace("_", " ").replace("f1", "F1")


def judged_on(n: int, *, held_out: bool) -> str:
    """Which rows figures of a run are of."""
    return f"On {n} validation rows" if held_out else f"Cross-validated on {n} labelled rows"


def estimate_line(estimate: Estimate) -> str:
    """An estimate in one line."""
    usd = "at an unknown price" if estimate.usd is None else f"for about ${estimate.usd:.4f}"
    return (
        f"At most {estimate.calls} calls and as many repairs as are needed: about "
        f"{estimate.input_tokens:,} tokens of prompts and {estimate.output_tokens:,} of answers, "
        f"{usd}. A budget would reserve {estimate.most_tokens:,} tokens for them."
    )


def round_line(finished: Round) -> str:
    """A round in one line."""
    evaluation, line = finished.evaluation, f"round {finished.number}: "
    if finished.number:
        line += f"kept {finished.accepted} of {finished.asked} texts; "
    if (weight := evaluation.synthetic_weight) is not None:
        line += f"each synthetic text counts {weight:.0%} of a labelled row; "
    line += "validation " if evaluation.held_out else "cross-validated "
    named = zip(map(figure_name, evaluation.figures), _figures(evaluation), strict=False)
    return line + ", ".join(f"{name} {value}" for name, value in named)
