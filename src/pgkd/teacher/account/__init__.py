"""What a teacher's calls cost, and that none is paid twice."""

from pgkd.teacher.account.accounted import AccountedTeacher
from pgkd.teacher.account.batches import BatchProgress, BatchTeacher
from pgkd.teacher.account.budget import Amount, Budget, Limits
from pgkd.teacher.account.cache import ReplyCache, replies_folder
from pgkd.teacher.account.ledger import Call, Ledger
from pgkd.teacher.account.prices import (
    BatchPrices,
    GivenPrices,
    ListedPrices,
    OwnMachine,
    Prices,
    prices_of,
)
from pgkd.teacher.account.sums import answered, by_round_and_purpose, known_usd, summed

__all__ = [
    "AccountedTeacher",
    "Amount",
    "BatchPrices",
    "BatchProgress",
    "BatchTeacher",
    "Budget",
    "Call",
    "GivenPrices",
    "Ledger",
    "Limits",
    "ListedPrices",
    "OwnMachine",
    "Prices",
    "ReplyCache",
    "answered",
    "by_round_and_purpose",
    "known_usd",
    "prices_of",
    "replies_folder",
    "summed",
]
