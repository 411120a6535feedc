"""From a run to the rows that its student was trained on, each with its origin."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pgkd.errors import RunError
from pgkd.runs.files import fitting_together
from pgkd.runs.folder import RunFolder
from pgkd.runs.review import Reviews, applied, dropped_texts
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.feedback.cross_validation import row_weights

Source = Literal["row", "synthetic", "labelled"]


@dataclass(frozen=True, slots=True)
class FinalRow:
    """A labelled text.

    Attributes:
        text: the text.
        label: its class.
        id: in the run: ``train:17``, ``pool:17``, ``r2-0005-1``.
        source: ``"row"`` is the user's, ``"synthetic"`` a teacher's; of a ``"labelled"`` one the
            text is the user's and the label the teacher's.
        round: that requested it; None for the user's own rows.
        request: in the ledger of the run; None for the user's own rows.
        weight: in training; 1 for a labelled row.
        parents: ids of the rows that the prompt contained.
        why: reasons of the request.
        confidence: of the teacher in the label, where it is known.
        decision: of a reviewer: ``"accept"``, ``"relabel"`` or ``"edit"``; None for none.
        doubted: whether confident learning or the teacher disputes the label.
    """

    text: str
    label: str
    id: str
    source: Source
    round: int | None
    request: str | None
    weight: float
    parents: tuple[str, ...]
    why: tuple[str, ...]
    confidence: float | None
    decision: str | None
    doubted: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class FinalData:
    """The data of a run.

    Attributes:
        taxonomy: the classes.
        train: the user's rows first, then the texts in the order in which they came.
        validation: rows that the rounds were evaluated on; nothing was trained on them.
        best: round of the best student.
        left_out: number of texts of later rounds, which did not help.
        decisions: of reviewers, by kind, rejections among them.
        teachers: providers that were called.
    """

    taxonomy: Taxonomy
    train: tuple[FinalRow, ...]
    validation: tuple[FinalRow, ...]
    best: int
    left_out: int
    decisions: Mapping[str, int]
    teachers: tuple[str, ...]


def final_data(run: RunFolder, *, all_rounds: bool = False) -> FinalData:
    """Gather what the best student was trained on, after all review decisions.

    Args:
        run: a run that has ended.
        all_rounds: include texts of later rounds. Weights are then those of the last round.

    Raises:
        RunError: the run has not ended, or a file of it is damaged.
    """
    if not os.path.lexists(run.path / "result.json"):
        raise RunError(f"{run.path} has not ended: run the same command again to resume it.")
    with fitting_together(run):
        return _gather(run, all_rounds=all_rounds)


def _gather(run: RunFolder, *, all_rounds: bool) -> FinalData:
    result, task, accepted = run.read_json("result.json"), run.dataset(), run.synthetic()
    if not result["rounds"]:
        raise RunError(f"{run.path} ended before its first student: there is nothing to export.")
    best = int(result["best"])
    decisions = Reviews(run.path).latest()
    reasons = {
        request["id"]: tuple(map(str, request.get("reasons", ())))
        for line in run.events("round started")
        for request in line["prompts"]
    }
    doubted = {str(line["id"]) for line in run.read_lines("label_issues.jsonl")}

    def included(text: LabelledText) -> bool:
        return all_rounds or text.origin is None or text.origin.round <= best

    def make(example: LabelledText, weight: float) -> FinalRow:
        origin, decision = example.origin, decisions.get(example.id)
        return FinalRow(
            text=example.text,
            label=example.label,
            id=example.id,
            source="row" if origin is None else "labelled" if origin.labelled else "synthetic",
            round=origin.round if origin else None,
            request=origin.request if origin else None,
            weight=round(weight, 6),
            parents=origin.parents if origin else (),
            why=reasons.get(origin.request, ()) if origin else (),
            confidence=origin.confidence if origin else None,
            decision=decision.kind if decision else None,
            doubted=example.id in doubted,
        )

    texts = [text for text in accepted if included(text)]
    restored = [t for t in dropped_texts(run) if t.id in decisions and included(t)]
    given = [*task.train, *texts, *restored]
    ids = {example.id for example in given}
    examples = applied(given, decisions)
    record = result["rounds"][-1 if all_rounds else best]
    written, labelled = record["synthetic_weight"], record.get("labelled_weight")
    weights = row_weights(
        examples, 1.0 if written is None else written, 1.0 if labelled is None else labelled
    )
    with run.ledger_to_read() as ledger:
        teachers = dict.fromkeys(call.provider for call in ledger.calls())
    return FinalData(
        taxonomy=task.taxonomy,
        train=tuple(make(e, float(w)) for e, w in zip(examples, weights, strict=True)),
        validation=tuple(make(example, 1.0) for example in task.validation),
        best=best,
        left_out=len(accepted) - len(texts),
        decisions=Counter(decision.kind for id_, decision in decisions.items() if id_ in ids),
        teachers=tuple(teachers),
    )
