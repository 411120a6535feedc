"""The embedded teacher, for real: it loads, answers by schema, and is interrupted."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import ConfigError, TeacherRequestError
from pgkd.guidance.asking import samples_schema
from pgkd.teacher import LocalTeacher, Message, Request, Sampling
from pgkd.weights import DEFAULT_TEACHER, cached

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def teacher() -> Iterator[LocalTeacher]:
    if cached(DEFAULT_TEACHER) is None:
        pytest.skip(f"the weights {DEFAULT_TEACHER} are not here: pgkd models pull")
    with LocalTeacher(context=1024) as made:
        yield made


def ask(text: str, *, max_tokens: int = 120) -> Request:
    schema = samples_schema(["card_lost"], 1)
    return Request((Message("user", text),), schema, Sampling(seed=3, max_tokens=max_tokens))


def test_it_answers_by_the_schema(teacher: LocalTeacher) -> None:
    reply = teacher.complete(
        ask("Write one short message of a bank customer who lost a card. No signature.")
    )
    [sample] = json.loads(reply.text)["samples"]
    assert sample["label"] == "card_lost"
    assert sample["text"]
    assert reply.finish_reason == "stop"
    assert reply.input_tokens is not None
    assert 0 < (reply.output_tokens or 0) <= 120


def test_a_reply_that_is_cut_off_says_so(teacher: LocalTeacher) -> None:
    reply = teacher.complete(ask("Write one message.", max_tokens=8))
    assert reply.finish_reason == "length"


def test_a_prompt_that_does_not_fit_is_refused_with_the_setting_to_raise(
    teacher: LocalTeacher,
) -> None:
    with pytest.raises(TeacherRequestError, match=r"context 1024: raise teacher\.context"):
        teacher.complete(ask("word " * 2000))


def test_it_answers_again_after_a_call_was_broken_off(
    teacher: LocalTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = threading.Thread.join

    def interrupt(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "pgkd-local-teacher" and timeout is not None:
            raise KeyboardInterrupt
        join(thread, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", interrupt)
        with pytest.raises(KeyboardInterrupt):
            teacher.complete(ask("Write one long message.", max_tokens=400))
    assert teacher.complete(ask("Write one message.", max_tokens=8)).text


def test_a_model_that_is_nowhere_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="nor a GGUF file"):
        LocalTeacher("no-such-model.gguf")
