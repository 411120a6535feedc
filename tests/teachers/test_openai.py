"""The openai provider against a real HTTP server on loopback that speaks its wire format."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import (
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.base import Message, Request, Sampling
from pgkd.teachers.openai import OpenAITeacher
from tests.teachers.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-very-secret-1234567890"
REQUEST = Request(
    (Message("system", "You write."), Message("user", "Write.")),
    samples_schema(["card"], 1),
    Sampling(temperature=0.3, top_p=0.9, max_tokens=77, seed=5),
)


def completion(content: Any = "{}", **message: Any) -> dict[str, Any]:
    finish = message.pop("finish_reason", "stop")
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "served-model",
        "choices": [choice], "usage": usage,
    }  # fmt: skip


@pytest.fixture
def server() -> Server:
    return Server(completion(), path="/v1")


@pytest.fixture
def teacher(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAITeacher]:
    monkeypatch.setenv("TEST_KEY", KEY)
    with (
        server.running() as url,
        OpenAITeacher("asked-model", base_url=url, api_key_env="TEST_KEY", max_retries=0) as made,
    ):
        yield made


def test_a_request_goes_out_whole_and_its_reply_comes_back(
    server: Server, teacher: OpenAITeacher
) -> None:
    server.answer(200, completion('{"samples": []}'))
    reply = teacher.complete(REQUEST)
    assert (reply.text, reply.model) == ('{"samples": []}', "served-model")
    assert (reply.input_tokens, reply.output_tokens, reply.finish_reason) == (12, 3, "stop")
    headers, body = server.seen[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["messages"][1] == {"role": "user", "content": "Write."}
    sampling = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "seed")}
    assert sampling == {"temperature": 0.3, "top_p": 0.9, "max_tokens": 77, "seed": 5}
    assert body["response_format"]["json_schema"]["schema"] == REQUEST.schema


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (completion("cut", finish_reason="length"), "length"),
        (completion(None, refusal="I cannot"), "refusal"),
        (completion("", finish_reason="content_filter"), "refusal"),
        (completion("x", finish_reason="tool_calls"), "other"),
    ],
)
def test_how_a_reply_ended_is_told(
    server: Server, teacher: OpenAITeacher, answer: Any, finish: str
) -> None:
    server.answer(200, answer)
    assert teacher.complete(REQUEST).finish_reason == finish


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, TeacherAuthError),
        (403, TeacherAuthError),
        (400, TeacherRequestError),
        (404, TeacherRequestError),
        (422, TeacherRequestError),
        (429, TeacherRateLimitError),
        (500, TeacherUnavailableError),
        (503, TeacherUnavailableError),
    ],
)
def test_every_refusal_has_its_error_and_none_tells_the_key(
    server: Server, teacher: OpenAITeacher, status: int, error: type[TeacherError]
) -> None:
    server.answer(status, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    with pytest.raises(error) as caught:
        teacher.complete(REQUEST)
    assert type(caught.value) is error
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(teacher)


def test_an_endless_error_message_is_cut(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(400, {"error": {"message": "no " * 100_000}})
    with pytest.raises(TeacherRequestError) as caught:
        teacher.complete(REQUEST)
    assert len(str(caught.value)) < 1000


def test_a_password_in_the_address_is_not_told(server: Server) -> None:
    server.answer(500, {})
    with server.running() as url:
        secret = url.replace("http://", "http://me:hunter2@")
        with (
            OpenAITeacher("m", base_url=secret, max_retries=0) as teacher,
            pytest.raises(TeacherUnavailableError) as caught,
        ):
            teacher.complete(REQUEST)
    assert "127.0.0.1" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_no_header_can_carry_is_refused_untold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in (f"{KEY}\n{KEY}", f"{KEY}é"):
        monkeypatch.setenv("TEST_KEY", key)
        with pytest.raises(TeacherAuthError, match="TEST_KEY") as caught:
            OpenAITeacher("m", api_key_env="TEST_KEY")
        assert KEY not in str(caught.value)


def test_a_line_break_after_the_key_is_no_part_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", f"{KEY}\n")
    with (
        server.running() as url,
        OpenAITeacher("m", base_url=url, api_key_env="TEST_KEY", max_retries=0) as teacher,
    ):
        teacher.complete(REQUEST)
    assert server.seen[0][0]["authorization"] == f"Bearer {KEY}"


def test_a_reply_of_megabytes_is_refused(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(200, completion("x" * 2_000_000))
    with pytest.raises(TeacherRequestError, match="2000000 characters"):
        teacher.complete(REQUEST)


def test_a_rate_limit_tells_how_long_to_wait(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(429, {"error": {"message": "slow down"}}, retry_after="7")
    with pytest.raises(TeacherRateLimitError) as caught:
        teacher.complete(REQUEST)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    "body",
    [
        b"<html>bad gateway</html>",
        b"",
        {"choices": []},
        {"choices": "abc"},
        {"choices": [{"index": 0, "finish_reason": "stop", "message": None}]},
        {"odd": 1},
        [1],
        "hello",
        completion([{"type": "thinking", "thinking": []}]),
        completion([1, {"type": "text", "text": 1}]),
    ],
)
def test_an_answer_that_is_none_is_unavailability(
    server: Server, teacher: OpenAITeacher, body: Any
) -> None:
    server.answer(200, body)
    with pytest.raises(TeacherUnavailableError):
        teacher.complete(REQUEST)


def test_of_an_answer_in_parts_the_text_counts(server: Server, teacher: OpenAITeacher) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thought, {"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]
    server.answer(200, completion(parts))
    assert teacher.complete(REQUEST).text == "in parts"


@pytest.mark.parametrize("path", ["", "/api", "/openai/"])
def test_a_404_of_an_address_without_a_version_says_so(path: str) -> None:
    server = Server(b"404 page not found", path=path)
    server.answer(404, b"404 page not found")
    with (
        server.running() as url,
        OpenAITeacher("m", base_url=url) as teacher,
        pytest.raises(TeacherRequestError, match="page not found.*end in /v1"),
    ):
        teacher.complete(REQUEST)


def test_a_404_of_an_address_with_a_version_does_not(
    server: Server, teacher: OpenAITeacher
) -> None:
    server.answer(404, {"error": {"message": "The model `m` does not exist"}})
    with pytest.raises(TeacherRequestError, match="does not exist") as caught:
        teacher.complete(REQUEST)
    assert "/v1, and" not in str(caught.value)


def test_a_body_of_another_shape_is_told_too(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(400, [{"error": {"code": 400, "message": "That is too much."}}])
    with pytest.raises(TeacherRequestError, match="That is too much"):
        teacher.complete(REQUEST)


def test_a_server_that_hangs_times_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.delay = 0.6
    with (
        server.running() as url,
        OpenAITeacher("m", base_url=url, timeout=0.1, max_retries=0) as teacher,
        pytest.raises(TeacherUnavailableError),
    ):
        teacher.complete(REQUEST)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        OpenAITeacher("m", base_url="http://127.0.0.1:9/v1", max_retries=0) as teacher,
        pytest.raises(TeacherUnavailableError, match="127.0.0.1:9"),
    ):
        teacher.complete(REQUEST)


def test_trouble_is_retried_as_often_as_allowed(server: Server) -> None:
    server.answers = [(500, {}, {"retry_after": "0"}), (200, completion("fine"), {})]
    with server.running() as url, OpenAITeacher("m", base_url=url, max_retries=1) as teacher:
        assert teacher.complete(REQUEST).text == "fine"
    assert len(server.seen) == 2


def test_calls_at_once_have_connections_of_their_own_and_later_ones_use_them_again(
    server: Server,
) -> None:
    server.delay = 0.05
    with server.running() as url, OpenAITeacher("m", base_url=url) as teacher:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: teacher.complete(REQUEST), range(40)))
        clients = teacher._clients
    assert {reply.text for reply in replies} == {"{}"}
    assert len(server.seen) == 40
    assert 1 < len(clients) <= 8
    assert all(client.is_closed() for client in clients)


def test_a_key_is_needed_unless_the_server_is_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(TeacherAuthError, match="OPENAI_API_KEY is not set"):
        OpenAITeacher("m")
    OpenAITeacher("m", base_url="http://127.0.0.1:9/v1").close()


def test_the_probability_of_an_answer_is_asked_for_and_summed(
    server: Server, teacher: OpenAITeacher
) -> None:
    body = completion()
    tokens: list[dict[str, Any]] = [
        {"token": t, "logprob": p, "top_logprobs": []} for t, p in (("{", -0.5), ("}", -1))
    ]
    body["choices"][0]["logprobs"] = {"content": tokens}
    server.answer(200, body)
    assert teacher.complete(replace(REQUEST, wants_logprob=True)).logprob == pytest.approx(-1.5)
    assert server.seen[-1][1]["logprobs"] is True
    teacher.complete(REQUEST)
    assert "logprobs" not in server.seen[-1][1]


@pytest.mark.parametrize("content", [None, [], "x", [{"logprob": -1}, {}], [{"logprob": "x"}]])
def test_odd_log_probabilities_are_none(
    server: Server, teacher: OpenAITeacher, content: Any
) -> None:
    body = completion()
    body["choices"][0]["logprobs"] = {"content": content}
    server.answer(200, body)
    assert teacher.complete(replace(REQUEST, wants_logprob=True)).logprob is None


def test_where_log_probabilities_are_refused_the_answer_comes_without(
    server: Server, teacher: OpenAITeacher
) -> None:
    refused = {"error": {"message": "Unsupported parameter: 'logprobs'"}}
    server.answers = [(400, refused, {}), (200, completion("fine"), {})]
    reply = teacher.complete(replace(REQUEST, wants_logprob=True))
    assert (reply.text, reply.logprob) == ("fine", None)
    server.answers = [(400, {"error": {"message": "no such model"}}, {})]
    with pytest.raises(TeacherRequestError, match="no such model"):
        teacher.complete(replace(REQUEST, wants_logprob=True))
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 8}, 8), (None, None), ({"cached_tokens": "8"}, None), ([], None)],
)
def test_the_part_of_a_prompt_that_was_cached_is_told(
    server: Server, teacher: OpenAITeacher, details: Any, cached: int | None
) -> None:
    body = completion()
    body["usage"]["prompt_tokens_details"] = details
    server.answer(200, body)
    reply = teacher.complete(REQUEST)
    assert (reply.input_tokens, reply.cached_tokens) == (12, cached)


@pytest.mark.parametrize("count", [-1, True, 10**30, 1.5, "12", None])
def test_a_number_of_tokens_that_cannot_be_is_none(
    server: Server, teacher: OpenAITeacher, count: Any
) -> None:
    server.answer(200, {**completion(), "usage": {"prompt_tokens": count, "completion_tokens": 3}})
    reply = teacher.complete(REQUEST)
    assert (reply.input_tokens, reply.output_tokens) == (None, 3)
