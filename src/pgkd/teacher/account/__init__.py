"""What a teacher's calls cost, and that none is paid twice."""

from pgkd.teacher.account.accounted import AccountedTeacher
from pgkd.teacher.account.ledger import Call, Ledger

__all__ = ["AccountedTeacher", "Call", "Ledger"]
