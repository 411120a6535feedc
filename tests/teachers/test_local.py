"""The embedded teacher, for real: it loads, answers by schema, and is interrupted."""

from __future__ import annotations

import json
import math
import signal
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import ConfigError, TeacherRequestError
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.prompts.labelling import label_request
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.base import Message, Reply, Request, Sampling
from pgkd.teachers.local import LocalTeacher, _payload
from pgkd.usage.cache import ReplyCache
from pgkd.weights.fetch import cached
from pgkd.weights.pins import DEFAULT_TEACHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def teacher() -> Iterator[LocalTeacher]:
    pytest.importorskip("xllamacpp", reason="the extra 'local' is not installed")
    if cached(DEFAULT_TEACHER) is None:
        pytest.skip(f"the weights {DEFAULT_TEACHER} are not here: pgkd models pull")
    with LocalTeacher(context=1024) as made:
        yield made


def ask(text: str, *, max_tokens: int = 120) -> Request:
    schema = samples_schema(["card_lost"], 1)
    return Request((Message("user", text),), schema, Sampling(seed=3, max_tokens=max_tokens))


def test_two_files_of_one_name_share_no_reply(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra 'local' is not installed")
    paths = [tmp_path / folder / "model.gguf" for folder in "abc"]
    for path, end in zip(paths, (b"one", b"two", b"one"), strict=True):
        path.parent.mkdir()
        path.write_bytes(b"GGUF" * 1_000_000 + end)
    first, second, copy = (LocalTeacher(str(path)) for path in paths)
    cache, reply = ReplyCache(tmp_path / "replies"), Reply("the first one's", "m")
    cache.save(first, ask("Write."), reply)
    assert cache.find(second, ask("Write.")) is None
    assert cache.find(copy, ask("Write.")) == reply
    assert first.model.startswith("model.gguf@")
    assert str(tmp_path) not in first.model


@pytest.mark.weights
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


@pytest.mark.weights
def test_a_reply_that_is_cut_off_says_so(teacher: LocalTeacher) -> None:
    reply = teacher.complete(ask("Write one message.", max_tokens=8))
    assert reply.finish_reason == "length"


@pytest.mark.weights
def test_a_prompt_that_does_not_fit_is_refused_with_the_setting_to_raise(
    teacher: LocalTeacher,
) -> None:
    with pytest.raises(TeacherRequestError, match=r"context 1024: raise teacher\.context"):
        teacher.complete(ask("word " * 2000))


@pytest.mark.weights
def test_choices_are_scored_and_the_likeliest_is_the_answer(teacher: LocalTeacher) -> None:
    taxonomy = Taxonomy.from_names(["card_arrival", "card_lost", 'say "hi"', "été"])
    request = label_request("I left my card in a taxi and cannot find it.", taxonomy, scored=True)
    reply = teacher.complete(request)
    assert reply.scores is not None
    assert sum(map(math.exp, reply.scores)) == pytest.approx(1)
    assert reply.scores.index(max(reply.scores)) == 1
    assert reply.text == "card_lost"
    assert (reply.output_tokens or 0) > 1  # one look for each branch of the card_s


@pytest.mark.weights
def test_an_answer_tells_its_probability_where_it_is_wanted(teacher: LocalTeacher) -> None:
    request = label_request("I lost my card.", Taxonomy.from_names(["card_arrival", "card_lost"]))
    assert teacher.complete(request).logprob is None
    told = teacher.complete(replace(request, wants_logprob=True)).logprob
    assert told is not None
    assert told < 0


def interrupt_soon(after: float = 0.4) -> None:
    """Press Ctrl-C, heard by the main thread alone."""
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(after, lambda: signal.pthread_kill(main, signal.SIGINT)).start()


@pytest.mark.weights
def test_ctrl_c_breaks_off_a_call_and_the_next_one_is_answered(teacher: LocalTeacher) -> None:
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        teacher.complete(ask("Write one long message. " * 60, max_tokens=400))
    assert teacher.complete(ask("Write one message.", max_tokens=8)).text


@pytest.mark.weights
def test_closing_after_ctrl_c_frees_the_model_and_its_port(teacher: LocalTeacher) -> None:
    teacher.complete(ask("Write one message.", max_tokens=8))
    _, _, address = teacher._server.listening_address.rpartition("/")
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        teacher.complete(ask("Write one long message. " * 60, max_tokens=400))
    teacher.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


class SlowServer:
    """Writes a token at a time, for ever, until it is told to end."""

    def __init__(self) -> None:
        self.running = threading.Event()

    def handle_chat_completions(
        self, payload: dict[str, Any], receive: Callable[[dict[str, Any]], bool]
    ) -> None:
        self.running.set()
        while not receive({"choices": [{"delta": {"content": "word "}}]}):
            threading.Event().wait(0.5)
        self.running.clear()


def test_closing_waits_until_an_interrupted_call_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("xllamacpp", reason="the extra 'local' is not installed")
    slow, teacher = SlowServer(), LocalTeacher()
    monkeypatch.setattr(teacher, "_server", slow)
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        teacher.complete(ask("Write."))
    assert slow.running.is_set()
    teacher.close()
    assert not slow.running.is_set()


def test_a_guard_against_loops_is_on_where_texts_are_drawn_and_off_for_greedy_answers() -> None:
    drawn = _payload(ask("Write."))
    greedy = _payload(Request((Message("user", "Which?"),), None, Sampling(temperature=0)))
    assert drawn["dry_multiplier"] > 0
    assert "dry_multiplier" not in greedy


def test_a_model_that_is_nowhere_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="nor a GGUF file"):
        LocalTeacher("no-such-model.gguf")
