"""What counts as the data of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.errors import ConfigError, ExportError, RunError
from pgkd.integrations.datasets import final_data, write_dataset
from pgkd.teachers.fake import FakeTeacher
from tests.apps.cli.test_commands import run as pgkd
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.config import Config
    from pgkd.integrations.datasets import FinalData
    from pgkd.runs.folder import RunFolder


def by_id(data: FinalData) -> dict[str, Any]:
    found = {row.id: row for row in data.train}
    assert len(found) == len(data.train)
    return found


def test_rows_and_kept_texts_with_where_they_come_from(run: RunFolder) -> None:
    data, task, kept = final_data(run), run.dataset(), run.synthetic()
    rows = by_id(data)
    assert list(rows) == [example.id for example in (*task.train, *kept)]
    assert [row.id for row in data.validation] == [example.id for example in task.validation]
    record = run.read_json("result.json")["rounds"][-1]
    asks = {ask["id"]: ask for line in run.events("round started") for ask in line["prompts"]}
    for text in kept:
        row = rows[text.id]
        assert text.origin is not None
        assert (row.source, row.round) == ("synthetic", text.origin.round)
        assert row.weight == record["synthetic_weight"]
        assert row.parents == text.origin.parents
        assert list(row.why) == asks[text.origin.request]["reasons"] != []
    for example in task.train:
        row = rows[example.id]
        assert (row.source, row.round, row.weight, row.why) == ("row", None, 1.0, ())


def test_texts_after_the_best_round_are_left_out_unless_wanted(run: RunFolder) -> None:
    result = run.read_json("result.json")
    run.write_json("result.json", {**result, "best": 1})
    kept = run.synthetic()
    later = [text.id for text in kept if text.origin and text.origin.round > 1]
    assert later
    data = final_data(run)
    assert data.left_out == len(later)
    assert by_id(data).keys().isdisjoint(later)
    assert set(later) <= by_id(final_data(run, all_rounds=True)).keys()


def test_a_run_whose_teacher_did_not_help_ends_with_its_rows(run: RunFolder) -> None:
    run.write_json("result.json", {**run.read_json("result.json"), "best": 0})
    data = final_data(run)
    assert {row.source for row in data.train} == {"row"}
    assert data.left_out == len(run.synthetic())


def test_what_people_decided_counts(reviewed: RunFolder) -> None:
    first, second, third, fourth, *_ = reviewed.synthetic()
    data = final_data(reviewed)
    rows = by_id(data)
    assert first.id not in rows
    assert rows[second.id].label != second.label
    assert (rows[second.id].decision, rows[second.id].weight) == ("relabel", 1.0)
    assert rows[third.id].text.startswith("=HYPERLINK")
    assert rows[fourth.id].decision is None
    assert data.decisions == {"reject": 1, "relabel": 1, "edit": 1}


def test_doubted_rows_are_marked(run: RunFolder) -> None:
    row = run.dataset().train[3]
    run.append(
        "label_issues.jsonl",
        [{"id": row.id, "label": row.label, "by": "teacher", "text": row.text}],
    )
    assert by_id(final_data(run))[row.id].doubted
    assert not by_id(final_data(run))[run.dataset().train[4].id].doubted


def test_labels_of_a_pool_are_told_apart(config: Config) -> None:
    pool = [
        f"{word} nothing number {i} tomorrow" for i, word in enumerate(("hm", "oh", "ah", "eh"))
    ]
    settings = {"share": 1.0, "weight": 0.5}
    distiller = Distiller(config, teacher=FakeTeacher(), pool=settings, rounds=1)
    run = distiller.fit(*make_rows(10), unlabelled=pool).run_
    run.write_json("result.json", {**run.read_json("result.json"), "best": 1})
    labelled = [row for row in final_data(run).train if row.source == "labelled"]
    assert {row.text for row in labelled} <= set(pool)
    assert labelled
    assert {row.weight for row in labelled} == {0.5}


def test_a_run_that_has_not_ended_has_no_final_data(run: RunFolder) -> None:
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match="has not ended"):
        final_data(run)


def test_only_a_folder_of_its_own_is_synthetic_over(run: RunFolder, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="choose another folder"):
        write_dataset(run, mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    out = tmp_path / "out"
    write_dataset(run, out)
    (out / ".git").mkdir()
    write_dataset(run, out)
    assert (out / ".git").is_dir()
    with pytest.raises(ExportError, match="no data set of this format"):
        write_dataset(run, out, "argilla")
    with pytest.raises(ConfigError, match="Unknown format .*hf, argilla"):
        write_dataset(run, tmp_path / "csv", "csv")


def test_the_command_tells_what_it_wrote(reviewed: RunFolder, tmp_path: Path) -> None:
    told = json.loads(pgkd("dataset", reviewed.path, "--out", tmp_path / "one", "--json"))
    data = final_data(reviewed)
    assert told["train"] == len(data.train) == sum(told["by_source"].values())
    assert told["decisions"] == {"reject": 1, "relabel": 1, "edit": 1}
    printed = pgkd("dataset", reviewed.path, "--out", tmp_path / "two", "--format", "argilla")
    assert f"{len(data.train)} training texts" in printed
