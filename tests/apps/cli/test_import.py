"""`pgkd import`: logs as their documentation describes them, and what becomes of them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.errors import ConfigError, DataError
from pgkd.tasks.classification.data import imported as imported_data
from pgkd.tasks.classification.data.imported import (
    JudgedAnswers,
    Template,
    find_field,
    find_template,
)
from pgkd.tasks.classification.data.logs import LONGEST, LoggedCall, read_logs

if TYPE_CHECKING:
    from collections.abc import Iterable

LOGS = Path(__file__).parent / "logs"
CARDS = {
    "my card was stolen on the bus": "lost_card",
    "I cannot find my card anywhere": "lost_card",
    "somebody took my wallet with the card": "lost_card",
    "when does the card arrive": "card_arrival",
    "still waiting for the new card": "card_arrival",
    "the card has not come by mail": "card_arrival",
}
ASKED = "Which of lost_card and card_arrival fits the message below? Message: {text}"
TICKETS = {
    "billing": ("charged twice", "refund my payment", "the invoice is wrong", "price went up"),
    "vpn": ("vpn drops", "cannot connect to vpn", "the tunnel is slow", "no vpn at home"),
    "printer": ("printer on fire", "no toner left", "paper jam again", "prints blank pages"),
}


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def imported(tmp_path: Path, *arguments: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is told, and the labels of the texts."""
    out = tmp_path / "out.csv"
    told = run("import", *arguments, "--out", out, "--student", "none", "--json")
    with out.open(encoding="utf-8", newline="") as file:
        return json.loads(told), {row["text"]: row["label"] for row in csv.DictReader(file)}


def chat(text: str, answer: str, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": answer}
    return {"messages": [{"role": "user", "content": text}, said], **more}


def write(path: Path, records: Iterable[dict[str, Any] | str]) -> Path:
    lines = (each if isinstance(each, str) else json.dumps(each) for each in records)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def tickets(prompt: str = "{}", copies: int = 3) -> list[dict[str, Any]]:
    return [
        chat(prompt.format(f"{text} {i}"), label)
        for i in range(copies)
        for label, texts in TICKETS.items()
        for text in texts
    ]


@pytest.mark.parametrize(
    ("files", "asked", "row", "missing"),
    [
        (("openai_batch_input.jsonl", "openai_batch_output.jsonl"), ASKED, 6, 5),
        (("openai_fine_tuning.jsonl",), "{text}", 3, None),
        (("openai_responses.jsonl",), ASKED, 3, None),
        (("anthropic_batch_output.jsonl", "anthropic_batch_input.jsonl"), ASKED, 1, 1),
        (("langfuse_observations.jsonl",), ASKED, 5, None),
        (("langsmith_runs.jsonl",), ASKED, 2, None),
        (("answers.csv",), "{text}", 7, None),
    ],
)
def test_a_format_is_known_by_its_records_and_a_broken_row_is_told(
    tmp_path: Path, files: tuple[str, ...], asked: str, row: int, missing: int | None
) -> None:
    told, labels = imported(tmp_path, *(LOGS / name for name in files))
    texts = list(CARDS)
    expected = {t: label for i, (t, label) in enumerate(CARDS.items()) if i != missing}
    assert missing is None or texts[missing] not in labels  # its call failed
    assert labels == expected
    assert told["template"].startswith(asked)
    [problem] = told["unreadable"]
    assert f"row {row} " in problem
    assert re.search(r"\.(jsonl|csv), row", problem)


def test_what_is_left_out_is_written_with_its_row_and_reason(tmp_path: Path) -> None:
    files = LOGS / "openai_batch_input.jsonl", LOGS / "openai_batch_output.jsonl"
    imported(tmp_path, *files)
    with (tmp_path / "out.rejected.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["origin"] == "openai_batch_output.jsonl:1"
    assert row["reason"] == "the call failed: 429"


def test_arguments_of_a_tool_and_fields_of_json_hold_the_class(tmp_path: Path) -> None:
    def openai(text: str, label: str) -> dict[str, Any]:
        function = {"name": "sort", "arguments": json.dumps({"why": text, "intent": label})}
        message = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
        return {
            "request": {"messages": [{"role": "user", "content": text}]},
            "response": {"choices": [{"message": message}]},
        }

    def anthropic(text: str, label: str) -> dict[str, Any]:
        tool = {"type": "tool_use", "name": "sort", "input": {"why": "x", "intent": label}}
        return {
            "request": {"system": "Sort.", "messages": [{"role": "user", "content": text}]},
            "response": {"role": "assistant", "content": [{"type": "text", "text": "Hm"}, tool]},
        }

    for made in (openai, anthropic):
        log = write(tmp_path / "log.jsonl", (made(*card) for card in CARDS.items()))
        told, labels = imported(tmp_path, log)
        assert (told["answer_field"], labels) == ("intent", CARDS)
    fenced = [chat(t, f'```json\n{{"sure": "yes", "kind": "{c}"}}\n```') for t, c in CARDS.items()]
    log = write(tmp_path / "log.jsonl", fenced)
    assert imported(tmp_path, log)[0]["answer_field"] == "kind"
    with pytest.raises(DataError, match="not of two classes"):
        imported(tmp_path, log, "--answer-field", "sure")
    with pytest.raises(ConfigError, match="has a field 'other'"):
        imported(tmp_path, log, "--answer-field", "other")


def test_the_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "body", "says"), *((1, *c) for c in CARDS.items())])
    with pytest.raises(DataError, match="--text-field and --answer-field"):
        imported(tmp_path, path)
    assert imported(tmp_path, path, "--text-field", "body", "--answer-field", "says")[1] == CARDS
    inputs = ({"lang": "en", "mail": text.replace(" ", '\n"', 1)} for text in CARDS)
    runs = [
        {"inputs": i, "outputs": {"output": c}} for i, c in zip(inputs, CARDS.values(), strict=True)
    ]
    labels = imported(tmp_path, write(tmp_path / "log.jsonl", runs), "--text-field", "mail")[1]
    assert labels['when\n"does the card arrive'] == "card_arrival"


