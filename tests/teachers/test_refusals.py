"""What endpoints refuse is learnt from their errors: once, for all later calls, at no cost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import TeacherRequestError
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Request, Sampling
from pgkd.teachers.bedrock import BedrockTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.teachers.refusals import may_think
from pgkd.usage.budget import Amount, SpendingLimits
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher
from tests.teachers.server import Server, picky
from tests.teachers.test_anthropic import message, text
from tests.teachers.test_bedrock import converse
from tests.teachers.test_openai import completion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = Request(
    (Message("system", "You write."), Message("user", "Write.")),
    samples_schema(["card", "loan"], 1),
    Sampling(temperature=0.3, top_p=0.9, max_tokens=77, seed=5),
    wants_logprob=True,
)


def error(said: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": said, "type": "invalid_request_error", **more}}


def reasoning(body: dict[str, Any]) -> Any:
    """OpenAI's reasoning models."""
    if "max_tokens" in body:
        return error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
        )
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            said = f"Unsupported value: '{name}' does not support {body[name]} with this model."
            return error(said, param=name)
    return error("logprobs is not supported with this model") if "logprobs" in body else None


def mistral(body: dict[str, Any]) -> Any:
    bad = [name for name in ("seed", "logprobs") if name in body]
    kind = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    return {"detail": [{**kind, "loc": ["body", name]} for name in bad]} if bad else None


def gemini(body: dict[str, Any]) -> Any:
    said = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
    return [{"error": {"code": 400, "message": said}}] if "seed" in body else None


def format_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body.get("response_format") or {}
    return found


def no_strict(body: dict[str, Any]) -> Any:
    strict = "strict" in format_of(body).get("json_schema", {})
    return error("Unrecognized argument: strict") if strict else None


def no_schema(body: dict[str, Any]) -> Any:
    unknown = format_of(body).get("type") == "json_schema"
    return error("This response_format type is unavailable now") if unknown else None


def no_format(body: dict[str, Any]) -> Any:
    return error("response_format is not supported") if format_of(body) else None


def no_system(body: dict[str, Any]) -> Any:
    there = any(m["role"] == "system" for m in body["messages"])
    return error("System role not supported") if there else None


def few_values(body: dict[str, Any]) -> Any:
    if len(labels_in(body)) > 1000:
        return error("Invalid schema: schema has too many enum values (more than 1000).")
    return None


def labels_in(body: dict[str, Any]) -> list[str]:
    schema = format_of(body)["json_schema"]["schema"]
    label = schema["properties"]["samples"]["items"]["properties"]["label"]
    found: list[str] = label.get("enum", [])
    return found


@pytest.fixture
def server() -> Server:
    return Server(completion(), path="/v1")


@pytest.fixture
def teacher(server: Server) -> Iterator[OpenAITeacher]:
    with server.running() as url, OpenAITeacher("m", base_url=url) as made:
        yield made


@pytest.mark.parametrize(
    ("refused", "refusals", "gone"),
    [
        (reasoning, 4, {"max_tokens", "temperature", "top_p", "logprobs"}),
        (mistral, 2, {"seed", "logprobs"}),
        (gemini, 1, {"seed"}),
        (no_format, 2, {"response_format"}),
    ],
)
def test_a_refused_field_is_left_out_from_then_on(
    server: Server,
    teacher: OpenAITeacher,
    caplog: pytest.LogCaptureFixture,
    refused: Any,
    refusals: int,
    gone: set[str],
) -> None:
    server.answer(200, picky(refused, completion("fine"), 422))
    assert teacher.complete(REQUEST).text == "fine"
    assert len(server.seen) == refusals + 1
    teacher.complete(REQUEST)
    assert len(server.seen) == refusals + 2
    whole = {
        "model", "messages", "temperature", "top_p", "max_tokens", "seed", "logprobs",
        "response_format",
    }  # fmt: skip
    assert set(server.seen[-1][1]) - {"max_completion_tokens"} == whole - gone
    assert len(caplog.records) == refusals  # each is told once
    assert len(teacher.refusals.summaries) == refusals


