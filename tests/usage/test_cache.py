"""The cache: a request that any run has paid for is not paid again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pgkd.teachers.base import Message, Reply, Request
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.budget import SpendingLimits
from pgkd.usage.cache import ReplyCache, replies_folder
from pgkd.usage.ledger import FROM_CACHE, Ledger
from pgkd.usage.metered import MeteredTeacher

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.usage.cache import CacheMode

ASKED = Request((Message("user", "write"),), id="r1-0001")


def ask(tmp_path: Path, run: str, teacher: FakeTeacher, mode: CacheMode, asked: Request) -> Reply:
    """One call of a run of its own, which has a budget of one call."""
    cache = ReplyCache(tmp_path / "replies", mode)
    with Ledger(tmp_path / run) as ledger:
        return MeteredTeacher(
            teacher, ledger, cache=cache, limits=SpendingLimits(calls=1)
        ).complete(asked)


def test_another_run_gets_the_reply_for_nothing(tmp_path: Path) -> None:
    teacher = FakeTeacher(["first", "second"])
    first = ask(tmp_path, "one", teacher, "on", ASKED)
    assert ask(tmp_path, "two", teacher, "on", replace(ASKED, id="r9-0009")) == first
    assert len(teacher.requests) == 1
    with Ledger(tmp_path / "two") as ledger:
        [call] = ledger.calls()
        assert (call.id, call.cost, call.price_source) == ("r9-0009", Decimal(0), FROM_CACHE)
        life = MeteredTeacher(teacher, ledger, limits=SpendingLimits(calls=1))
        assert life.complete(replace(ASKED, id="r9-0010")).text == "second"  # in the budget still


def test_what_shapes_the_reply_tells_replies_apart(tmp_path: Path) -> None:
    other_model = FakeTeacher(model="another")
    other_place = FakeTeacher()
    other_place.biller = "http://127.0.0.1/v1"
    ask(tmp_path, "0", FakeTeacher(), "on", ASKED)
    for n, teacher in enumerate((other_model, other_place), start=1):
        ask(tmp_path, str(n), teacher, "on", ASKED)
        assert len(teacher.requests) == 1
    again = FakeTeacher()
    ask(tmp_path, "3", again, "on", replace(ASKED, repeat=1))
    assert len(again.requests) == 1


@pytest.mark.parametrize(("mode", "texts"), [("off", "ba"), ("read", "aa"), ("refresh", "bb")])
def test_it_is_read_and_written_as_the_mode_says(
    tmp_path: Path, mode: CacheMode, texts: str
) -> None:
    ask(tmp_path, "one", FakeTeacher(["a"]), "on", ASKED)
    now = ask(tmp_path, "two", FakeTeacher(["b"]), mode, ASKED)
    later = ask(tmp_path, "three", FakeTeacher(["c"]), "on", ASKED)
    assert now.text + later.text == texts


def test_read_only_writes_nothing(tmp_path: Path) -> None:
    ask(tmp_path, "one", FakeTeacher(), "read", ASKED)
    assert not (tmp_path / "replies").exists()


def test_a_reply_that_was_cut_off_is_not_kept(tmp_path: Path) -> None:
    ask(tmp_path, "one", FakeTeacher([Reply("cut", "m", finish_reason="length")]), "on", ASKED)
    assert ask(tmp_path, "two", FakeTeacher(["whole"]), "on", ASKED).text == "whole"


def test_a_damaged_file_is_no_reply(tmp_path: Path) -> None:
    ask(tmp_path, "one", FakeTeacher(["a"]), "on", ASKED)
    [path] = (tmp_path / "replies").rglob("*.json")
    for content in ("{", "[]", '{"text": 1, "unknown": 2}'):
        path.write_text(content)
        assert ask(tmp_path, f"two {content}", FakeTeacher(["b"]), "read", ASKED).text == "b"


def test_its_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path))
    assert replies_folder() == tmp_path / "replies"
