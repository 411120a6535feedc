"""What the teacher is told: the report, the mined rows, and who needs how many texts."""

from pgkd.guidance.asking import Ask, LengthTarget, Writing
from pgkd.guidance.base import Assessment, Guide
from pgkd.guidance.choosing import Choice, GuidedChoice, RandomChoice
from pgkd.guidance.class_list import ClassListTrial, try_class_list
from pgkd.guidance.classification import Asking, ClassificationGuide
from pgkd.guidance.description import description_request
from pgkd.guidance.glossary import Glossary, glossary_from, glossary_requests, read_glossary
from pgkd.guidance.paper import PaperAsking
from pgkd.guidance.pool import LabelAsking, PoolGuide
from pgkd.guidance.targeted import TargetedAsking
from pgkd.guidance.turns import Spent, Turns

__all__ = [
    "Ask",
    "Asking",
    "Assessment",
    "Choice",
    "ClassListTrial",
    "ClassificationGuide",
    "Glossary",
    "Guide",
    "GuidedChoice",
    "LabelAsking",
    "LengthTarget",
    "PaperAsking",
    "PoolGuide",
    "RandomChoice",
    "Spent",
    "TargetedAsking",
    "Turns",
    "Writing",
    "description_request",
    "glossary_from",
    "glossary_requests",
    "read_glossary",
    "try_class_list",
]