def test_a_bound_gets_its_other_name_and_its_number(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(200, picky(reasoning, completion("fine")))
    teacher.complete(REQUEST)
    assert server.seen[-1][1]["max_completion_tokens"] == 77
    assert teacher.thinks


def test_a_bound_that_is_too_large_is_no_unknown_field(
    server: Server, teacher: OpenAITeacher
) -> None:
    server.answer(400, error("max_tokens is too large: 77. At most 50 completion tokens."))
    with pytest.raises(TeacherRequestError, match="too large"):
        teacher.complete(REQUEST)
    assert len(server.seen) == 1


def test_a_schema_is_given_up_in_steps(server: Server, teacher: OpenAITeacher) -> None:
    server.answer(200, picky(no_strict, completion("fine")))
    teacher.complete(REQUEST)
    assert format_of(server.seen[-1][1])["json_schema"] == {
        "name": "answer",
        "schema": REQUEST.schema,
    }
    server.answer(200, picky(no_schema, completion("fine")))
    teacher.complete(REQUEST)
    body = server.seen[-1][1]
    assert body["response_format"] == {"type": "json_object"}
    assert json.dumps(REQUEST.schema) in body["messages"][0]["content"]
    server.answer(200, picky(no_format, completion("fine")))
    teacher.complete(REQUEST)
    body = server.seen[-1][1]
    assert "response_format" not in body
    assert body["messages"][0]["content"].count(json.dumps(REQUEST.schema)) == 1
    assert body["messages"][1:] == [{"role": "user", "content": "Write."}]
    free = replace(REQUEST, schema=None)
    teacher.complete(free)
    assert server.seen[-1][1]["messages"][0]["content"] == "You write."


@pytest.mark.parametrize(
    "said",
    ["System role not supported", "Developer instruction is not enabled for models/gemma",
     "Conversation roles must alternate user/assistant/user/assistant/..."],
)  # fmt: skip
def test_without_a_system_role_the_user_says_it(
    server: Server, teacher: OpenAITeacher, said: str
) -> None:
    server.answer(200, picky(lambda body: no_system(body) and error(said), completion("fine")))
    teacher.complete(REQUEST)
    assert server.seen[-1][1]["messages"] == [{"role": "user", "content": "You write.\n\nWrite."}]


def test_a_list_of_values_that_is_too_long_is_left_out_and_shorter_ones_are_not(
    server: Server, teacher: OpenAITeacher
) -> None:
    names = [f"class {i}" for i in range(1001)]
    server.answer(200, picky(few_values, completion("fine")))
    many = replace(REQUEST, schema=samples_schema(names, 1))
    assert teacher.complete(many).text == "fine"
    assert labels_in(server.seen[-1][1]) == []
    teacher.complete(replace(REQUEST, schema=samples_schema(names[:30], 1)))
    assert labels_in(server.seen[-1][1]) == names[:30]
    assert len(server.seen) == 3


def test_calls_at_once_learn_together(
    server: Server, teacher: OpenAITeacher, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer(200, picky(reasoning, completion("fine")))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: teacher.complete(REQUEST), range(40)))
    assert {reply.text for reply in replies} == {"fine"}
    assert len(caplog.records) == len(teacher.refusals.summaries) == 4


@pytest.mark.parametrize(
    "said",
    ["The model `gpt-9` does not exist", "the prompt triggered the content management policy"],
)
def test_a_refusal_that_names_no_part_is_an_error_at_once(
    server: Server, teacher: OpenAITeacher, said: str
) -> None:
    server.answer(400, error(said))
    with pytest.raises(TeacherRequestError):
        teacher.complete(REQUEST)
    assert len(server.seen) == 1
    assert teacher.refusals.summaries == ()


def test_what_an_error_repeats_of_the_request_is_no_complaint(
    server: Server, teacher: OpenAITeacher
) -> None:
    server.answer(422, {"detail": [{"msg": "no", "input": "temperature, seed, top_p"}]})
    with pytest.raises(TeacherRequestError):
        teacher.complete(REQUEST)
    assert len(server.seen) == 1


def test_an_endpoint_that_refuses_everything_ends(server: Server, teacher: OpenAITeacher) -> None:
    everything = "logprobs seed top_p temperature response_format enum system role max_tokens"
    server.answer(400, error(f"{everything}: not supported"))
    with pytest.raises(TeacherRequestError, match="not supported"):
        teacher.complete(REQUEST)
    assert len(server.seen) < 15


def test_how_long_a_model_thinks_is_sent_where_it_is_set(server: Server) -> None:
    with (
        server.running() as url,
        OpenAITeacher("m", base_url=url, reasoning_effort="low") as teacher,
    ):
        teacher.complete(REQUEST)
        refused = picky(
            lambda body: (
                error("Unknown parameter: 'reasoning_effort'")
                if "reasoning_effort" in body
                else None
            ),
            completion("fine"),
        )
        server.answer(200, refused)
        assert teacher.complete(REQUEST).text == "fine"
    assert [body.get("reasoning_effort") for _, body in server.seen] == ["low", "low", None]


def test_an_anthropic_model_without_structured_output_is_asked_in_words(server: Server) -> None:
    def refused(body: dict[str, Any]) -> Any:
        there = "output_config" in body
        return error("output_config: Extra inputs are not permitted") if there else None

    server = Server(picky(refused, message(text("fine"))))
    with server.running() as url, AnthropicTeacher("m", base_url=url) as teacher:
        assert teacher.complete(REQUEST).text == "fine"
        teacher.complete(replace(REQUEST, messages=REQUEST.messages[1:]))
    assert len(server.seen) == 3
    assert '"samples"' in server.seen[1][1]["system"]
    assert server.seen[1][1]["system"].startswith("You write.")
    assert '"samples"' in server.seen[2][1]["system"]


