"""What a teacher's calls cost, and that none is paid for twice."""

from pgkd.usage.batch import BatchProgress, metered_teacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher
from pgkd.usage.retry import RetryingTeacher

__all__ = [
    "BatchProgress",
    "Ledger",
    "MeteredTeacher",
    "RetryingTeacher",
    "metered_teacher",
]