@pytest.mark.parametrize(
    ("prompt", "template"),
    [
        ("Sort this: {}", "Sort this: {text}"),
        ('Ticket: "{}"\nAnswer in one word.', 'Ticket: "{text}" Answer in one word.'),
        ("<ticket>{}</ticket>", "<ticket>{text}</ticket>"),
        ("please sort the ticket {} into one of three", None),
        ("My {}?", "{text}"),  # texts may begin and end alike
        ("{}", "{text}"),
    ],
)
def test_the_template_is_what_all_prompts_share(prompt: str, template: str | None) -> None:
    texts = [text for texts in TICKETS.values() for text in texts]
    found = find_template(prompt.format(text) for text in texts)
    assert str(found) == (template or prompt.format("{text}"))
    if found.before:
        assert [found.text(prompt.format(text)) for text in texts] == texts


def test_a_template_can_be_given_and_others_are_left_out(tmp_path: Path) -> None:
    dated = [
        chat(f"Day {i}. Sort  this:\n{t} {i}\nThanks {i}", c)
        for i in range(3)
        for t, c in CARDS.items()
    ]
    log = write(tmp_path / "log.jsonl", [*dated, chat("Write a poem", "Roses are red")])
    told, labels = imported(tmp_path, log, "--template", "Sort this: {text} Thanks")
    assert set(labels) == {f"{text} {i}" for i in range(3) for text in CARDS}
    assert told["rejected"] == {"the prompt does not follow the template": 1}
    with pytest.raises(ConfigError, match="needs {text} once"):
        Template.parse("Sort this")


def test_a_class_has_one_spelling_and_others_are_left_out(tmp_path: Path) -> None:
    said = ["Label: VPN.", "**vpn**", "vpn", "printer", '"Printer"', "printer", "I cannot say"]
    said += ["My label: vpn"]
    log = write(tmp_path / "log.jsonl", (chat(f"text {i}", a) for i, a in enumerate(said)))
    listed = write(tmp_path / "classes.txt", ["vpn", "printer"])
    told, labels = imported(tmp_path, log, "--classes", listed)
    assert list(labels.values()) == ["vpn"] * 3 + ["printer"] * 3
    assert told["rejected"] == {"no class of the list": 2}
    log = write(tmp_path / "log.jsonl", [*tickets(copies=5), chat("why", "I cannot say")])
    assert imported(tmp_path, log)[0]["rejected"] == {"answered only once": 1}
    log = write(tmp_path / "log.jsonl", (chat(f"t {i}", f"Dear {i}") for i in range(9)))
    with pytest.raises(DataError, match="The answers are no classes"):
        imported(tmp_path, log)


def test_names_that_differ_in_a_sign_stay_apart(tmp_path: Path) -> None:
    said = ["-1", "1", "C++", "C#", "C"] * 2
    log = write(tmp_path / "log.jsonl", (chat(f"text {i}", a) for i, a in enumerate(said)))
    assert set(imported(tmp_path, log)[1].values()) == set(said)


def test_a_text_is_kept_once_and_tells_how_the_llm_agrees_with_itself(tmp_path: Path) -> None:
    again = [chat("vpn drops 0", "vpn"), chat("VPN  drops 0", "billing")]
    again += [chat("paper jam again 0", "billing")]
    log = write(tmp_path / "log.jsonl", [*tickets(), *again])
    told, labels = imported(tmp_path, log)
    assert labels["vpn drops 0"] == "vpn"  # two of three
    assert "paper jam again 0" not in labels  # one of two
    assert told["repeated_texts"] == 2
    assert told["agrees_with_itself"] == pytest.approx((1 / 3 + 0) / 2, abs=1e-4)
    assert told["rejected"] == {"another answer to the same text": 3, "repeated text": 1}


