"""The bedrock provider against a server on loopback that speaks Converse's wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.config import Config
from pgkd.errors import (
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers import teacher_from
from pgkd.teachers.base import Message, Request, Sampling
from pgkd.teachers.bedrock import BedrockTeacher
from tests.teachers.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REQUEST = Request(
    (Message("system", "You write."), Message("user", "Write.")),
    samples_schema(["card"], 2),
    Sampling(temperature=0.3, top_p=0.9, max_tokens=77, seed=5),
)
FREE = Request((Message("user", "Hello."),))


def converse(*blocks: Any, stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
        "metrics": {"latencyMs": 1},
        **more,
    }


def used(data: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": "t1", "name": "answer", "input": data}}


@pytest.fixture
def server() -> Server:
    return Server(converse({"text": "Hello."}))


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-very-secret-1234567890")


@pytest.fixture
def teacher(server: Server) -> Iterator[BedrockTeacher]:
    with (
        server.running() as url,
        BedrockTeacher("amazon.nova-lite-v1:0", region="eu-west-1", base_url=url, max_retries=0)
        as made,
    ):  # fmt: skip
        yield made


def test_a_request_goes_out_whole_and_its_reply_comes_back(
    server: Server, teacher: BedrockTeacher
) -> None:
    server.answer(200, converse({"text": "Here:"}, used({"samples": ["é"]}), stop="tool_use"))
    reply = teacher.complete(REQUEST)
    assert (reply.text, reply.model) == ('{"samples": ["é"]}', "amazon.nova-lite-v1:0")
    assert (reply.input_tokens, reply.output_tokens, reply.finish_reason) == (12, 3, "stop")
    assert server.paths == ["/model/amazon.nova-lite-v1%3A0/converse"]
    headers, body = server.seen[0]
    assert "Credential=AKIDEXAMPLE/" in headers["authorization"]
    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    (tool,) = body["toolConfig"].pop("tools")
    assert tool["toolSpec"]["name"] == "answer"
    assert tool["toolSpec"]["inputSchema"] == {"json": REQUEST.schema}
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Write."}]}],
        "system": [{"text": "You write."}],
        "inferenceConfig": {"maxTokens": 77, "temperature": 0.3, "topP": 0.9},
        "toolConfig": {"toolChoice": {"any": {}}},
    }


def test_free_text_needs_no_tool(server: Server, teacher: BedrockTeacher) -> None:
    server.answer(200, converse({"text": "Hel"}, {"text": "lo."}))
    assert teacher.complete(FREE).text == "Hello."
    assert set(server.seen[0][1]) == {"messages", "inferenceConfig"}


@pytest.mark.parametrize(
    "model",
    [
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdef123456",
    ],
)
def test_a_claude_is_sent_no_temperature(server: Server, model: str) -> None:
    with (
        server.running() as url,
        BedrockTeacher(model, region="eu-west-1", base_url=url) as teacher,
    ):
        teacher.complete(REQUEST)
    assert server.seen[0][1]["inferenceConfig"] == {"maxTokens": 77}


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (converse({"text": "x"}, stop="stop_sequence"), "stop"),
        (converse(used({}), stop="max_tokens"), "length"),
        (converse(stop="max_tokens"), "length"),
        (converse({"text": "no"}, stop="guardrail_intervened"), "refusal"),
        (converse(stop="content_filtered"), "refusal"),
        (converse({"text": "x"}, stop="malformed_tool_use"), "other"),
    ],
)
def test_how_a_reply_ended_is_told(
    server: Server, teacher: BedrockTeacher, answer: Any, finish: str
) -> None:
    server.answer(200, answer)
    assert teacher.complete(REQUEST).finish_reason == finish


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDeniedException", TeacherAuthError),
        (403, "UnrecognizedClientException", TeacherAuthError),
        (400, "ExpiredTokenException", TeacherAuthError),
        (429, "ThrottlingException", TeacherRateLimitError),
        (400, "ServiceQuotaExceededException", TeacherRateLimitError),
        (400, "ValidationException", TeacherRequestError),
        (404, "ResourceNotFoundException", TeacherRequestError),
        (408, "ModelTimeoutException", TeacherUnavailableError),
        (424, "ModelErrorException", TeacherUnavailableError),
        (429, "ModelNotReadyException", TeacherUnavailableError),
        (500, "InternalServerException", TeacherUnavailableError),
        (503, "ServiceUnavailableException", TeacherUnavailableError),
        (418, "AnExceptionOfTomorrow", TeacherRequestError),
    ],
)
def test_every_exception_of_aws_has_its_error(
    server: Server, teacher: BedrockTeacher, status: int, code: str, error: type[TeacherError]
) -> None:
    server.answer(status, {"message": "this went wrong"}, x_amzn_errortype=code, retry_after="7")
    with pytest.raises(error) as caught:
        teacher.complete(REQUEST)
    assert type(caught.value) is error
    assert error is TeacherAuthError or "this went wrong" in str(caught.value)
    assert not isinstance(caught.value, TeacherRateLimitError) or caught.value.retry_after == 7


@pytest.mark.parametrize("missing", ["both", "AWS_SECRET_ACCESS_KEY"])
def test_without_credentials_no_teacher_is_made(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if missing == "both":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(TeacherAuthError, match="AWS_PROFILE"):
        BedrockTeacher("m", region="eu-west-1")


def test_a_setting_that_aws_cannot_use_is_told_when_the_teacher_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="region"):
        BedrockTeacher("m")
    with pytest.raises(ConfigError, match="not a valid address") as caught:
        BedrockTeacher("m", region="eu-west-1", base_url="me:hunter2@nowhere")
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        BedrockTeacher("m", region="eu-west-1")


def test_it_is_made_from_the_config(server: Server) -> None:
    with pytest.raises(ConfigError, match="'bedrock'.*model"):
        teacher_from(Config.parse({"teacher": {"provider": "bedrock"}}))
    with server.running() as url:
        settings = {"provider": "bedrock", "model": "m", "region": "us-east-1", "base_url": url}
        with teacher_from(Config.parse({"teacher": settings})) as teacher:
            assert teacher.complete(FREE).text == "Hello."
    assert "/us-east-1/bedrock/" in server.seen[0][0]["authorization"]


def test_trouble_is_retried_as_often_as_allowed(server: Server) -> None:
    fine = converse({"text": "fine"})
    server.answers = [(503, {}, {}), (200, fine, {})]
    with (
        server.running() as url,
        BedrockTeacher("m", region="eu-west-1", base_url=url, max_retries=1) as teacher,
    ):
        assert teacher.complete(FREE).text == "fine"
    assert len(server.seen) == 2


def test_a_key_of_bedrock_itself_works_too(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    certificate_for: Callable[[str], Path],
    trust: Callable[[Path], None],
) -> None:
    pem = certificate_for("IP:127.0.0.1")
    trust(pem)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-secret")
    with (
        server.running(pem) as url,
        BedrockTeacher("m", region="eu-west-1", base_url=url, max_retries=0) as teacher,
    ):
        assert teacher.complete(FREE).text == "Hello."
        assert server.seen[0][0]["authorization"] == "Bearer bedrock-api-key-secret"
        server.answer(400, {"message": "what is bedrock-api-key-secret?"})
        with pytest.raises(TeacherRequestError, match=r"what is \[key\]"):
            teacher.complete(FREE)


def test_a_prompt_has_its_cached_tokens_too(server: Server, teacher: BedrockTeacher) -> None:
    """Bedrock counts apart what was read from its cache, and what was written to it."""
    usage = {
        "inputTokens": 12, "outputTokens": 3, "totalTokens": 135,
        "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20,
    }  # fmt: skip
    server.answer(200, converse({"text": "Hello."}, usage=usage))
    reply = teacher.complete(FREE)
    assert (reply.input_tokens, reply.cached_tokens, reply.output_tokens) == (132, 100, 3)
