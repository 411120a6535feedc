"""What people decide on the texts of a run, and the students that learn from it.

``journal.py`` keeps the decisions, ``applying.py`` makes training rows of them; ``guide.py`` brings
them into the next round, ``retraining.py`` into a student of its own.
"""

from pgkd.runs.review.applying import applied, as_decided, dropped_texts
from pgkd.runs.review.guide import ReviewedGuide
from pgkd.runs.review.journal import DECISIONS, Decision, Kind, Reviews
from pgkd.runs.review.retraining import Retrained, retrain

__all__ = [
    "DECISIONS",
    "Decision",
    "Kind",
    "Retrained",
    "ReviewedGuide",
    "Reviews",
    "applied",
    "as_decided",
    "dropped_texts",
    "retrain",
]
