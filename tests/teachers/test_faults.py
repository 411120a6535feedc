"""Faults of a network and a service, for every provider: each has its error, none tells the key."""

from __future__ import annotations

import gc
import socket
import traceback
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import (
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherQuotaError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Request, Teacher
from pgkd.teachers.bedrock import BedrockTeacher
from pgkd.teachers.endpoint import MAX_BODY
from pgkd.teachers.openai import OpenAITeacher
from pgkd.usage.retry import Retry, RetryingTeacher
from tests.teachers.server import Server, cut, flood, hang, reset
from tests.teachers.test_anthropic import message, text
from tests.teachers.test_bedrock import converse, used
from tests.teachers.test_openai import completion

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


def trouble(said: str = "we are busy") -> dict[str, Any]:
    """An error body as all of the services may read it."""
    return {"type": "error", "error": {"type": "some_error", "message": said}, "message": said}


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


def test_without_a_fault_all_is_well(teacher: Teacher) -> None:
    reply = teacher.complete(REQUEST)
    assert (reply.text, reply.finish_reason, reply.input_tokens) == ("{}", "stop", 12)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, TeacherRequestError),
        (401, TeacherAuthError),
        (403, TeacherAuthError),
        (402, TeacherQuotaError),
        (404, TeacherRequestError),
        (408, TeacherUnavailableError),
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
    ("status", "body"),
    [
        (429, {"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}),
        (400, trouble("Your credit balance is too low to access the API.")),
        (402, trouble("Insufficient Balance")),
        (403, trouble("Insufficient credits")),
    ],
)
def test_a_quota_that_is_used_up_is_not_worth_a_retry(
    server: Server, provider: Provider, status: int, body: Any
) -> None:
    server.answer(status, {"message": body["error"]["code"], **body} if status == 429 else body)
    waits: list[float] = []
    with server.running() as url, provider.make(url) as teacher:
        asked = RetryingTeacher(teacher, Retry(retries=4, sleep=waits.append))
        fails(asked, TeacherQuotaError)
    assert (len(server.seen), waits) == (1, [])


def test_a_request_that_is_too_large_for_the_limit_is_not_worth_a_retry(
    server: Server, teacher: Teacher
) -> None:
    server.answer(429, trouble("Request too large on tokens per min: Limit 30, Requested 41"))
    fails(teacher, TeacherRequestError)


@pytest.mark.parametrize(
    "said",
    ["Project `proj_a` does not have access to model `gpt-5`",
     "Country, region, or territory not supported"],
)  # fmt: skip
def test_a_403_about_a_model_or_a_region_says_so(
    server: Server, teacher: Teacher, said: str
) -> None:
    server.answer(403, trouble(said))
    caught = str(fails(teacher, TeacherAuthError))
    assert said in caught
    assert "refuses access" in caught
    assert "refuses the key" not in caught


@pytest.mark.parametrize("said", ["Invalid API key: sk-ver*****7890", "no", "bad credentials"])
def test_a_403_about_the_key_tells_no_part_of_it(
    server: Server, teacher: Teacher, said: str
) -> None:
    server.answer(403, trouble(said))
    caught = str(fails(teacher, TeacherAuthError))
    assert "refuses the key" in caught
    assert said not in caught


@pytest.mark.parametrize(
    ("inside", "error"),
    [
        ({"message": "Provider returned error", "code": 429}, TeacherRateLimitError),
        ({"message": "No endpoints found", "code": "404"}, TeacherRequestError),
        ({"message": "It is overloaded", "type": "overloaded_error"}, TeacherUnavailableError),
        ({"message": "Something is wrong", "code": 10**9}, TeacherUnavailableError),
        ({"message": "What?", "type": "invalid_request_error"}, TeacherRequestError),
        ("Something is wrong", TeacherUnavailableError),
    ],
)
def test_an_error_within_a_good_answer_is_told(
    server: Server, teacher: Teacher, inside: Any, error: type[TeacherError]
) -> None:
    if isinstance(teacher, BedrockTeacher):
        pytest.skip("botocore knows the shape of an answer, and drops what is not in it")
    server.answer(200, {"id": None, "choices": None, "content": None, "error": inside})
    said = inside["message"] if isinstance(inside, dict) else inside
    assert said in str(fails(teacher, error))


def test_a_key_in_a_header_of_the_answer_is_in_no_log(
    server: Server, teacher: Teacher, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """`no_log_tells_the_key` sees to it; here, that the header was logged at all."""
    server.answer(200, provider.answer, x_echo=f"Bearer {provider.secret}")
    teacher.complete(REQUEST)
    assert any("x-echo" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("address", ["localhost:11434/v1", "ftp://127.0.0.1/v1", "example.org"])
def test_an_address_without_http_is_told_when_the_teacher_is_made(
    provider: Provider, address: str
) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        provider.make(address)


def test_why_there_is_no_connection_is_told(
    server: Server,
    provider: Provider,
    certificate_for: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with provider.make("http://127.0.0.1:9") as teacher:
        assert "refused" in str(fails(teacher, TeacherUnavailableError)).lower()
    with server.running(certificate_for("IP:127.0.0.1")) as url, provider.make(url) as teacher:
        assert "certificate verify failed" in str(fails(teacher, TeacherUnavailableError))

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with provider.make("http://nowhere.invalid") as teacher:
        told = str(fails(teacher, TeacherUnavailableError))
    assert "DNS" in told or "not known" in told


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"retry_after": "7"}, 7.0), ({"retry_after": "soon"}, None),
     ({"retry_after": "inf"}, None), ({"retry_after_ms": "300"}, 0.3)],
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


def test_what_is_no_json_is_shown(server: Server, teacher: Teacher, provider: Provider) -> None:
    """A page to log in, or a stream that nobody asked for: its beginning says more than a byte."""
    server.answer(200, f"<html>Log in to the \x1b[2J WiFi{provider.secret}</html>".encode())
    told = str(fails(teacher, TeacherUnavailableError))
    if provider.make is not bedrock:  # its SDK tells what it could not read
        assert "sent no JSON, but '<html>Log in to the \\x1b[2J WiFi[key]</html>'" in told


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
    assert peak < 3 * MAX_BODY
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
    assert "redirects elsewhere" in str(caught)
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
