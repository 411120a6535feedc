"""The run folder: appended lines last, whole files replace whole files, best is a copy."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import RunError
from pgkd.runs.folder import RunFolder, without_times
from pgkd.tasks.classification.students import make_student
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.tasks.classification.students.base import Student


def fitted(start: int) -> Student:
    texts, labels = make_rows(4, start=start)
    return make_student("linear", sorted(set(labels)), seed=0).fit(texts, labels)


def test_a_run_never_mixes_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.txt").write_text("irreplaceable")
    with pytest.raises(RunError, match="no run folder"):
        RunFolder.create(tmp_path / "run")


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    again = RunFolder.create(tmp_path / "run")
    with run.locked(), pytest.raises(RunError, match="Another process"), again.locked():
        pass
    with again.locked():
        pass


def test_any_folder_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_lines_are_synced_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    path = tmp_path / "run" / "journal.jsonl"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    RunFolder.create(tmp_path / "run").append("journal.jsonl", [{"a": "ü"}])
    assert [json.loads(content) for content in synced] == [{"a": "ü"}]


def test_a_lone_surrogate_of_a_reply_does_not_lose_the_line(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.append("journal.jsonl", [{"event": "broken \ud800 emoji"}])
    assert len(list(run.read_lines("journal.jsonl"))) == 1


def test_best_is_a_copy_that_later_rounds_do_not_change(tmp_path: Path) -> None:
    """The trap: a 'best model' that is a reference to the one still in training."""
    run = RunFolder.create(tmp_path / "run")
    texts, _ = make_rows(3, start=20)
    first, second = fitted(0), fitted(50)
    run.save_student(first, 0, best=True)
    run.save_student(second, 1, best=False)
    best, last = run.student("best"), run.student("last")
    assert (best.predict_proba(texts) == first.predict_proba(texts)).all()
    assert (last.predict_proba(texts) == second.predict_proba(texts)).all()
    assert (best.predict_proba(texts) != last.predict_proba(texts)).any()


def test_best_shares_no_byte_that_was_trained(tmp_path: Path) -> None:
    """Even somebody who writes into the files of the last student leaves the best one alone."""
    run = RunFolder.create(tmp_path / "run")
    run.save_student(fitted(0), 0, best=True)
    for name in ("head.safetensors", "student.json"):
        (run.path / "students/last" / name).write_bytes(b"overwritten")
        assert (run.path / "students/best" / name).read_bytes() != b"overwritten"


def test_pretrained_weights_are_not_kept_twice(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    (pretrained := tmp_path / "model.safetensors").write_bytes(b"90 MB")
    student = fitted(0)

    class WithEncoder:
        answers = student.answers

        def save(self, folder: Path) -> None:
            student.save(folder)
            (folder / "model.safetensors").hardlink_to(pretrained)

    run.save_student(WithEncoder(), 0, best=True)
    assert (run.path / "students/best/model.safetensors").samefile(pretrained)


def test_an_absent_student_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no student 'best'"):
        RunFolder.create(tmp_path / "run").student()
    with pytest.raises(RunError, match=r"no student '\.\./x'. There are: first, best, last"):
        RunFolder.create(tmp_path / "run").student("../x")


def test_without_times_goes_to_any_depth() -> None:
    record = {"time": 1, "a": [{"seconds": 2, "b": 3}]}
    assert without_times(record) == {"a": [{"b": 3}]}


def test_a_line_that_a_crash_cut_off_is_left_out_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    (run.path / "journal.jsonl").write_text('{"event": "a"}\n{"b"', encoding="utf-8")
    assert list(run.read_lines("journal.jsonl")) == [{"event": "a"}]
    (run.path / "journal.jsonl").write_text('{"event": "a"}\n{"b"\n{}\n', encoding="utf-8")
    with pytest.raises(RunError, match="line 2"):
        list(run.read_lines("journal.jsonl"))


def test_the_students_to_compare_are_those_that_differ(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    assert run.compared() == {"before": "first", "after": "best"}
    figures = {"n": 8, "accuracy": 1.0, "macro_f1": 1.0, "log_loss": 0.0}
    counts = {"asked": 0, "accepted": 0, "synthetic": 0, "keep": True, "validation": figures}
    ended = {"stopped_by": "rounds", "rounds": [{"round": i, **counts} for i in range(2)]}
    run.write_json("result.json", {"best": 1, **ended})
    assert "last" not in run.compared()
    run.write_json("result.json", {"best": 0, **ended})
    assert run.compared()["last"] == "last"
