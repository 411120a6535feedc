"""`pgkd report`, what `pgkd evaluate` keeps for it, and a report at the end of a run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import MissingExtraError, PgkdError
from tests.apps.cli.test_commands import run, write
from tests.apps.report.conftest import distilled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one round, judged on rows that it has not seen."""
    folder = tmp_path_factory.mktemp("reported")
    path = distilled(folder / "run", rounds=1, samples=4).path
    test = write(folder / "unseen.csv", 6, start=40)
    run("evaluate", path, "--data", test, "--teacher-rows", 5)
    return path


def test_it_lies_in_the_run_folder_or_where_it_is_wanted(finished: Path, tmp_path: Path) -> None:
    assert str(finished / "report.html") in run("report", finished)
    run("report", finished, "--out", tmp_path / "mine.html")
    pages = [(finished / "report.html").read_bytes(), (tmp_path / "mine.html").read_bytes()]
    assert pages[0] == pages[1]
    assert b'24 test rows of <bdi dir="auto">unseen.csv</bdi>' in pages[0]
    assert b"teacher alone, on 5 of these rows" in pages[0]
    assert str(finished.parent).encode() not in pages[0]


def test_evaluate_keeps_its_last_result_without_the_rows(finished: Path) -> None:
    kept = json.loads((finished / "evaluation.json").read_text(encoding="utf-8"))
    assert (kept["rows"], kept["teacher"]["n"]) == (24, 5)
    assert kept["timing"]["n"] == 24
    assert kept["timing"]["median"] > 0
    assert kept["time"].startswith("20")
    assert "case " not in json.dumps(kept)


def test_a_program_gets_what_the_report_shows(finished: Path) -> None:
    (finished / "report.html").unlink(missing_ok=True)
    told = json.loads(run("report", finished, "--json"))
    assert [basis["rows"] for basis in told["bases"]] == ["test", "validation"]
    assert told["speed"]["student"]["n"] == 24
    assert told["verdict"]["sentence"]
    assert not (finished / "report.html").exists()


def test_it_opens_in_the_browser(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run("report", finished, "--open")
    assert opened == [(finished / "report.html").resolve().as_uri()]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PgkdError, match="not a run folder"):
        run("report", tmp_path)


def test_distill_writes_it_at_the_end(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", 10)
    run("distill", "--train", train, "--teacher", "fake", "--student", "linear", "--rounds", 1,
        "--samples", 4, "--out", tmp_path / "run", "--report")  # fmt: skip
    assert "<h1>" in (tmp_path / "run/report.html").read_text(encoding="utf-8")


def test_distill_misses_the_extra_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = write(tmp_path / "train.csv", 10)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pgkd\[report\]"):
        run("distill", "--train", train, "--teacher", "fake", "--out", tmp_path / "run", "--report")
    assert not (tmp_path / "run").exists()
