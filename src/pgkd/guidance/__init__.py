"""What the teacher is told: the report, the mined rows, and who needs how many texts."""

from pgkd.guidance.asking import Ask, LengthTarget, Writing
from pgkd.guidance.base import Assessment, Guide
from pgkd.guidance.class_list import ClassListTrial, try_class_list
from pgkd.guidance.classification import Asking, ClassificationGuide
from pgkd.guidance.description import description_request
from pgkd.guidance.paper import PaperAsking
from pgkd.guidance.targeted import TargetedAsking

__all__ = [
    "Ask",
    "Asking",
    "Assessment",
    "ClassListTrial",
    "ClassificationGuide",
    "Guide",
    "LengthTarget",
    "PaperAsking",
    "TargetedAsking",
    "Writing",
    "description_request",
    "try_class_list",
]
