"""What differs from classification in a run: how rounds are judged, and what is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from pgkd.tasks.classification.assembly import LearnerParts
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.feedback.cross_validation import OutOfFold, class_texts
from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.prompts.targeted import TargetedPrompts
from pgkd.tasks.common.allocation import error_rate
from pgkd.tasks.hierarchy.tree import measure_paths, shared_depth, split


@dataclass(frozen=True)
class HierarchyEvaluation(ClassifierEvaluation):
    """What is known of a round's student; the figures judge its most probable leaves.

    Attributes:
        inner: the threshold of answers that may be inner nodes, and the share of leaves in them.
    """

    inner: Mapping[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """See `Evaluation.figures` and `measure_paths`."""
        names, confusion = [c.name for c in self.validation.per_class], self.validation.confusion
        cells = [(names[i], names[j], int(confusion[i, j])) for i, j in np.argwhere(confusion)]
        counts = Counter({(gold, leaf, leaf): n for gold, leaf, n in cells})
        depth = max(len(split(name)) for name in names)
        return {**measure_paths(counts, depth), "log_loss": self.validation.log_loss, **self.inner}

    @property
    def mistakes(self) -> list[dict[str, Any]]:
        """See `Evaluation.mistakes`: those in another branch first, then the surest."""
        rows = [(row.example, row.predicted) for row in self.mined.mistakes]
        rows.sort(key=lambda row: shared_depth(split(row[0].label), split(row[1])))
        return [
            {"id": row.id, "text": row.text, "expected": row.label, "answer": answer}
            for row, answer in rows
        ]


class HierarchyLearner(ClassificationLearner):
    """Also chooses when an inner node is answered, where the settings leave it to the learner."""

    def evaluate(self, student: Any, written: Sequence[LabelledText]) -> HierarchyEvaluation:
        """See `Learner.evaluate`."""
        found, inner = super().evaluate(student, written), {}
        judged, rows = self._predicted.testable, self._dataset.train
        if student.inner_below != "off":
            labels = [row.label for row, use in zip(rows, judged, strict=True) if use]
            probabilities, tree = self._predicted.probabilities[judged], student.tree
            if student.inner_below == "auto":
                student.threshold = tree.choose_threshold(probabilities, labels)
            answers = tree.answers(probabilities, student.threshold)
            leaves = [a["label"] == a["leaf"] for a in answers] or [True]
            inner = {"inner_below": student.threshold, "leaves_answered": float(np.mean(leaves))}
        known = {x.name: getattr(found, x.name) for x in fields(found)}
        return HierarchyEvaluation(**known, inner=inner)

    def _out_of_fold(self, written: Sequence[LabelledText], *, hidden: Any) -> OutOfFold:
        found = super()._out_of_fold(written, hidden=hidden)
        if hidden is None:
            self._predicted = found  # of this evaluation, and used by it alone
        return found


class HierarchyPrompts(TargetedPrompts):
    """Mistakes within a branch weigh less than those across; siblings are contrasted first."""

    def _errors(self, evaluation: ClassifierEvaluation) -> dict[str, float]:
        """As in classification, but a mistake weighs 1 less the share of the path that is right."""
        errors, judged = super()._errors(evaluation), evaluation.out_of_fold
        if self._allocation == "even":
            return errors
        paths, wrong = [split(c.name) for c in judged.per_class], Counter[int]()
        for i, j in np.argwhere(judged.confusion):
            right = shared_depth(paths[i], paths[j]) / max(len(paths[i]), len(paths[j]))
            wrong[i] += judged.confusion[i, j] * (1 - right)
        weighed = {c.name: error_rate(c.support, wrong[i]) for i, c in enumerate(judged.per_class)}
        return {**errors, **weighed}

    def _find_nearest(self) -> dict[str, tuple[str, ...]]:
        """Siblings first, then cousins; among them the most similar first."""
        found = {}
        for name, others in super()._find_nearest().items():
            path = split(name)
            found[name] = tuple(sorted(others, key=lambda x: -shared_depth(path, split(x))))
        return found


def leaf_texts(taxonomy: Taxonomy) -> tuple[LabelledText, ...]:
    """A text a label: its own name, or its path where others have that name."""
    times = Counter(split(name)[-1] for name in taxonomy.names)
    names = [own if times[own := split(name)[-1]] == 1 else name for name in taxonomy.names]
    named = class_texts(replace(c, name=n) for c, n in zip(taxonomy, names, strict=True))
    pairs = zip(taxonomy.names, named, strict=True)
    return tuple(replace(text, label=name, id=f"class:{name}") for name, text in pairs)


PARTS = LearnerParts(HierarchyLearner, HierarchyPrompts, leaf_texts)
