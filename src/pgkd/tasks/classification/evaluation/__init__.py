"""How good a student is: metrics, calibration, uncertainty, and the teacher to compare with."""

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
from pgkd.tasks.classification.evaluation.teacher import (
    CascadePoint,
    TeacherScore,
    cascade_curve,
    draw_rows,
    score_labels,
    score_teacher,
)

__all__ = [
    "CascadePoint",
    "ClassMetrics",
    "Metrics",
    "ReliabilityBin",
    "TeacherScore",
    "calibration_error",
    "cascade_curve",
    "draw_rows",
    "evaluate",
    "judge_students",
    "reliability",
    "row_log_losses",
    "score_labels",
    "score_teacher",
]
