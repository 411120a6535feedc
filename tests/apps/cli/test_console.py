"""The door: whatever is printed, nothing of it drives a terminal."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from pgkd.apps.cli import main
from pgkd.apps.cli.console import console, print_error, print_json, print_rows
from pgkd.text import printable
from tests.apps.cli.test_commands import data as data
from tests.apps.cli.test_commands import finished as finished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = "red \x1b[31m title \x1b]0;x\x07 csi \x9b2J turned \u202e back \r over \u2028 end \ud800"
FORBIDDEN = "\x1b\x07\x9b\u202e\r\u2028\ud800"


def clean(told: str) -> bool:
    return bool(told) and not set(told) & set(FORBIDDEN)


@pytest.mark.parametrize(
    "tell",
    [
        lambda: console().print(HOSTILE),
        lambda: console().print("a ", Text(HOSTILE), sep=""),
        lambda: console().rule(HOSTILE),
        lambda: print_rows(HOSTILE, (HOSTILE, "b"), [(HOSTILE, "1")]),
        lambda: print_json({HOSTILE: HOSTILE}),
    ],
    ids=["text", "Text", "rule", "table", "JSON"],
)
def test_what_is_printed_is_clean(
    tell: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    tell()
    assert clean(capsys.readouterr().out)


def test_json_means_what_it_meant(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE})
    assert json.loads(capsys.readouterr().out) == {"text": HOSTILE}


def test_lines_and_tabs_of_a_message_stay(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(f"two\n\tlines {HOSTILE}")
    told = capsys.readouterr().err
    assert told.startswith("pgkd: two\n\tlines red ")
    assert clean(told)
    assert printable("naïve ☃ 日本語\n\t") == "naïve ☃ 日本語\n\t"


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("config.yaml", ["show"]), ("students/best/student.json", ["predict", "a"]),
        ("rejected.jsonl", ["show"]), ("journal.jsonl", ["report", "--json"]),
        ("task.json", ["export"]),
    ],
)  # fmt: skip
def test_errors_and_answers_about_a_hostile_run_are_clean(
    file: str,
    command: list[str],
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    hostile = json.dumps(HOSTILE)
    content = {
        "config.yaml": f"teacher: {hostile}\n",
        "students/best/student.json": f'{{"format": 1, "kind": {hostile}}}',
        "rejected.jsonl": f'{{"request": "r1-1", "reason": {hostile}, "detail": {hostile}}}\n',
        "journal.jsonl": f'{{"event": "run ended", "best": {hostile}}}\n',
        "task.json": (run / "task.json").read_text().replace('"billing"', hostile, 1),
    }[file]
    (run / file).write_text(content, encoding="utf-8", errors="replace")
    name, *rest = command
    monkeypatch.setattr("sys.argv", ["pgkd", name, str(run), *rest])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    assert clean(told.out + told.err)
    assert "Traceback" not in told.err
