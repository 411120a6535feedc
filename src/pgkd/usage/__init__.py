"""What a teacher's calls cost, and that none is paid twice."""

from pgkd.usage.accounted import AccountedTeacher
from pgkd.usage.batches import BatchProgress, BatchTeacher
from pgkd.usage.budget import Amount, Budget, Limits
from pgkd.usage.cache import ReplyCache, replies_folder
from pgkd.usage.ledger import Call, Ledger
from pgkd.usage.prices import BatchPrices, GivenPrices, ListedPrices, OwnMachine, Prices, prices_of
from pgkd.usage.sums import answered, by_round_and_purpose, known_usd, summed

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
