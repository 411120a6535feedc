"""Reading a run writes nothing; where nothing more can be written, a sentence says so."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import RunError
from pgkd.runs.folder import RunFolder
from pgkd.usage.ledger import Ledger
from tests.apps.cli.test_commands import data as data
from tests.apps.cli.test_commands import finished as finished
from tests.apps.cli.test_commands import run
from tests.conftest import calls_of

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from pgkd.apps.cli import main
main()
"""


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file and folder was last changed: a folder tells of files that came and went."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "command",
    [
        ["show", "--prompts"], ["cost"], ["report", "--json"], ["report", "--out", "OUT/r.html"],
        ["dataset", "--out", "OUT/data"], ["export", "--out", "OUT/export"],
        ["predict", "a parcel"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_reading_writes_nothing(command: list[str], finished: Path, tmp_path: Path) -> None:
    before = stamps(finished)
    name, *rest = (part.replace("OUT", str(tmp_path)) for part in command)
    run(name, finished, *rest)
    assert stamps(finished) == before


def test_a_ledger_of_a_killed_run_is_read_where_nothing_can_be_written(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote last lies in a second file, which SQLite reads only if it may write a third."""
    path = tmp_path / "ledger.sqlite"
    shutil.copy(finished / "ledger.sqlite", path)
    with Ledger(path) as ledger:
        ledger._write("UPDATE calls SET provider = 'changed'")
        copies = tmp_path / "copies"
        copies.mkdir()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            shutil.copy(tmp_path / name, copies)
    connect = sqlite3.connect

    def refusing(where: str, **how: object) -> sqlite3.Connection:
        if str(copies) in where:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(where, **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", refusing)
    with Ledger.to_read(copies / "ledger.sqlite") as ledger:
        assert {call.provider for call in ledger.calls()} == {"changed"}
    assert sorted(path.name for path in copies.iterdir()) == [
        "ledger.sqlite", "ledger.sqlite-wal",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE calls", "contains no record of calls"),
        ("CREATE VIEW later AS SELECT 1", "views or triggers"),
        ("UPDATE calls SET request = '{}'", "row 1 is damaged: a request has no messages"),
        ('UPDATE calls SET request = \'{"a": ' + "[" * 5000 + "'", "row 1 is damaged"),
        ("UPDATE calls SET most_usd = 'many'", "row 1 is damaged"),
        ("UPDATE calls SET most_usd = '1E+999999'", "row 1 is damaged: an amount is not a number"),
        ('UPDATE calls SET reply = \'{"text": 1, "model": "m"}\'', "a reply has no text"),
    ],
)
def test_a_ledger_of_anybody_is_refused_in_a_sentence(
    finished: Path, tmp_path: Path, statement: str, why: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    shutil.copy(finished / "ledger.sqlite", path)
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(RunError, match=why), Ledger.to_read(path) as ledger:
        list(ledger.calls())
    with pytest.raises(RunError, match=why):
        run("cost", path)


@pytest.mark.parametrize("most", [0, 3_000, 30_000, 60_000])
def test_where_files_may_be_no_larger_it_says_so_and_goes_on_later(
    most: int, data: Path, finished: Path, tmp_path: Path
) -> None:
    """As on a full disk: one line, no traceback; what was paid for is kept and used again."""
    out = tmp_path / "run"
    command = [
        "distill", "--train", str(data / "train.csv"), "--teacher", "fake", "--student", "linear",
        "--exam", "0", "--rounds", "2", "--samples", "6", "--out", str(out), "--json",
    ]  # fmt: skip
    program = [sys.executable, "-c", LIMITED, str(most), *command]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pgkd: " in done.stderr.splitlines()[-1]
    paid = 0
    if (out / "ledger.sqlite").exists() and (out / "ledger.sqlite").stat().st_size:
        paid = sum(call.state == "replied" for call in calls_of(RunFolder(out)))
    assert json.loads(run(*command))["stopped_by"] == "rounds"
    [resumed] = list(RunFolder(out).events("run resumed")) or [{"replies": 0}]
    assert resumed["replies"] == paid
    best = "students/best/head.safetensors"
    assert (out / best).read_bytes() == (finished / best).read_bytes()


@pytest.mark.parametrize("command", ["predict", "label"])
def test_answers_that_find_no_room_are_told_with_their_file(
    command: str, data: Path, finished: Path, tmp_path: Path
) -> None:
    """As on a full disk, whose error names no file: closing the file must not hide what it told."""
    texts = tmp_path / "texts.jsonl"
    row = json.dumps({"text": "my card " * 9_000})
    texts.write_text(f"{row}\n" * 2, encoding="utf-8")
    out = tmp_path / "answers.jsonl"
    given = {
        "predict": ["predict", str(finished), "--data", str(texts)],
        "label": [
            "label", str(texts), "--teacher", "fake", "--examples", str(data / "train.csv"),
            "--shots", "0",
        ],
    }[command]  # fmt: skip
    program = [sys.executable, "-c", LIMITED, "100000", *given, "--out", str(out)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "answers.jsonl" in done.stderr.splitlines()[-1]
    assert not out.exists()


def test_the_report_of_a_run_that_cannot_be_written_to_says_where_to(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*where: object, **how: object) -> None:
        raise OSError(30, os.strerror(30), str(finished / "report.html"))

    monkeypatch.setattr("pgkd.apps.report.write_whole", read_only)
    with pytest.raises(RunError, match=r"report.html .*Read-only file system.*--out"):
        run("report", finished)
