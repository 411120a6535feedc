"""A student trained again, on what people have left of the rows and texts of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pgkd.errors import RunError
from pgkd.runs.folder import RunFolder
from pgkd.runs.journal import figures_record
from pgkd.runs.review import DECISIONS, Reviews, applied, dropped_texts
from pgkd.stopping import StopRule, Verdict
from pgkd.task import Evaluation, Example
from pgkd.usage.ledger import now

FILE = "reviewed.json"


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of training again.

    Attributes:
        decisions: texts by what counts for them; those that are none of the run are left out.
        rows: the user's examples that it was trained on.
        written: the teacher's examples that it was trained on.
        human_verified: those of them that a person has verified; they count as much as the user's.
        before: evaluation of the run's best student.
        after: of the new one, on the same examples.
        verdict: of the stop rule: whether the new one is as good, or better.
    """

    decisions: dict[str, int]
    rows: int
    synthetic: int
    human_verified: int
    before: Evaluation
    after: Evaluation
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        error = self.verdict.standard_error
        return {
            "decisions": self.decisions,
            "rows": self.rows,
            "synthetic": self.synthetic,
            "human_verified": self.human_verified,
            "keep": self.verdict.keep,
            "loss_change": round(self.verdict.change, 6),
            "loss_change_standard_error": None if error == float("inf") else round(error, 6),
            "synthetic_weight": self.after.synthetic_weight,
            "before": figures_record(self.before),
            "after": figures_record(self.after),
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
        best, data, task = run.student("best"), run.dataset(), run.task
        decisions = Reviews(run.path).latest()
        kept, dropped = run.synthetic(), list(dropped_texts(run))
        known = {row.id for row in (*data.train, *kept, *dropped)}
        counted = Counter(d.kind for d in decisions.values() if d.id in known)
        if not counted:
            raise RunError(
                f"Nobody has decided on a text of {run.path} yet. Run: pgkd ui {run.path}"
            )
        taken_in = [text for text in dropped if text.id in decisions]
        texts = applied([*kept, *taken_in], decisions)
        reviewed = replace(data, train=tuple(applied(data.train, decisions)))
        learner = task.retrainer(run, config, reviewed, best)
        student = learner.train(texts)
        old = task.retrainer(run, config, data, best).evaluate(best, kept)
        new = learner.evaluate(student, texts)
        before = _losses(old, (*data.validation, *data.train))
        after = _losses(new, (*data.validation, *reviewed.train))
        common = [name for name in before if name in after]
        rule = StopRule(config.patience)
        rule.judge(np.array([before[name] for name in common]))
        found = Retrained(
            decisions={kind: counted[kind] for kind in DECISIONS if counted[kind]},
            rows=len(reviewed.train),
            synthetic=len(texts),
            human_verified=sum(text.human_verified for text in texts),
            before=old,
            after=new,
            verdict=rule.judge(np.array([after[name] for name in common])),
        )
        run.save_reviewed(student)
        run.write_json(FILE, {**found.to_json(), "time": now()})
    return found


def _losses(found: Evaluation, rows: Sequence[Example]) -> dict[str, float]:
    """The loss of each row that judges, by its id."""
    return dict(zip((row.id for row in rows), found.losses.tolist(), strict=False))
