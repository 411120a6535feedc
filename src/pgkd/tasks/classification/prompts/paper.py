"""The paper's way to ask: one prompt a round, in which the teacher chooses what to write.

Step 2c of PGKD (Di Palo et al., EMNLP 2024): role, taxonomy, labelled examples, the validation
report, and correct, misclassified and hard-negative samples; `num_kd_samples` texts come back.

The gradual evaluation check: the student's report as text for the teacher.

Step 2a of PGKD (Di Palo et al., EMNLP 2024): accuracy, and precision, recall and F1 of every class.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.tasks.classification.feedback.mining import MinedRow, rotate
from pgkd.tasks.classification.prompts.writing import WritePrompt, render
from pgkd.tasks.common.samples import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.evaluation.metrics import Metrics
    from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation
    from pgkd.tasks.classification.prompts.writing import GenerationSettings


class PaperPrompts:
    """One request a round.

    Args:
        taxonomy: the classes.
        real: training rows of the user.
        writing: how texts are asked for.
        instructions: what the user adds to every prompt.
        samples: texts of a round (the paper: 32).
        few_shot: labelled examples in the prompt (16).
        mined: correct, misclassified and hard-negative samples, each so many (16).
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        real: Sequence[LabelledText],
        writing: GenerationSettings,
        *,
        instructions: str,
        samples: int,
        few_shot: int = 16,
        mined: int = 16,
    ) -> None:
        self._taxonomy = taxonomy
        self._real = real
        self._writing = writing
        self._instructions = instructions
        self._samples = samples
        self._few_shot = few_shot
        self._mined = mined
        self._shown: Counter[str] = Counter()
        self._rng = np.random.default_rng(writing.seed)

    def prompts(
        self, number: int, evaluation: ClassifierEvaluation, written: Sequence[LabelledText]
    ) -> tuple[WritePrompt, ...]:
        """The one request of a round; `written` is not shown, as in the paper."""
        mined = evaluation.mined
        drawn = self._rng.choice(
            len(self._real), size=min(self._few_shot, len(self._real)), replace=False
        )
        examples = [self._real[i] for i in sorted(drawn)]
        hard = rotate(mined.mistakes, self._shown, self._mined)
        taken = {row.example.id for row in hard}
        others = [row for row in mined.mistakes if row.example.id not in taken]
        misclassified = self._draw(others)
        correct = self._draw(mined.correct)
        user = render(
            "paper_user",
            few_shot=[{**_shown(row), "predicted": None} for row in examples],
            report=report_text(evaluation.validation),
            correct=[_judged(row) for row in correct],
            misclassified=[_judged(row) for row in misclassified],
            hard=[_judged(row) for row in hard],
            count=self._samples,
            shortest=self._writing.length.shortest,
            longest=self._writing.length.longest,
            unit=self._writing.length.unit,
        )
        system = render("paper_system", taxonomy=self._taxonomy, instructions=self._instructions)
        request_id = f"r{number}-0001"
        labels = self._taxonomy.names
        request = self._writing.request(request_id, system, user, labels, self._samples)
        rows = [*examples, *(row.example for row in (*correct, *misclassified, *hard))]
        shown = tuple({row.id: row for row in rows}.values())
        reasons = ("paper: the teacher chooses what to write",)
        return (
            WritePrompt(
                request_id, request, self._samples, shown, reasons,
                labels=labels, masks=self._writing.masks,
            ),
        )  # fmt: skip

    def _draw(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        drawn = self._rng.choice(len(rows), size=min(self._mined, len(rows)), replace=False)
        return [rows[i] for i in sorted(drawn)]


def _shown(row: LabelledText) -> dict[str, Any]:
    return {"text": shorten(row.text), "label": row.label}


def _judged(row: MinedRow) -> dict[str, Any]:
    predicted = row.predicted if row.is_mistake else None
    return {**_shown(row.example), "predicted": predicted, "confidence": row.confidence}


def report_text(metrics: Metrics) -> str:
    """The classification report as the plain table that LLMs know from scikit-learn.

    Args:
        metrics: the student's, on the validation rows.
    """
    width = max(len("class"), *(len(c.name) for c in metrics.per_class))
    lines = [f"{'class':<{width}}  precision  recall  f1-score  support"]
    lines += [
        f"{c.name:<{width}}  {c.precision:9.2f}  {c.recall:6.2f}  {c.f1:8.2f}  {c.support:7d}"
        for c in metrics.per_class
    ]
    lines.append(
        f"accuracy {metrics.accuracy:.3f}, macro F1 {metrics.macro_f1:.3f}, {metrics.n} samples"
    )
    return "\n".join(lines)