def test_anthropics_grammar_may_be_too_large_for_many_classes() -> None:
    def refused(body: dict[str, Any]) -> Any:
        large = '"enum"' in json.dumps(body)
        return error("The compiled grammar is too large. Simplify the schema.") if large else None

    server = Server(picky(refused, message(text("fine"))))
    with server.running() as url, AnthropicTeacher("m", base_url=url) as teacher:
        assert teacher.complete(REQUEST).text == "fine"
    schema = server.seen[-1][1]["output_config"]["format"]["schema"]
    label = schema["properties"]["samples"]["items"]["properties"]["label"]
    assert label == {"type": "string"}


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model", "topP"),
        ("temperature is deprecated for this model", "temperature"),
        ("This model doesn't support tool use", "toolConfig"),
        ("Thinking may not be enabled when tool_choice forces tool use", "toolConfig"),
        ("This model doesn't support system messages", "system"),
    ],
)
def test_what_a_model_on_bedrock_refuses_is_learnt_too(
    monkeypatch: pytest.MonkeyPatch, said: str, gone: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def refused(body: dict[str, Any]) -> Any:
        there = gone in body or gone in body["inferenceConfig"]
        return {"message": said, "__type": "ValidationException"} if there else None

    server = Server(picky(refused, converse({"text": "fine"})))
    with (
        server.running() as url,
        BedrockTeacher("m", region="eu-west-1", base_url=url) as teacher,
    ):
        assert teacher.complete(REQUEST).text == "fine"
        assert teacher.complete(REQUEST).text == "fine"
    assert len(server.seen) == 3
    last = json.dumps(server.seen[-1][1])
    assert "You write." in last
    assert '\\"samples\\"' in last or '"samples"' in last


def test_a_refused_call_costs_nothing_and_stands_in_the_ledger(
    server: Server, teacher: OpenAITeacher, tmp_path: Path
) -> None:
    server.answer(200, picky(reasoning, completion("fine")))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        # One call may be made: those that taught something do not count.
        metered = MeteredTeacher(teacher, ledger, limits=SpendingLimits(calls=1, tokens=20_000))
        assert metered.complete(REQUEST).text == "fine"
        assert metered._budget.used == Amount(1, 15)
        states = [(call.state, call.error_kind) for call in ledger.calls()]
        assert states == [("failed", "FieldRefusedError")] * 4 + [("replied", None)]
        assert "max_completion_tokens replaces max_tokens" in str(next(ledger.calls()).error)
        again = MeteredTeacher(teacher, ledger, limits=SpendingLimits(calls=1, tokens=20_000))
        assert again._budget.used == Amount(1, 15)
        assert again.complete(REQUEST).text == "fine"  # from the ledger
    assert len(server.seen) == 5


def test_a_model_that_thinks_gets_room_and_the_budget_knows_of_it(
    server: Server, teacher: OpenAITeacher, tmp_path: Path
) -> None:
    server.answer(200, picky(reasoning, completion("fine")))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        MeteredTeacher(teacher, ledger).complete(REQUEST)
        most = [call.most.tokens for call in ledger.calls()]
    assert server.seen[-1][1]["max_completion_tokens"] == 77 + 8192
    assert most[-1] == most[0] + 8192


@pytest.mark.parametrize("content", [None, "", "<think>\nIt asks for JSON, so {"])
def test_a_reply_that_ends_in_thinking_is_asked_for_again_with_room(
    server: Server, teacher: OpenAITeacher, tmp_path: Path, content: Any
) -> None:
    cut = completion(content, finish_reason="length", reasoning_content="I think")
    server.answers = [(200, cut, {}), (200, completion("fine"), {})]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        metered = MeteredTeacher(teacher, ledger)
        assert metered.complete(REQUEST).text == "fine"
        assert metered.complete(REQUEST).text == "fine"  # the last reply stands
        assert [call.state for call in ledger.calls()] == ["replied", "replied"]
    assert [body["max_tokens"] for _, body in server.seen] == [77, 77 + 8192]


def test_a_bound_of_the_user_holds_for_every_request_and_a_cut_is_told(
    server: Server, teacher: OpenAITeacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer(200, completion(None, finish_reason="length"))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        metered = MeteredTeacher(teacher, ledger, max_tokens=4000)
        metered.complete(REQUEST)
        metered.complete(replace(REQUEST, purpose="label", repeat=1))
    assert [body["max_tokens"] for _, body in server.seen] == [4000, 4000]
    (record,) = caplog.records
    assert "cut off at its bound of 4000 tokens" in record.getMessage()
    assert "teacher.max_tokens" in record.getMessage()


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("o3-mini", True), ("gpt-5.1", True), ("openai/o4-mini", True),
        ("claude-opus-5", True), ("anthropic/claude-sonnet-5-5", True),
        ("eu.anthropic.claude-opus-5-5-v1:0", True), ("claude-haiku-4-5", False),
        ("gpt-4o-mini", False), ("llama-3o1", False), ("qwen2.5", False),
    ],
)  # fmt: skip
def test_some_names_tell_that_a_model_thinks(model: str, thinks: bool) -> None:
    assert may_think(model) is thinks
