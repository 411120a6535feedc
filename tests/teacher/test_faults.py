"""Faults of a network and a service, for every provider: each has its error, none tells the key."""

from __future__ import annotations

import gc
import traceback
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import (
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.guidance.asking import samples_schema
from pgkd.teacher import (
    AnthropicTeacher,
    BedrockTeacher,
    Message,
    OpenAITeacher,
    Request,
    Teacher,
)
from pgkd.teacher.endpoint import LONGEST_BODY
from tests.teacher.server import Server, cut, flood, hang, reset
from tests.teacher.test_anthropic import message, text
from tests.teacher.test_bedrock import converse, used
from tests.teacher.test_openai import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "sk-very-secret-1234567890"  # also AWS's secret access key, which is never sent
TOKEN = "aws-session-token-1234567890"
REQUEST = Request((Message("user", "Write."),), samples_schema(["card"], 1))
MANY = 50_000_000  # bytes


@dataclass(frozen=True)
class Provider:
    """How a provider's teacher is made, and what its service answers."""

    make: Callable[..., Teacher]
    secret: str  # what its requests carry, and a service may quote
    answer: Any
    shapeless: tuple[Any, ...]  # answers in which there is none
    refusal: Any
    filtered: Any


def openai(base_url: str, **settings: Any) -> Teacher:
    return OpenAITeacher("m", base_url=f"{base_url}/v1", api_key_env="TEST_KEY", **settings)


def anthropic(base_url: str, **settings: Any) -> Teacher:
    return AnthropicTeacher("m", base_url=base_url, api_key_env="TEST_KEY", **settings)


def bedrock(base_url: str, **settings: Any) -> Teacher:
    return BedrockTeacher("m", region="eu-west-1", base_url=base_url, **settings)


PROVIDERS = {
    "openai": Provider(
        openai,
        KEY,
        answer=completion("{}"),
        shapeless=({"choices": []}, {"choices": "abc"}, {"choices": [{"message": None}]}),
        refusal=completion(None, refusal="I cannot"),
        filtered=completion("", finish_reason="content_filter"),
    ),
    "anthropic": Provider(
        anthropic,
        KEY,
        answer=message(text("{}")),
        shapeless=(message(), {"content": "abc"}, {"content": [None, 1, {"type": "text"}]}),
        refusal=message(stop_reason="refusal"),
        filtered=message(text("I"), stop_reason="refusal"),
    ),
    "bedrock": Provider(
        bedrock,
        TOKEN,
        answer=converse(used({}), stop="tool_use"),
        shapeless=(converse(), {"output": "abc"}, {"output": {"message": {"content": [1, None]}}}),
        refusal=converse({"text": "no"}, stop="guardrail_intervened"),
        filtered=converse(stop="content_filtered"),
    ),
}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    return PROVIDERS[request.param]


@pytest.fixture
def server(provider: Provider) -> Server:
    return Server(provider.answer)


@pytest.fixture
def teacher(server: Server, provider: Provider) -> Iterator[Teacher]:
    with server.running() as url, provider.make(url, max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def no_log_tells_the_key(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Not even the logs of the SDKs, and of what they rest on, at their most talkative."""
    caplog.set_level("DEBUG")
    yield
    for record in caplog.get_records("call"):
        told = f"{record.getMessage()} {record.exc_text or ''} {record.args}"
        assert KEY not in told, record.name
        assert TOKEN not in told, record.name


def fails(teacher: Teacher, error: type[TeacherError]) -> TeacherError:
    """Ask; the error is exactly this one, of bounded length, and no part of it tells a secret."""
    with pytest.raises(error) as caught:
        teacher.complete(REQUEST)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 1000
    for told in (*traceback.format_exception(caught.value), repr(caught.value), repr(teacher)):
        assert KEY not in told
        assert TOKEN not in told
    return caught.value


def trouble(said: str = "we are busy") -> dict[str, Any]:
    """An error body as all of the services may read it."""
    return {"type": "error", "error": {"type": "some_error", "message": said}, "message": said}


def test_without_a_fault_all_is_well(teacher: Teacher) -> None:
    reply = teacher.complete(REQUEST)
    assert (reply.text, reply.finish_reason, reply.input_tokens) == ("{}", "stop", 12)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, TeacherRequestError),
        (401, TeacherAuthError),
        (403, TeacherAuthError),
        (404, TeacherRequestError),
        (429, TeacherRateLimitError),
        (500, TeacherUnavailableError),
        (502, TeacherUnavailableError),
        (503, TeacherUnavailableError),
        (529, TeacherUnavailableError),
    ],
)
def test_a_status_has_its_error(
    server: Server, teacher: Teacher, provider: Provider, status: int, error: type[TeacherError]
) -> None:
    for said in (f"is {provider.secret} yours?", "no " * 100_000):
        server.answer(status, trouble(said))
        fails(teacher, error)
    server.answer(status, b"<html>no</html>")
    fails(teacher, error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"retry_after": "7"}, 7.0), ({"retry_after": "soon"}, None),
     ({"retry_after": "inf"}, None)],
)  # fmt: skip
def test_a_rate_limit_tells_how_long_to_wait(
    server: Server, teacher: Teacher, headers: dict[str, str], seconds: float | None
) -> None:
    server.answer(429, trouble(), **headers)
    caught = fails(teacher, TeacherRateLimitError)
    assert isinstance(caught, TeacherRateLimitError)
    assert caught.retry_after == seconds


@pytest.mark.parametrize("fault", [reset, cut(trouble("yes " * 1000))])
def test_a_broken_connection_is_unavailability(
    server: Server, teacher: Teacher, fault: Any
) -> None:
    server.answer(200, fault)
    fails(teacher, TeacherUnavailableError)


def test_an_answer_that_is_cut_in_half_is_unavailability(
    server: Server, teacher: Teacher, provider: Provider
) -> None:
    server.answer(200, cut(provider.answer))
    fails(teacher, TeacherUnavailableError)


def test_slow_headers_time_out(server: Server, provider: Provider) -> None:
    server.answer(200, hang)
    with server.running() as url, provider.make(url, max_retries=0, timeout=0.2) as teacher:
        fails(teacher, TeacherUnavailableError)
        server.over.set()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>bad gateway</html>", b'{"half":', b"[" * 100_000, b"\xff\xfe", b"null", [1],
     "hello", {"odd": 1}, trouble()],
)  # fmt: skip
def test_an_answer_that_is_none_is_unavailability(
    server: Server, teacher: Teacher, body: Any
) -> None:
    server.answer(200, body)
    fails(teacher, TeacherUnavailableError)


@pytest.mark.parametrize("which", range(3))
def test_an_answer_of_a_wrong_shape_is_unavailability(
    server: Server, teacher: Teacher, provider: Provider, which: int
) -> None:
    server.answer(200, provider.shapeless[which])
    fails(teacher, TeacherUnavailableError)


@pytest.mark.parametrize("why", ["refusal", "filtered"])
def test_a_refusal_is_a_reply(
    server: Server, teacher: Teacher, provider: Provider, why: str
) -> None:
    server.answer(200, getattr(provider, why))
    assert teacher.complete(REQUEST).finish_reason == "refusal"


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_body_is_not_read(server: Server, teacher: Teacher, status: int) -> None:
    server.answer(status, flood(status, MANY))
    tracemalloc.start()
    try:
        fails(teacher, TeacherRequestError)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * LONGEST_BODY
    assert server.sent < MANY


def test_a_packed_body_is_not_asked_for_and_not_unpacked(server: Server, teacher: Teacher) -> None:
    server.answer(200, b"\x1f\x8b", content_encoding="gzip")
    with pytest.raises((TeacherRequestError, TeacherUnavailableError)):
        teacher.complete(REQUEST)
    assert server.seen[0][0].get("accept-encoding", "identity") == "identity"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_the_key_nowhere(server: Server, teacher: Teacher, status: int) -> None:
    other = Server(completion())
    with other.running() as url:
        server.answer(status, {}, location=f"{url}/v1/messages")
        caught = fails(teacher, TeacherRequestError)
    assert "points elsewhere" in str(caught)
    assert other.seen == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_pointer_to_another_answer_is_not_followed(
    server: Server, teacher: Teacher, caplog: pytest.LogCaptureFixture
) -> None:
    other = Server(completion())
    with other.running() as url:
        server.answer(303, {}, location=f"{url}/v1/messages")
        with pytest.raises(TeacherError) as caught:
            teacher.complete(REQUEST)
    assert other.seen == []
    # urllib3, under bedrock, stumbles over a 303 and forgets its socket: let it go here.
    del caught
    caplog.clear()
    gc.collect()


def test_the_name_in_the_certificate_has_to_be_the_servers(
    server: Server,
    provider: Provider,
    certificate_for: Callable[[str], Path],
    trust: Callable[[Path], None],
) -> None:
    right, wrong = certificate_for("IP:127.0.0.1"), certificate_for("DNS:other.example")
    trust(right)
    with server.running(right) as url, provider.make(url, max_retries=0) as teacher:
        assert teacher.complete(REQUEST).text == "{}"
    trust(wrong)  # so that nothing but the name is wrong
    with server.running(wrong) as url, provider.make(url, max_retries=0) as teacher:
        fails(teacher, TeacherUnavailableError)
    assert len(server.seen) == 1


def test_a_certificate_that_nobody_trusts_is_unavailability(
    server: Server, provider: Provider, certificate_for: Callable[[str], Path]
) -> None:
    pem = certificate_for("IP:127.0.0.1")
    with server.running(pem) as url, provider.make(url, max_retries=0) as teacher:
        fails(teacher, TeacherUnavailableError)
    assert server.seen == []


def test_a_password_in_the_address_is_not_told(server: Server, provider: Provider) -> None:
    server.answer(503, {})
    with server.running() as url:
        secret = url.replace("http://", f"http://me:{KEY}@")
        with provider.make(secret, max_retries=0) as teacher:
            assert "127.0.0.1" in str(fails(teacher, TeacherUnavailableError))


def test_a_server_that_is_not_there_is_unavailable(provider: Provider) -> None:
    with provider.make("http://127.0.0.1:9", max_retries=0) as teacher:
        assert "127.0.0.1:9" in str(fails(teacher, TeacherUnavailableError))
