"""Metrics, calibration, and how sure one can be of them."""

from pgkd.evaluation.baselines import TeacherScore, draw_rows, score_labels, score_teacher
from pgkd.evaluation.intervals import (
    Difference,
    bootstrap_intervals,
    compare,
    paired_change,
)
from pgkd.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    calibration_error,
    evaluate,
    row_log_losses,
)

__all__ = [
    "ClassMetrics",
    "Difference",
    "Metrics",
    "TeacherScore",
    "bootstrap_intervals",
    "calibration_error",
    "compare",
    "draw_rows",
    "evaluate",
    "paired_change",
    "row_log_losses",
    "score_labels",
    "score_teacher",
]