def test_labelled_rows_judge_the_llm_and_its_student(tmp_path: Path) -> None:
    odd = [f"vpn drops, cannot connect to vpn at home {i}" for i in range(48)]
    wrong = [chat(text, "printer" if i < 12 else "vpn") for i, text in enumerate(odd)]
    log = write(tmp_path / "log.jsonl", [*tickets(copies=6), *wrong])
    out, right = tmp_path / "out.csv", tmp_path / "right.csv"
    right.write_text(f'text,label\n"{odd[0]}",vpn\n"{odd[20]}",vpn\nelsewhere,vpn\n')
    options = "--out", out, "--student", "linear", "--labelled", right
    told = json.loads(run("import", log, *options, "--json"))
    assert told["labelled_texts"] == 2
    assert (told["accuracy"], told["student_accuracy"]) == (0.5, 1.0)
    assert told["doubtful"]
    assert not told["doubtful_left_out"]  # a student is as good with them
    printed = run("import", log, *options)
    assert "the LLM is right: 0.500, on 2 labelled rows" in printed
    assert "answers are doubtful; a student agrees no better without them: kept" in printed


def test_doubtful_answers_are_left_out_where_that_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(rows: list[LoggedCall], kind: str, seed: int) -> JudgedAnswers:
        doubtful = np.array([row.text == "vpn drops 0" for row in rows])
        return JudgedAnswers([row.answer for row in rows], doubtful, 0.03, 0.01)

    monkeypatch.setattr(imported_data, "judge", judge)
    log, out = write(tmp_path / "log.jsonl", tickets()), tmp_path / "out.csv"
    told = json.loads(run("import", log, "--out", out, "--json"))
    assert told["rejected"] == {"doubtful by confident learning": 1}
    assert "vpn drops 0" not in out.read_text()
    assert not JudgedAnswers([], np.zeros(0, dtype=bool), 0.0, 0.0).pays


@pytest.mark.parametrize(
    "record",
    [
        {"messages": []},
        {"messages": [1, None, []]},
        {"messages": {"role": "user"}},
        {"messages": "[" * 900},
        {"input": {"messages": [[]]}, "output": {"choices": []}},
        {"custom_id": ["a"], "response": {"body": {"choices": [{"message": None}]}}},
        {"custom_id": "a", "params": 3},
        {"request": {"content": {"content": {"content": {}}}}, "response": {"tool_calls": [1]}},
        {"inputs": json.loads("[" * 60 + "]" * 60), "outputs": {"generations": [[{}]]}},
        {"prompt": "x", "completion": True, "usage": {"input_tokens": "many"}},
        {"prompt": "\ud800", "completion": "y"},
        {"prompt": "x" * (LONGEST + 1), "completion": "y"},
        {"data": [1, {"runs": 2}]},
        {"input": "x", "output": json.loads('{"a":' * 700 + "1" + "}" * 700)},
        {},
    ],
)
def test_a_strange_record_harms_no_other(tmp_path: Path, record: dict[str, Any]) -> None:
    log = write(tmp_path / "log.jsonl", [*tickets(), record, '{"messages"', "7"])
    assert len(read_logs([log]).calls) >= 36
    assert len(imported(tmp_path, log)[1]) in (36, 37)


def test_a_field_of_json_is_chosen_by_name_or_by_its_values() -> None:
    said = [json.dumps({"id": i, "topic": i % 3, "sure": i % 2}) for i in range(12)]
    assert find_field(said) == "topic"
    said = [json.dumps({"id": i, "out": {"x": i % 3}, "sure": i % 2}) for i in range(12)]
    assert find_field(said) == "out.x"
    assert find_field(["plain", "words"]) is None


def test_a_log_becomes_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("log.jsonl"), tickets("Sort this ticket of the -help- desk:\n{}", copies=4))
    printed = run("import", "log.jsonl", "--out", "imported.csv", "--student", "linear")
    assert printed.rstrip().endswith("Next: pgkd init imported.csv")
    run("init", "imported.csv")
    told = run(
        "distill", "--teacher", "fake", "--student", "linear", "--exam", 0, "--rounds", 1,
        "--samples", 4, "--out", "run", "--json",
    )  # fmt: skip
    assert json.loads(told)["stopped_by"] == "rounds"
    assert "printer" in run("predict", "run", "printer on fire")


def test_a_log_is_not_overwritten(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", tickets())
    with pytest.raises(ConfigError, match="is one of the logs"):
        run("import", log, "--out", log)


def test_texts_that_a_spreadsheet_would_run_come_back_as_they_were(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [*tickets(), chat("=vpn(1)", "vpn")])
    labels = imported(tmp_path, log)[1]
    assert "'=vpn(1)" in labels
    texts = [call.text for call in read_logs([tmp_path / "out.csv"]).calls]
    assert "=vpn(1)" in texts
