"""Metrics, calibration, and how sure one can be of them."""

from pgkd.evaluation.baselines import TeacherScore, draw_rows, score_labels, score_teacher
from pgkd.evaluation.cascade import CascadePoint, cascade_curve
from pgkd.evaluation.intervals import (
    Difference,
    bootstrap_intervals,
    compare,
    paired_change,
)
from pgkd.evaluation.judging import judge_students
from pgkd.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    ReliabilityBin,
    calibration_error,
    evaluate,
    reliability,
    row_log_losses,
)
from pgkd.evaluation.timing import Timing, time_student

__all__ = [
    "CascadePoint",
    "ClassMetrics",
    "Difference",
    "Metrics",
    "ReliabilityBin",
    "TeacherScore",
    "Timing",
    "bootstrap_intervals",
    "calibration_error",
    "cascade_curve",
    "compare",
    "draw_rows",
    "evaluate",
    "judge_students",
    "paired_change",
    "reliability",
    "row_log_losses",
    "score_labels",
    "score_teacher",
    "time_student",
]
