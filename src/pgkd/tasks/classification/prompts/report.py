"""The gradual evaluation check: the student's report as text for the teacher.

Step 2a of PGKD (Di Palo et al., EMNLP 2024): accuracy, and precision, recall and F1 of every class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgkd.tasks.classification.evaluation.metrics import Metrics


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
