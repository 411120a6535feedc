"""The journal: a hook that writes down what happened."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pgkd.events import Hooks, Outcome, Round

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.feedback.self_verification import Verified
    from pgkd.tasks.classification.estimate import Estimate
    from pgkd.tasks.classification.feedback.exam import Exam
    from pgkd.runs.resume import Resumed
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.feedback.class_list import ClassListTrial
    from pgkd.tasks.classification.prompts.glossary import Glossary
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.data.pool import Pool
    from pgkd.teachers.base import Reply


class Journal(Hooks):
    """Writes ``journal.jsonl``, ``suspects.jsonl`` and ``result.json`` of a run folder."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._rounds: list[dict[str, Any]] = []
        self._suspected: set[str] = set()
        self._exam: Exam | None = None

    def on_resumed(self, resumed: Resumed) -> None:
        """Note what was there already, and what may have been paid for and is lost."""
        lost = [call.id for call in resumed.lost]
        waiting = resumed.waiting
        self._run.log("run resumed", replies=resumed.replies, lost=lost, waiting=waiting)

    def on_pool(self, pool: Pool) -> None:
        """Note how large the pool is, and how many texts were left out of it, and why."""
        self._run.log("pool read", texts=len(pool.texts), dropped=dict(pool.dropped))

    def on_tuned(self, tuning: str) -> None:
        """Note what was chosen, and why."""
        self._run.log("student tuned", tuning=tuning)

    def on_class_list(self, trial: ClassListTrial) -> None:
        """Note whether the class list is used, and why."""
        self._run.log(
            "class list tried",
            used=bool(trial.texts),
            loss_change=round(trial.change, 6),
            loss_change_standard_error=_finite(trial.standard_error),
        )

    def on_run_start(self, rounds: int) -> None:
        """Note the start."""
        self._run.log("run started", rounds=rounds)

    def on_described(self, description: str) -> None:
        """Note what every later prompt says of the task."""
        self._run.log("task described", description=description)

    def on_estimate(self, estimate: Estimate) -> None:
        """Note what it should cost."""
        self._run.log("estimated", **estimate.to_json())

    def on_exam(self, exam: Exam) -> None:
        """Note what the teacher has shown, and keep it beside the result."""
        self._run.log("teacher examined", **exam.to_json())
        self._exam = exam

    def on_glossary(self, glossary: Glossary) -> None:
        """Note what every later prompt says of the task."""
        self._run.log("glossary written", about=glossary.about, classes=len(glossary.classes))

    def on_round_start(self, number: int, asks: Sequence[Ask]) -> None:
        """Note every ask with its reasons: this is where the budget went."""
        planned = [
            {
                "id": a.id,
                "labels": a.labels if len(a.labels) == 1 else "all",
                "count": a.count,
                "reasons": a.reasons,
                "shown": [row.id for row in a.shown],
                **({} if a.question is None else {"question": a.question.id}),
            }
            for a in asks
        ]
        self._run.log("round started", round=number, asks=planned)

    def on_reply(self, ask: Ask, reply: Reply) -> None:
        """Note what the reply cost."""
        self._run.log(
            "reply",
            id=ask.id,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            finish_reason=reply.finish_reason,
            seconds=reply.seconds,
        )

    def on_curated(self, ask: Ask, kept: int, dropped: int) -> None:
        """Note how many texts passed."""
        self._run.log("curated", id=ask.id, kept=kept, dropped=dropped)

    def on_verified(self, verified: Verified) -> None:
        """Note what the teacher said of its text."""
        self._run.log(
            "read blind",
            id=verified.text.id,
            said=verified.said,
            confirmed=round(verified.confirmed, 6),
        )

    def on_round_end(self, finished: Round) -> None:
        """Note the round, and rows whose label is newly suspected."""
        record = round_record(finished)
        self._rounds.append(record)
        self._run.log("round ended", **record)
        mined = finished.assessment.mined
        new = [row for row in mined.suspects if row.example.id not in self._suspected]
        self._suspected.update(row.example.id for row in new)
        self._run.record_suspects(new, finished.number)

    def on_run_end(self, outcome: Outcome) -> None:
        """Note the end, and write the result."""
        end = {"best": outcome.best, "stopped_by": outcome.stopped_by, "detail": outcome.detail}
        reasons = Counter(str(line["reason"]) for line in self._run.read_lines("dropped.jsonl"))
        self._run.log("run ended", **end)
        self._run.write_json(
            "result.json",
            {
                **end,
                "teacher": None if self._exam is None else self._exam.to_json(),
                "dropped": dict(sorted(reasons.items())),
                "rounds": self._rounds,
            },
        )

    def on_untracked(self, tracker: str, why: str) -> None:
        """Note what was not told to whom."""
        self._run.log("tracking failed", tracker=tracker, why=why)


def round_record(finished: Round) -> dict[str, Any]:
    """A round as plain data."""
    mined, verdict = finished.assessment.mined, finished.verdict
    return {
        "round": finished.number,
        "asked": finished.asked,
        "kept": finished.kept,
        "written": finished.written,
        "written_weight": finished.assessment.written_weight,
        "labelled_weight": finished.assessment.labelled_weight,
        "keep": verdict.keep,
        "loss_change": round(verdict.change, 6),
        "loss_change_standard_error": _finite(verdict.standard_error),
        "mined": {
            "correct": len(mined.correct),
            "mistakes": len(mined.mistakes),
            "suspects": len(mined.suspects),
        },
        "validation": finished.assessment.validation.to_json(),
        "out_of_fold": finished.assessment.out_of_fold.to_json(),
    }


def _finite(error: float) -> float | None:
    """A standard error for JSON, which has no infinity."""
    return None if error == float("inf") else round(error, 6)
