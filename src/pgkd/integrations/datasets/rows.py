"""From a run to the rows that its student was trained on, each with where it comes from."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pgkd.errors import RunError
from pgkd.runs.files import fitting_together
from pgkd.runs.review import Decision, Reviews, applied, dropped_texts
from pgkd.tasks.classification.feedback.cross_validation import row_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy

Source = Literal["row", "written", "labelled"]


@dataclass(frozen=True, slots=True)
class FinalRow:
    """A labelled text.

    Attributes:
        text: the text.
        label: its class.
        id: in the run: ``train:17``, ``pool:17``, ``r2-0005-1``.
        source: ``"row"`` is the user's, ``"written"`` a teacher's; of a ``"labelled"`` one the text
            is the user's and the label the teacher's.
        round: that asked for it; None for the user's own rows.
        request: in the ledger of the run; None for the user's own rows.
        weight: in training; of a labelled row 1.
        parents: ids of the rows that the teacher was shown.
        why: what it was asked for.
        confidence: the teacher's in the label, where it told one.
        decision: of a person on it: ``"accept"``, ``"relabel"`` or ``"edit"``; None for none.
        doubted: whether confident learning or the teacher doubts its label.
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
        validation: rows that judged the rounds; nothing was trained on them.
        best: the round whose student was kept.
        left_out: texts of later rounds, which did not help.
        decisions: of people, by kind, also those that took a text out.
        teachers: providers that were asked.
    """

    taxonomy: Taxonomy
    train: tuple[FinalRow, ...]
    validation: tuple[FinalRow, ...]
    best: int
    left_out: int
    decisions: Mapping[str, int]
    teachers: tuple[str, ...]


def final_data(run: RunFolder, *, all_rounds: bool = False) -> FinalData:
    """Gather what the best student was trained on, as people have left it.

    Args:
        run: a run that has ended.
        all_rounds: take texts of later rounds, too. Weights are then those of the last round.

    Raises:
        RunError: the run has not ended, or a file of it is damaged.
    """
    if not os.path.lexists(run.path / "result.json"):
        raise RunError(f"{run.path} has not ended: run the same command again to resume it.")
    with fitting_together(run):
        return _gather(run, all_rounds=all_rounds)


def _gather(run: RunFolder, *, all_rounds: bool) -> FinalData:
    result, task = run.read_json("result.json"), run.dataset()
    if not result["rounds"]:
        raise RunError(f"{run.path} ended before its first student: there is nothing to tell.")
    best, last = int(result["best"]), result["rounds"][-1]
    kept = run.synthetic()
    texts = [text for text in kept if all_rounds or _round(text) <= best]
    decisions = Reviews(run.path).latest()
    taken_in = [
        text
        for text in dropped_texts(run)
        if text.id in decisions and (all_rounds or _round(text) <= best)
    ]
    given = [*task.train, *texts, *taken_in]
    examples = applied(given, decisions)
    weights = _weights(examples, last if all_rounds else result["rounds"][best])
    maker = _Maker(decisions, _reasons(run), _doubted(run))
    known = {example.id for example in given}
    with run.ledger_to_read() as ledger:
        teachers = tuple(dict.fromkeys(call.provider for call in ledger.calls()))
    return FinalData(
        taxonomy=task.taxonomy,
        train=tuple(maker.make(e, w) for e, w in zip(examples, weights, strict=True)),
        validation=tuple(maker.make(example, 1.0) for example in task.validation),
        best=best,
        left_out=len(kept) - len(texts),
        decisions=Counter(d.kind for id_, d in decisions.items() if id_ in known),
        teachers=teachers,
    )


class _Maker:
    """Makes rows of examples.

    Args:
        decisions: of people, by id.
        reasons: of every request, by its id.
        doubted: ids of rows whose label is doubted.
    """

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        reasons: Mapping[str, tuple[str, ...]],
        doubted: frozenset[str],
    ) -> None:
        self._decisions = decisions
        self._reasons = reasons
        self._doubted = doubted

    def make(self, example: LabelledText, weight: float) -> FinalRow:
        origin = example.origin
        decision = self._decisions.get(example.id)
        source: Source = "row"
        if origin is not None:
            source = "labelled" if origin.labelled else "written"
        return FinalRow(
            text=example.text,
            label=example.label,
            id=example.id,
            source=source,
            round=origin.round if origin else None,
            request=origin.request if origin else None,
            weight=round(weight, 6),
            parents=origin.parents if origin else (),
            why=self._reasons.get(origin.request, ()) if origin else (),
            confidence=origin.confidence if origin else None,
            decision=decision.kind if decision else None,
            doubted=example.id in self._doubted,
        )


def _round(text: LabelledText) -> int:
    return text.origin.round if text.origin else 0


def _weights(examples: Sequence[LabelledText], record: Mapping[str, Any]) -> Iterable[float]:
    """What each weighed in the training of a round, as its record tells."""
    written, labelled = record["written_weight"], record.get("labelled_weight")
    found = row_weights(
        examples, 1.0 if written is None else written, 1.0 if labelled is None else labelled
    )
    return map(float, found)


def _reasons(run: RunFolder) -> dict[str, tuple[str, ...]]:
    return {
        ask["id"]: tuple(map(str, ask.get("reasons", ())))
        for line in run.events("round started")
        for ask in line["asks"]
    }


def _doubted(run: RunFolder) -> frozenset[str]:
    return frozenset(str(line["id"]) for line in run.read_lines("suspects.jsonl"))
