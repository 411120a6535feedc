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

    from pgkd.events import Outcome, Round
    from pgkd.runs.resume import Resumed
    from pgkd.task import Assessment
    from pgkd.tasks.classification.data.pool import Pool
    from pgkd.tasks.classification.estimate import Estimate
    from pgkd.tasks.classification.feedback.class_list import ClassListTrial
    from pgkd.tasks.classification.feedback.exam import Exam
    from pgkd.tasks.classification.feedback.self_verification import Verified
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.prompts.glossary import Glossary
    from pgkd.usage.batches import BatchProgress

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

    def on_pool(self, pool: Pool) -> None:
        """Say how many texts there are to choose from."""
        left_out = ", ".join(f"{n} {why}" for why, n in pool.dropped.items())
        line = f"pool of {len(pool.texts)} unlabelled texts"
        self._console.print(line + (f"; left out: {left_out}" if left_out else ""))

    def on_tuned(self, tuning: str) -> None:
        """Say what was chosen."""
        self._console.print(f"student: {tuning}")

    def on_class_list(self, trial: ClassListTrial) -> None:
        """Say whether the class list is used."""
        self._console.print(
            f"class list as training texts: cross-validated log loss {trial.change:+.3f} "
            f"± {trial.standard_error:.3f}, {'used' if trial.texts else 'not used'}"
        )

    def on_training(self, number: int) -> None:
        """Say that the student trains."""
        self._progress.update(self._bar, description=f"round {number}: training", total=None)

    def on_described(self, description: str) -> None:
        """Show what the teacher takes the task for: the user may know better."""
        if description:
            told = clean(description)
            self._console.print("the teacher on the task: ", told, " (or --instructions)", sep="")

    def on_estimate(self, estimate: Estimate) -> None:
        """Say what it will cost."""
        self._console.print(estimate_line(estimate))

    def on_exam(self, exam: Exam) -> None:
        """Say how well the teacher knows the classes."""
        part, what = (exam.rows, "labelled rows") if exam.own is None else (exam.own, "own texts")
        if not part.asked:
            return
        low, high = part.interval
        self._console.print(
            f"teacher: right on {part.right} of {part.asked} {what} "
            f"({part.value:.0%}, 95% interval {low:.0%} to {high:.0%}). {exam.verdict}"
        )

    def on_glossary(self, glossary: Glossary) -> None:
        """Show what the teacher takes the task for: the user may know better."""
        self._console.print(
            f"glossary of {len(glossary.classes)} classes by the teacher: glossary.yaml in the run "
            "folder; edit a copy and give it as guidance.glossary. About the texts: ",
            clean(glossary.about), sep="",
        )  # fmt: skip

    def on_round_start(self, number: int, asks: Sequence[Ask]) -> None:
        """Begin to count requests."""
        self._requests = len(asks)
        self._kept = self._read = 0
        self._progress.reset(
            self._bar, total=len(asks), description=f"round {number}: the teacher writes"
        )
        if not self._console.is_terminal:
            self._console.print(f"round {number}: {len(asks)} requests to the teacher")

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

    def on_curated(self, ask: Ask, kept: int, dropped: int) -> None:
        """Count a request, and the texts that may be read once more."""
        self._kept += kept
        self._progress.advance(self._bar)

    def on_verified(self, verified: Verified) -> None:
        """Count a text that was read once more."""
        if not self._read:
            self._progress.reset(
                self._bar, total=self._kept, description="the teacher reads its texts blind"
            )
        self._read += 1
        self._progress.advance(self._bar)

    def on_round_end(self, finished: Round) -> None:
        """Print the round's line."""
        self._console.print(round_line(finished))

    def on_untracked(self, tracker: str, why: str) -> None:
        """Say that a tracker is left, and that nothing else is lost."""
        self._console.print(
            f"warning: {tracker} is told no more of this run, which goes on: ",
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
        print_rows(
            judged_on(
                rounds[0].assessment.validation.n, held_out=not rounds[0].assessment.cross_validated
            ),
            ("", "texts", "accuracy", "macro F1", "log loss"),
            [(name, *_figures(finished)) for name, finished in shown.items()],
        )
        suspects = len(rounds[-1].assessment.mined.suspects)
        if suspects:
            self._console.print(
                f"{suspects} training rows have a doubtful label: see {path / 'suspects.jsonl'}"
            )
        self._console.print(f"Run folder: {path}\nNext: pgkd show {path}")
        self._console.print(f"      pgkd evaluate {path} --data TEST_FILE")


def _figures(finished: Round) -> tuple[str, ...]:
    metrics = finished.assessment.validation
    return (
        str(finished.written),
        f"{metrics.accuracy:.3f}",
        f"{metrics.macro_f1:.3f}",
        f"{metrics.log_loss:.3f}",
    )


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


def _weights(assessment: Assessment) -> str:
    """What the texts weigh, as far as there are any."""
    weights = {
        "texts": assessment.written_weight,
        "labelled texts of the pool": assessment.labelled_weight,
    }
    return "".join(f"{what} weigh {w:.2g}; " for what, w in weights.items() if w is not None)


def round_line(finished: Round) -> str:
    """A round in one line."""
    _, accuracy, macro_f1, log_loss = _figures(finished)
    line = f"round {finished.number}: "
    if finished.number:
        line += f"kept {finished.kept} of {finished.asked} texts; "
        line += _weights(finished.assessment)
    judged = "cross-validated" if finished.assessment.cross_validated else "validation"
    line += f"{judged} accuracy {accuracy}, macro F1 {macro_f1}, log loss {log_loss}"
    if finished.number:
        verdict = finished.verdict
        line += f"; loss {verdict.change:+.3f} ± {verdict.standard_error:.3f}"
        line += ", kept as best" if verdict.keep else ", not kept"
    return line
