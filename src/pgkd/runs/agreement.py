"""Whether the files of a run that is to be resumed agree: what one tells, the others have to hold.

Everything in a run follows from its settings, its rows and the teacher's replies. So a run whose
ledger was emptied would ask everything anew, and put worse students in the place of good ones. It
is refused instead, with what is missing. A killed process leaves no such run: a reply is in the
ledger before the journal tells of it, and texts are in their file before their round has ended.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pgkd.errors import RunError
from pgkd.usage.ledger import round_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.runs.folder import RunFolder
    from pgkd.usage.ledger import Call

_RESULT = "result.json"


def check_agreement(run: RunFolder) -> None:
    """See that a run can be resumed. Nothing is written.

    Raises:
        RunError: files are missing, damaged or of another run; the message says which.
    """
    missing = list(_missing(run))
    if missing:
        raise RunError(
            f"{run.path} cannot be resumed, for its files do not agree:\n"
            + "\n".join(f"  - {line}" for line in missing)
            + "\nNothing of it was changed. Put the files back as they were, or give another "
            "folder with --out."
        )


def answered_requests(run: RunFolder) -> frozenset[str]:
    """Ids of the requests that the journal has an answer of."""
    return frozenset(line["id"] for line in run.events("reply"))


def finished_rounds(run: RunFolder) -> int:
    """Rounds of the run that have ended, round 0 among them."""
    return len({line["round"] for line in run.events("round ended")})


def _missing(run: RunFolder) -> Iterator[str]:
    calls = _calls(run)
    ended = {line["round"]: line for line in run.events("round ended")}
    events = [line["event"] for line in run.read_lines("journal.jsonl")]
    texts = run.synthetic()
    if not events:
        there = {
            "ledger.sqlite holds calls": bool(calls),
            "examples.jsonl holds texts": bool(texts),
            "there are students": os.path.lexists(run.path / "students"),
            f"there is a {_RESULT}": os.path.lexists(run.path / _RESULT),
        }
        found = [each for each, is_there in there.items() if is_there]
        yield from (f"journal.jsonl is missing or empty, but {each}" for each in found)
        return
    if sorted(ended) != list(range(len(ended))):
        yield "journal.jsonl tells of later rounds, and not of all before them"
    answered = {call.id for call in calls if call.reply is not None}
    if gone := sorted(answered_requests(run) - answered):
        yield (
            f"ledger.sqlite is without {len(gone)} of the replies that journal.jsonl tells of: "
            + ", ".join(gone[:5])
        )
    requests = {text.origin.request for text in texts if text.origin}
    if gone := sorted(requests - answered):
        yield (
            f"ledger.sqlite is without the replies that {len(gone)} requests of examples.jsonl "
            "come from: " + ", ".join(gone[:5])
        )
    rounds = [text.origin.round if text.origin else 0 for text in texts]
    told = ended[max(ended)]["synthetic"] if ended else 0
    if (held := sum(number < len(ended) for number in rounds)) < told:
        yield f"examples.jsonl holds {held} of the {told} texts that journal.jsonl tells of"
    latest = max([*rounds, *(round_of(call.id) for call in calls)], default=0)
    if latest > len(ended):
        yield (
            f"journal.jsonl ends after {len(ended)} rounds (from 0), and the other files tell of "
            f"round {latest}"
        )
    yield from _against_result(run, len(ended))


def _calls(run: RunFolder) -> list[Call]:
    if not os.path.lexists(run.ledger_path) or not run.ledger_path.stat().st_size:
        return []  # none was made yet: whether that can be, the other files tell
    with run.ledger_to_read() as ledger:
        return list(ledger.calls())


def _against_result(run: RunFolder, ended: int) -> Iterator[str]:
    if os.path.lexists(run.path / _RESULT):
        told = len(run.read_json(_RESULT)["rounds"])
        if told != ended:
            yield f"{_RESULT} tells of {told} rounds, and journal.jsonl of {ended}"
    if ended and not run.has_student("best"):
        yield "students/best is missing"
