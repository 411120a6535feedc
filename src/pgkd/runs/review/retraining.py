"""A student trained again, on what people have left of the rows and texts of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.tasks.classification.repeating import guide_again
from pgkd.runs.review.applying import applied, dropped_texts
from pgkd.runs.review.journal import DECISIONS, Reviews
from pgkd.stopping import StopRule
from pgkd.errors import RunError
from pgkd.usage.ledger import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.stopping import Verdict
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.evaluation.metrics import Metrics
    from pgkd.task import Assessment
    from pgkd.tasks.classification.data.example import Example

FILE = "reviewed.json"


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of training again.

    Attributes:
        decisions: texts by what counts for them; those that are none of the run are left out.
        rows: labelled rows that it was trained on.
        written: written texts that it was trained on.
        human_verified: those of them that a person stands by; they weigh as much as a row.
        written_weight: what each of the others weighs.
        before: the run's best student on the validation rows.
        after: the new one on the same rows.
        verdict: of the stop rule: whether the new one is as good, or better.
    """

    decisions: dict[str, int]
    rows: int
    written: int
    human_verified: int
    written_weight: float
    before: Metrics
    after: Metrics
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        error = self.verdict.standard_error
        return {
            "decisions": self.decisions,
            "rows": self.rows,
            "written": self.written,
            "human_verified": self.human_verified,
            "written_weight": self.written_weight,
            "keep": self.verdict.keep,
            "loss_change": round(self.verdict.change, 6),
            "loss_change_standard_error": None if error == float("inf") else round(error, 6),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }


def retrain(run: RunFolder) -> Retrained:
    """Train the student of a run again with all decisions, and keep it beside the others.

    It has the hyper-parameters of the run's best student, which stays as it is, and is compared
    with that on the validation rows by the rule that compares rounds. The new one is kept in
    ``students/reviewed`` whatever the rule says, for people are not always right, and neither are
    a hundred validation rows: the verdict is told, and stands in ``reviewed.json``.

    Raises:
        RunError: nobody has decided anything, the run has no best student, or another process is
            running it.
        StudentError: the rows that are left cannot train a student.
    """
    with run.locked():
        config = run.config()
        best, task = run.student("best"), run.task()
        decisions = Reviews(run.path).latest()
        kept, dropped = run.kept(), list(dropped_texts(run))
        known = {row.id for row in (*task.train, *kept, *dropped)}
        counted = Counter(d.kind for d in decisions.values() if d.id in known)
        if not counted:
            raise RunError(
                f"Nobody has decided on a text of {run.path} yet. Run: pgkd ui {run.path}"
            )
        taken_in = [text for text in dropped if text.id in decisions]
        texts = applied([*kept, *taken_in], decisions)
        reviewed = replace(task, train=tuple(applied(task.train, decisions)))
        guide = guide_again(run, config, reviewed, best)
        student = guide.train(texts)
        old = guide_again(run, config, task, best).assess(best, kept)
        new = guide.assess(student, texts)
        before = _losses(old, (*task.validation, *task.train))
        after = _losses(new, (*task.validation, *reviewed.train))
        common = [name for name in before if name in after]
        rule = StopRule(config.patience)
        rule.judge(np.array([before[name] for name in common]))
        found = Retrained(
            decisions={kind: counted[kind] for kind in DECISIONS if counted[kind]},
            rows=len(reviewed.train),
            written=len(texts),
            human_verified=sum(text.human_verified for text in texts),
            written_weight=guide.written_weight,
            before=old.validation,
            after=new.validation,
            verdict=rule.judge(np.array([after[name] for name in common])),
        )
        run.save_reviewed(student)
        run.write_json(FILE, {**found.to_json(), "time": now()})
    return found


def _losses(found: Assessment, rows: Sequence[Example]) -> dict[str, float]:
    """The loss of each row that judges, by its id."""
    return dict(zip((row.id for row in rows), found.losses.tolist(), strict=False))
