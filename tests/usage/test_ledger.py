"""The ledger: on disk before and after a call, and what an earlier life of a run settles."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import RunError, TeacherRequestError, TeacherUnavailableError
from pgkd.teachers.base import Message, Reply, Request
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.ledger import Ledger, by_round_and_purpose, known_usd, summed
from pgkd.usage.metered import MeteredTeacher
from pgkd.usage.retry import Retry

if TYPE_CHECKING:
    from pathlib import Path


def request(id_: str, content: str = "write") -> Request:
    return Request((Message("user", content),), id=id_)


def states(path: Path) -> list[str]:
    """What another process would read at this moment."""
    with sqlite3.connect(path) as other:
        return [state for (state,) in other.execute("SELECT state FROM calls ORDER BY n")]


def test_a_call_is_on_disk_before_it_leaves_and_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    seen: list[list[str]] = []

    def answer(asked: Request) -> str:
        seen.append(states(path))
        return "a \ud800 reply"

    with Ledger(path) as ledger:
        reply = MeteredTeacher(FakeTeacher(answer), ledger).complete(request("r1-0001"))
        assert (seen, states(path)) == ([["in flight"]], ["replied"])
        assert reply.text == "a \ud800 reply"
    with Ledger(path) as ledger:
        [call] = ledger.calls()
    assert (call.id, call.round, call.provider, call.reply) == ("r1-0001", 1, "fake", reply)


def test_what_was_answered_is_never_asked_again(tmp_path: Path) -> None:
    teacher = FakeTeacher()
    with Ledger(tmp_path / "l") as ledger:
        first = MeteredTeacher(teacher, ledger).complete(request("r1-0001"))
    with Ledger(tmp_path / "l") as ledger:
        again = MeteredTeacher(teacher, ledger)
        assert again.complete(request("r1-0001")) == first
        assert len(teacher.requests) == 1
        again.complete(request("r1-0001", "other words"))
        again.complete(request("r1-0002"))
    assert len(teacher.requests) == 3


def test_a_failure_that_the_run_went_on_after_is_part_of_it(tmp_path: Path) -> None:
    """Later requests rest on it: a reply in its place would make them others, paid again."""
    teacher = FakeTeacher([TeacherRequestError("too long"), "one", TeacherUnavailableError("down")])
    with Ledger(tmp_path / "l") as ledger:
        life = MeteredTeacher(teacher, ledger)
        with pytest.raises(TeacherRequestError):
            life.complete(request("r1-0001"))
        life.complete(request("r2-0001"))
        with pytest.raises(TeacherUnavailableError):
            life.complete(request("r2-0002"))
    with Ledger(tmp_path / "l") as ledger:
        life = MeteredTeacher(teacher, ledger)
        with pytest.raises(TeacherRequestError, match="too long") as again:
            life.complete(request("r1-0001"))
        assert again.value.settled
        assert len(teacher.requests) == 3
        life.complete(request("r2-0002"))  # of the last round: worth another try
    assert len(teacher.requests) == 4


def test_calls_in_flight_at_a_kill_are_listed_and_asked_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.finish(ledger.begin(request("r1-0001"), "fake"), Reply("one", "m"))
        ledger.begin(request("r1-0002"), "fake")
    teacher = FakeTeacher()
    with Ledger(tmp_path / "l") as ledger:
        assert [call.id for call in ledger.abandon()] == ["r1-0002"]
        assert ledger.abandon() == []
        MeteredTeacher(teacher, ledger).complete(request("r1-0002"))
        assert [call.state for call in ledger.calls()] == ["replied", "lost", "replied"]
    assert len(teacher.requests) == 1


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        life = MeteredTeacher(FakeTeacher(), ledger)

        def work(worker: int) -> None:
            for i in range(10):
                life.complete(request(f"r1-{worker:02d}{i:02d}"))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        calls = list(ledger.calls())
    assert len({call.id for call in calls}) == len(calls) == 80
    assert {call.state for call in calls} == {"replied"}


def test_the_name_and_the_purpose_do_not_change_what_is_asked() -> None:
    one = request("r1-0001")
    assert replace(one, id="r9-0009", purpose="repair").key == one.key


def test_a_damaged_ledger_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"not SQLite " * 500)
    with pytest.raises(RunError, match="cannot be opened"):
        Ledger(tmp_path / "l")
    with Ledger(tmp_path / "m") as ledger:
        ledger.begin(request("r1-0001"), "fake")
    with sqlite3.connect(tmp_path / "m") as db:
        db.execute("UPDATE calls SET request = '{'")
    with pytest.raises(RunError, match="row 1 is damaged"):
        Ledger(tmp_path / "m")


def test_a_row_tells_how_long_a_call_took_what_was_cached_and_how_often_it_was_made_before(
    tmp_path: Path,
) -> None:
    reply = Reply("a", "m", 100, 5, seconds=1.25, cached_tokens=64)
    with Ledger(tmp_path / "l") as ledger:
        asked = FakeTeacher(
            [TeacherUnavailableError("down"), TeacherUnavailableError("down"), reply]
        )
        teacher = MeteredTeacher(asked, ledger, retry=Retry(4, sleep=lambda _: None))
        teacher.complete(request("r1-0001"))
        teacher.complete(request("r1-0002"))
        calls = list(ledger.calls())
    assert [call.retries for call in calls] == [0, 1, 2, 0]
    assert [call.state for call in calls] == ["failed", "failed", "replied", "replied"]
    assert calls[2].seconds == 1.25
    assert calls[0].seconds is not None
    assert 0 <= calls[0].seconds < 5
    with sqlite3.connect(tmp_path / "l") as db:
        told = db.execute("SELECT cached_tokens FROM calls ORDER BY n").fetchall()
    assert told == [(None,), (None,), (64,), (None,)]
    assert calls[2].reply == reply


@pytest.mark.parametrize("open_", [Ledger, Ledger.to_read])
def test_a_ledger_without_a_column_is_refused_and_stays(tmp_path: Path, open_: Any) -> None:
    path = tmp_path / "l"
    with Ledger(path) as ledger:
        ledger.finish(ledger.begin(request("r1-0001"), "fake"), Reply("one", "m", 3, 1))
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE calls DROP COLUMN seconds")
    before = path.read_bytes()
    with pytest.raises(RunError, match="it has no column 'seconds'"):
        open_(path)
    assert path.read_bytes() == before


# Sums of calls: an unknown price never counts as zero.


def answered_calls(path: Path, *calls: tuple[str, str, str | None]) -> Ledger:
    """Answered calls with their names, purposes and prices."""
    made = Ledger(path)
    for id_, purpose, usd in calls:
        n = made.begin(Request((), id=id_, purpose=purpose), "teacher")
        cost = None if usd is None else Decimal(usd)
        made.finish(n, Reply("", "m", 10, 1), cost, None if usd is None else "given")
    return made


def test_parts_are_rounds_and_purposes_in_order(tmp_path: Path) -> None:
    rows = (("r2-1", "write", "1"), ("r1-1", "write", "2"), ("r1-1-repair1", "repair", "3"),
            ("r1-2", "write", "4"))  # fmt: skip
    with answered_calls(tmp_path / "ledger", *rows) as usage:
        parts = by_round_and_purpose(usage.calls())
    assert [(part["round"], part["purpose"], part["usd"]) for part in parts] == [
        (1, "repair", "3"), (1, "write", "6"), (2, "write", "1"),
    ]  # fmt: skip


def test_a_sum_is_unknown_where_no_price_of_it_is_known(tmp_path: Path) -> None:
    with answered_calls(tmp_path / "none", ("a", "write", None)) as usage:
        assert known_usd(summed(usage.calls())) is None
    with answered_calls(tmp_path / "part", ("a", "write", None), ("b", "write", "2")) as usage:
        assert known_usd(summed(usage.calls())) == 2
    assert known_usd(summed([])) == 0
