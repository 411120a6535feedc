"""The anthropic provider against a server on loopback that speaks its wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.config import Config
from pgkd.errors import TeacherAuthError, TeacherError, TeacherRequestError, TeacherUnavailableError
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers import teacher_from
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Request, Sampling
from tests.teachers.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-ant-very-secret-1234567890"
REQUEST = Request(
    (Message("system", "You write."), Message("user", "Write."), Message("assistant", "What?"),
     Message("user", "Cards.")),
    samples_schema(["card"], 2),
    Sampling(temperature=0.3, top_p=0.9, max_tokens=77, seed=5),
)  # fmt: skip


def message(*blocks: Any, stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "served-model",
        "content": list(blocks), "stop_reason": stop_reason, "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 3}, **more,
    }  # fmt: skip


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


@pytest.fixture
def server() -> Server:
    return Server(message(text("{}")))


@pytest.fixture
def teacher(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicTeacher]:
    monkeypatch.setenv("TEST_KEY", KEY)
    with (
        server.running() as url,
        AnthropicTeacher("asked", base_url=url, api_key_env="TEST_KEY", max_retries=0) as made,
    ):
        yield made


def test_a_request_goes_out_whole_and_its_reply_comes_back(
    server: Server, teacher: AnthropicTeacher
) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    server.answer(200, message(thought, text('{"samples"'), text(": []}")))
    reply = teacher.complete(REQUEST)
    assert (reply.text, reply.model) == ('{"samples": []}', "served-model")
    assert (reply.input_tokens, reply.output_tokens, reply.finish_reason) == (12, 3, "stop")
    assert server.paths == ["/v1/messages"]
    headers, body = server.seen[0]
    assert KEY in (
        headers.get("authorization", "").removeprefix("Bearer "),
        headers.get("x-api-key"),
    )
    sample = {
        "type": "object",
        "properties": {"label": {"enum": ["card"]}, "text": {"type": "string"}},
        "required": ["label", "text"],
        "additionalProperties": False,
    }
    answer = body.pop("output_config")["format"]
    assert answer["type"] == "json_schema"
    samples = answer["schema"]["properties"]["samples"]
    assert samples["items"] == sample
    assert "minItems" not in samples  # the service refuses it; it stands in the description
    assert "maxItems: 2" in samples["description"]
    assert body == {
        "model": "asked",
        "max_tokens": 77,
        "system": "You write.",
        "messages": [
            {"role": "user", "content": "Write."},
            {"role": "assistant", "content": "What?"},
            {"role": "user", "content": "Cards."},
        ],
    }  # and so no temperature, no top_p, no seed


def test_free_text_has_no_schema(server: Server, teacher: AnthropicTeacher) -> None:
    teacher.complete(Request((Message("user", "Hello."),)))
    assert set(server.seen[0][1]) == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (message(text("cut"), stop_reason="max_tokens"), "length"),
        (message(stop_reason="max_tokens"), "length"),  # all tokens went into thinking
        (message(stop_reason="refusal"), "refusal"),
        (message(text("x"), stop_reason="pause_turn"), "other"),
        (message(text("x"), stop_reason=None), "other"),  # type: ignore[arg-type]
    ],
)
def test_how_a_reply_ended_is_told(
    server: Server, teacher: AnthropicTeacher, answer: Any, finish: str
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
        (413, TeacherRequestError),
        (529, TeacherUnavailableError),
    ],
)
def test_every_refusal_has_its_error(
    server: Server, teacher: AnthropicTeacher, status: int, error: type[TeacherError]
) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "this went wrong"}}
    server.answer(status, body)
    with pytest.raises(error) as caught:
        teacher.complete(REQUEST)
    assert type(caught.value) is error
    assert error is TeacherAuthError or "this went wrong" in str(caught.value)


@pytest.mark.parametrize("schema", [{"properties": {}}, {"type": ["string", "null"]}])
def test_a_schema_that_cannot_be_said_is_refused(
    server: Server, teacher: AnthropicTeacher, schema: dict[str, Any]
) -> None:
    with pytest.raises(TeacherRequestError, match="schema"):
        teacher.complete(Request((Message("user", "Hello."),), schema))
    assert not server.seen


def test_trouble_is_retried_as_often_as_allowed(server: Server) -> None:
    server.answers = [(529, {}, {"retry_after": "0"}), (200, message(text("fine")), {})]
    with server.running() as url, AnthropicTeacher(base_url=url, max_retries=1) as teacher:
        assert teacher.complete(REQUEST).text == "fine"
    assert len(server.seen) == 2


def test_its_key_is_in_a_variable_of_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-this-one")
    with pytest.raises(TeacherAuthError, match="ANTHROPIC_API_KEY is not set"):
        teacher_from(Config.parse({"teacher": {"provider": "anthropic"}}))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with server.running() as url:
        settings = {"provider": "anthropic", "base_url": url}
        with teacher_from(Config.parse({"teacher": settings})) as teacher:
            teacher.complete(REQUEST)
    assert KEY in str(server.seen[0][0])
    assert "sk-not-this-one" not in str(server.seen)


def test_a_prompt_has_its_cached_tokens_too(server: Server, teacher: AnthropicTeacher) -> None:
    """Anthropic counts apart what was read from its cache, and what was written to it."""
    usage = {
        "input_tokens": 12, "output_tokens": 3,
        "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
    }  # fmt: skip
    server.answer(200, message(text("{}"), usage=usage))
    reply = teacher.complete(REQUEST)
    assert (reply.input_tokens, reply.cached_tokens, reply.output_tokens) == (132, 100, 3)
