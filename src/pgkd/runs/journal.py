"""The journal: a hook that records what happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pgkd.events import Event, Hooks, Outcome, Round

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder
    from pgkd.runs.resume import Resumed
    from pgkd.task import Evaluation, Prompt
    from pgkd.teachers.base import Reply
    from pgkd.usage.estimate import Estimate


_MISTAKES = 50  # of a round


class Journal(Hooks):
    """Writes ``journal.jsonl``, ``label_issues.jsonl`` and ``result.json`` of a run folder."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._rounds: list[dict[str, Any]] = []
        self._issues: set[str] = set()
        self._result: dict[str, Any] = {}

    def on_resumed(self, resumed: Resumed) -> None:  # noqa: D102
        lost = [call.id for call in resumed.lost]
        self._run.log("run resumed", replies=resumed.replies, lost=lost, waiting=resumed.waiting)

    def on_estimate(self, estimate: Estimate) -> None:  # noqa: D102
        self._run.log("estimated", **estimate.to_json())

    def on_event(self, event: Event) -> None:  # noqa: D102
        record = event.to_json()
        self._run.log(event.name, **record)
        if event.in_result:
            self._result[event.in_result] = record

    def on_run_start(self, rounds: int) -> None:  # noqa: D102
        self._run.log("run started", rounds=rounds)

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        """Record every prompt with its reasons: this is where the budget goes."""
        self._run.log("round started", round=number, prompts=[p.to_json() for p in prompts])

    def on_reply(self, prompt: Prompt, reply: Reply) -> None:
        """Record what the reply cost."""
        self._run.log(
            "reply",
            id=prompt.id,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            finish_reason=reply.finish_reason,
            seconds=reply.seconds,
        )

    def on_curated(self, prompt: Prompt, accepted: int, rejected: int) -> None:  # noqa: D102
        self._run.log("curated", id=prompt.id, accepted=accepted, rejected=rejected)

    def on_round_end(self, finished: Round) -> None:
        """Record the round, and examples whose output is newly in doubt."""
        record = round_record(finished)
        self._rounds.append(record)
        self._run.log("round ended", **record)
        issues = [i for i in finished.evaluation.label_issues() if i["id"] not in self._issues]
        self._issues.update(issue["id"] for issue in issues)
        self._run.record_issues({**issue, "round": finished.number} for issue in issues)

    def on_run_end(self, outcome: Outcome) -> None:
        """Record the end, and write the result."""
        end = {"best": outcome.best, "stopped_by": outcome.stopped_by, "detail": outcome.detail}
        reasons = Counter(str(line["reason"]) for line in self._run.read_lines("rejected.jsonl"))
        self._run.log("run ended", **end)
        result = {
            **end, "teacher": None, **self._result,
            "rejected": dict(sorted(reasons.items())), "rounds": self._rounds,
        }  # fmt: skip
        self._run.write_json("result.json", result)

    def on_untracked(self, tracker: str, why: str) -> None:  # noqa: D102
        self._run.log("tracking failed", tracker=tracker, why=why)


def round_record(finished: Round) -> dict[str, Any]:
    """A round as plain data."""
    verdict, evaluation = finished.verdict, finished.evaluation
    return {
        "round": finished.number,
        "asked": finished.asked,
        "accepted": finished.accepted,
        "synthetic": finished.synthetic,
        "keep": verdict.keep,
        "loss_change": round(verdict.change, 6),
        "loss_change_standard_error": finite(verdict.standard_error),
        "mistakes": list(evaluation.mistakes[:_MISTAKES]),
        **evaluation.to_json(),
        "synthetic_weight": evaluation.synthetic_weight,
        "validation": figures_record(evaluation),
    }


def figures_record(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation and its cells, as plain data."""
    return {
        "n": evaluation.n,
        **{name: round(value, 6) for name, value in evaluation.figures.items()},
        "cells": list(evaluation.cells),
        **evaluation.to_json().get("validation", {}),
    }


def finite(error: float) -> float | None:
    """A standard error for JSON, which has no infinity."""
    return None if error == float("inf") else round(error, 6)
