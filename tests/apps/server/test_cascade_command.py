"""`pgkd cascade`, as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import pgkd
from pgkd.errors import ConfigError, DataError
from pgkd.usage.ledger import Ledger
from tests.apps.cli.test_commands import run, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "test.csv", 5, start=300)


def told(*arguments: Any) -> Any:
    return json.loads(run("cascade", *arguments, "--json"))


def test_the_teacher_is_asked_once_and_the_curve_tells(
    run_folder: Path, data: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "calls.sqlite"
    options = (run_folder, "--data", data, "--ledger", ledger)
    found = told(*options)
    assert found["rows"] == 20
    first, last = found["curve"][0], found["curve"][-1]
    student = pgkd.load(run_folder / "export" / "onnx-int8")
    with data.open(encoding="utf-8") as file:
        rows = [line.strip().rsplit(",", 1) for line in file][1:]
    answers = student.predict([text.strip('"') for text, _ in rows])
    alone = sum(a == label for a, (_, label) in zip(answers, rows, strict=True)) / 20
    assert (first["sent"], first["accuracy"], first["usd_per_1000"]) == (0, alone, 0)
    assert last["sent"] == 1
    assert last["accuracy"] == found["teacher"]["accuracy"]
    with Ledger(ledger) as usage:
        assert len(list(usage.calls())) == 20
    assert told(*options) == found
    with Ledger(ledger) as usage:
        assert len(list(usage.calls())) == 20
    printed = run("cascade", *options)
    assert "to the teacher" in printed
    assert "The teacher alone" in printed


def test_answers_of_pgkd_label_and_a_price_will_do(
    run_folder: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.csv"
    run("label", data, "--out", out, "--examples", data, "--shots", 0, "--teacher", "fake")
    found = told(run_folder, "--data", data, "--answers", out, "--usd-per-call", 0.01)
    assert found["curve"][-1]["usd_per_1000"] == pytest.approx(10)
    assert told(run_folder, "--data", data, "--answers", out)["curve"][-1]["usd_per_1000"] == 0
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="has 19 rows"):
        told(run_folder, "--data", data, "--answers", out)
    out.write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    with pytest.raises(DataError, match="row 1, has another text"):
        told(run_folder, "--data", data, "--answers", out)


def test_rows_of_the_run_judge_no_cascade(run_folder: Path, data: Path, tmp_path: Path) -> None:
    own = write(tmp_path / "own.csv", 20)
    mixed = tmp_path / "mixed.csv"
    rows = data.read_text(encoding="utf-8"), own.read_text(encoding="utf-8")
    mixed.write_text(rows[0] + rows[1].partition("\n")[2], encoding="utf-8")
    answers = tmp_path / "answers.csv"
    run("label", mixed, "--out", answers, "--examples", data, "--shots", 0, "--teacher", "fake")
    for path in (run_folder, run_folder / "export" / "onnx-int8"):
        found = told(path, "--data", mixed, "--answers", answers)
        assert found["rows"] == 20
        assert found["left_out"] == {"training rows": 80}
    ledger = tmp_path / "calls.sqlite"
    told(run_folder, "--data", mixed, "--ledger", ledger)
    with Ledger(ledger) as usage:
        assert len(list(usage.calls())) == 20  # nobody pays for the others
    printed = run("cascade", run_folder, "--data", mixed, "--answers", answers)
    assert "80 rows of the file are the run's own and are left out" in printed
    with pytest.raises(DataError, match=r"80 of 80 rows .* are the run's own .* none is left"):
        run("cascade", run_folder, "--data", own, "--ledger", ledger)


def test_a_bare_export_needs_a_teacher_and_a_place(export_folder: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="give --config"):
        run("cascade", export_folder, "--data", data)
