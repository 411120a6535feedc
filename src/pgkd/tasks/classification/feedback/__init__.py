"""What the teacher is told: the report, the mined rows, and who needs how many texts."""

from pgkd.tasks.classification.feedback.choosing import Choice, GuidedChoice, RandomChoice
from pgkd.tasks.classification.feedback.class_list import ClassListTrial, try_class_list
from pgkd.tasks.classification.feedback.pool import LabelAsking, PoolGuide
from pgkd.tasks.classification.feedback.turns import Spent, Turns

__all__ = [
    "Choice",
    "ClassListTrial",
    "GuidedChoice",
    "LabelAsking",
    "PoolGuide",
    "RandomChoice",
    "Spent",
    "Turns",
    "try_class_list",
]
