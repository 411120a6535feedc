"""Commands with a teacher behind an endpoint on loopback: what it is sent, and what people see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import TeacherError
from pgkd.teachers.base import Message, Request
from pgkd.teachers.fake import FakeTeacher
from tests.apps.cli.test_commands import run, write
from tests.teachers.server import Server, picky, send
from tests.teachers.test_openai import completion
from tests.teachers.test_refusals import format_of, no_schema, no_system, reasoning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

_SETTINGS = "teacher: {provider: openai, model: m, retries: 0, cache: 'off'%s}\n"


def filled(body: dict[str, Any]) -> str:
    """An answer to the schema of a request, as the fake teacher gives it."""
    schema = format_of(body).get("json_schema", {}).get("schema")
    if schema is None:  # it stands in the prompt
        told = body["messages"][0]["content"]
        start = told.find('{"type"')
        schema = json.JSONDecoder().raw_decode(told, start)[0] if start >= 0 else None
    messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
    return FakeTeacher().complete(Request(messages, schema)).text


def answering(
    shape: Callable[[str], Any] = lambda text: text, finish: str = "stop"
) -> Callable[[BaseHTTPRequestHandler, Server], None]:
    """Answer by the schema, in some shape."""

    def answer(handler: BaseHTTPRequestHandler, _: Server) -> None:
        body = handler.asked  # type: ignore[attr-defined]
        send(handler, 200, completion(shape(filled(body)), finish_reason=finish))

    return answer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "train.csv", 10)
    write(tmp_path / "test.csv", 2, start=40)
    return tmp_path


@pytest.fixture
def server(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose address is in the configuration."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = Server(answering(), path="/v1")
    with made.running() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        (data / "c.yaml").write_text(_SETTINGS % "", encoding="utf-8")
        yield made


def label(data: Path, *more: Any, code: int = 0) -> dict[str, Any]:
    out = data / "labels.csv"
    examples = ("--examples", data / "train.csv", "--shots", 0, "--config", data / "c.yaml")
    found = run("label", data / "test.csv", *examples, "--out", out, "--json", *more, code=code)
    told: dict[str, Any] = json.loads(found)
    return told


def distil(data: Path, *more: Any, code: int = 0) -> Path:
    out = data / "run"
    run(
        "distill", "--config", data / "c.yaml", "--train", data / "train.csv", "--student",
        "linear", "--rounds", 1, "--samples", 4, "--out", out, *more, code=code,
    )  # fmt: skip
    return out


@pytest.mark.parametrize(
    "frame",
    ["```json\n%s\n```", "<think>Perhaps {this}.</think>\n%s", "Here it is: %s", "%s That is it."],
)
def test_label_reads_what_stands_around_its_answers(server: Server, data: Path, frame: str) -> None:
    server.answer(200, answering(lambda text: frame % text))
    found = label(data)
    assert found["texts"] > 0
    assert found["unlabelled"] == 0


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_label_that_reads_nothing_is_an_error_that_shows_a_reply(
    server: Server, data: Path, finish: str
) -> None:
    server.answer(200, answering(lambda _: "It is about cards, I think.", finish))
    with pytest.raises(TeacherError, match="none of .*It is about cards") as caught:
        label(data)
    assert ("raise teacher.max_tokens" in str(caught.value)) is (finish == "length")
    assert not (data / "labels.csv").exists()


@pytest.mark.parametrize("command", ["label", "doctor", "distill"])
def test_a_refusal_is_told_in_its_words(server: Server, data: Path, command: str) -> None:
    server.answer(200, completion(None, refusal="I cannot help with cards."))
    if command == "doctor":
        assert "refusal: 'I cannot help with cards.'" in doctor(code=1)["error"]
    elif command == "label":
        with pytest.raises(TeacherError, match="a refusal: 'I cannot help with cards"):
            label(data)
    else:
        folder = distil(data, code=1)
        assert (
            "I cannot help with cards."
            in json.loads((folder / "result.json").read_text())["detail"]
        )


def test_a_run_reads_answers_in_a_list(server: Server, data: Path) -> None:
    server.answer(200, answering(lambda text: f"[{text}]"))
    folder = distil(data)
    assert (folder / "examples.jsonl").read_text(encoding="utf-8").count("\n") == 4
    assert "billing" in (folder / "glossary.yaml").read_text(encoding="utf-8")


def test_a_bound_of_the_settings_holds_for_every_call_of_every_command(
    server: Server, data: Path
) -> None:
    (data / "c.yaml").write_text(_SETTINGS % ", max_tokens: 4000", encoding="utf-8")
    label(data)
    folder = distil(data)
    run("evaluate", folder, "--data", data / "test.csv", "--teacher-rows", 3)
    assert {body["max_tokens"] for _, body in server.seen} == {4000}
    ledger = json.loads(run("cost", folder, "--json"))
    assert {"glossary", "exam", "write", "label"} <= {row["purpose"] for row in ledger["parts"]}


@pytest.mark.parametrize("refused", [reasoning, no_schema, no_system])
def test_a_run_goes_well_with_an_endpoint_that_is_particular(
    server: Server, data: Path, refused: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(handler: BaseHTTPRequestHandler, of: Server) -> None:
        body = handler.asked  # type: ignore[attr-defined]
        picky(refused, completion(filled(body)))(handler, of)

    server.answer(200, answer)
    folder = distil(data)
    assert (folder / "examples.jsonl").read_text(encoding="utf-8").count("\n") > 0
    told = [record.getMessage() for record in caplog.records if "From now on" in record.message]
    assert 0 < len(told) == len(set(told)) <= 4


def test_more_texts_than_were_asked_for_are_cut(server: Server, data: Path) -> None:
    def sixty(text: str) -> str:
        answer = json.loads(text)
        for part in answer.values():
            if isinstance(part, dict) and "texts" in part:
                first = part["texts"][0]
                part["texts"] = [f"{first} {i} {i * i} {'x' * i}" for i in range(60)]
        return json.dumps(answer)

    server.answer(200, answering(sixty))
    folder = distil(data)
    kept = (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    assert 0 < len(kept) <= 4
    assert "more than asked for" in (folder / "rejected.jsonl").read_text(encoding="utf-8")


def doctor(*, code: int) -> dict[str, Any]:
    found = run("doctor", "--teacher", "openai", "--teacher-model", "m", "--json", code=code)
    told: dict[str, Any] = json.loads(found)["teacher"]
    return told


def test_doctor_asks_as_a_run_asks_and_reads_the_answer(server: Server) -> None:
    assert "label" in doctor(code=0)["answer"]
    body = server.seen[-1][1]
    assert {"temperature", "top_p", "seed", "max_tokens", "response_format"} <= set(body)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (completion("What a nice question!"), "nice question"),
        (completion(None, finish_reason="length", reasoning_content="I think"), "cut off"),
        (completion(""), "names none of the classes"),
        ({"error": {"message": "no such model", "code": 404}}, "no such model"),
    ],
)
def test_doctor_sees_what_would_fail_in_a_run(server: Server, body: Any, told: str) -> None:
    server.answer(200, body)
    assert told in doctor(code=1)["error"]


def test_doctor_is_content_with_an_endpoint_that_a_run_gets_along_with(server: Server) -> None:
    server.answer(200, picky(reasoning, completion('```json\n{"label": "question"}\n```')))
    assert "question" in doctor(code=0)["answer"]
