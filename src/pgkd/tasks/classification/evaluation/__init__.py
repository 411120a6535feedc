"""Metrics, calibration, and how sure one can be of them."""

from pgkd.tasks.classification.evaluation.baselines import (
    TeacherScore,
    draw_rows,
    score_labels,
    score_teacher,
)
from pgkd.tasks.classification.evaluation.cascade import CascadePoint, cascade_curve
from pgkd.tasks.classification.evaluation.judging import judge_students
from pgkd.tasks.classification.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    ReliabilityBin,
    calibration_error,
    evaluate,
    reliability,
    row_log_losses,
)
from pgkd.tasks.classification.evaluation.timing import Timing, time_student

__all__ = [
    "CascadePoint",
    "ClassMetrics",
    "Metrics",
    "ReliabilityBin",
    "TeacherScore",
    "Timing",
    "calibration_error",
    "cascade_curve",
    "draw_rows",
    "evaluate",
    "judge_students",
    "reliability",
    "row_log_losses",
    "score_labels",
    "score_teacher",
    "time_student",
]
