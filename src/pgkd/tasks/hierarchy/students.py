"""Students whose head knows the tree.

The weights of a label are the sum of its own and those of the nodes above it, which it shares with
the other labels below them; all have a Gaussian prior. So labels of one branch are alike before a
row is seen, and a label with one row borrows from its siblings (Gopal & Yang, KDD 2013, have such a
prior). Cross-validation on the rows chooses how much is shared; nothing is the flat classifier. The
result is a linear head, so it is calibrated, fine-tuned, saved and exported as in classification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from pgkd.encoders.head import Head
from pgkd.task import Answer
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.students.correlated import fit_correlated_head
from pgkd.tasks.classification.students.encoder import EncoderStudent
from pgkd.tasks.classification.students.head import HeadSettings
from pgkd.tasks.classification.students.head_student import HeadStudent
from pgkd.tasks.classification.students.linear import LinearStudent
from pgkd.tasks.classification.students.static import StaticStudent
from pgkd.tasks.classification.students.tuning import SyntheticTexts
from pgkd.tasks.hierarchy.tree import Tree

_SHARES = (0.25, 0.5, 1.0)  # prior variance of a node's weights, a label's own is 1


class HierarchyStudent(HeadStudent):
    """What the students of all kinds share.

    Args:
        classes: labels in column order, each a path; see `Tree`.
        inner_below: see `Tree.answers`; ``"off"`` is 0, and ``"auto"`` leaves it to the learner.
        sharing: `share` of `Tree.covariance`; `tune` chooses it.
        settings: of the kind.

    Attributes:
        threshold: the `inner_below` in use.
    """

    def __init__(
        self, classes: Sequence[str], *, inner_below: Any = "off", sharing: float = 0.0,
        **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(classes, **settings)
        self._settings.update(inner_below=inner_below, sharing=float(sharing))
        self.inner_below = inner_below
        self.threshold = 0.0 if inner_below in ("off", "auto") else float(inner_below)

    @cached_property
    def tree(self) -> Tree:
        """The tree over the labels."""
        return Tree(self.classes)

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `Tree.answers`."""
        return self.tree.answers(self.predict_proba(inputs), self.threshold)

    def _fit_head(self, *args: Any) -> Head:
        if not (share := self._settings["sharing"]):
            return super()._fit_head(*args)
        features, labels, classes, settings, weights, *prior = args
        gold, alike = label_indices(labels, classes), self.tree.covariance(share)
        head = fit_correlated_head(features, gold, alike, settings, weights)
        return head.calibrated(settings.calibration, prior[0]) if prior else head

    def _tune_head(
        self, texts: Sequence[str], labels: Sequence[str], seed: int, added: SyntheticTexts | None
    ) -> tuple[HeadSettings, float]:
        """As without a tree; then how much is shared."""
        self._settings["sharing"] = best = 0.0
        found, weight, loss = self._judge_heads(self.strengths, texts, labels, seed, added)
        chosen = added and replace(added, candidates=(weight,))
        for share in _SHARES if self.tree.levels else ():
            self._settings["sharing"] = share
            settings, _, its_loss = self._judge_heads((found.C,), texts, labels, seed, chosen)
            if its_loss >= loss:
                break
            found, loss, best = settings, its_loss, share
        self._settings["sharing"] = best
        return found, weight

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data, arrays = super()._state()
        return {**data, "threshold": self.threshold}, arrays

    def _restore(self, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super()._restore(data, arrays)
        self.threshold = float(data["threshold"])


class HierarchyEncoderStudent(HierarchyStudent, EncoderStudent):
    """A transformer encoder under such a head."""


class HierarchyStaticStudent(HierarchyStudent, StaticStudent):
    """Static token embeddings under such a head."""


class HierarchyLinearStudent(HierarchyStudent, LinearStudent):
    """Words and characters under such a head."""


_CLASSES = (HierarchyEncoderStudent, HierarchyStaticStudent, HierarchyLinearStudent)
STUDENTS: dict[str, type[HierarchyStudent]] = {each.kind: each for each in _CLASSES}
