"""A whole benchmark on a tiny data set: every arm, both steps, cut off and taken up again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pgkd.apps.bench.harness import Bench
from pgkd.apps.bench.plan import ARMS, CellFolder
from pgkd.apps.bench.teachers import OracleTeacher
from pgkd.apps.cli import app
from pgkd.errors import ConfigError, DataError, RunError
from pgkd.runs.folder import RunFolder
from pgkd.teachers.fake import FakeTeacher
from tests.apps.bench.conftest import SETTINGS, TEACHERS, write_rows, write_test_file
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pgkd.teachers.base import Reply, Request


ARMS_THAT_WRITE = [arm.name for arm in ARMS.values() if arm.asks != "nobody" and not arm.labels]


def kept(bench: Bench, arm: str) -> list[dict[str, Any]]:
    cell = next(c for c in bench.cells if c.arm.name == arm)
    return list(RunFolder.open(bench.folder(cell).run).read_lines("examples.jsonl"))


def group(results: dict[str, Any], arm: str) -> dict[str, Any]:
    [found] = [g for g in results["groups"] if g["arm"] == arm]
    return dict(found)


def test_every_arm_runs_from_end_to_end(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    teachers = {**TEACHERS, "full": {"provider": "labeller"}}
    bench = Bench(grid(*ARMS, use=["oracle", "full"], teachers=teachers), data, tmp_path / "out")
    results = bench.run()
    assert {g["arm"] for g in results["groups"]} == set(ARMS)
    assert results["cells_missing"] == 0
    for found in results["groups"]:
        assert 0 <= found["all"]["macro_f1"]["mean"] <= 1
        assert found["arm"] == "alone" or found["changes"]["alone"]["all"]["accuracy"]
    classes = {arm: Counter(text["label"] for text in kept(bench, arm)) for arm in ARMS_THAT_WRITE}
    assert classes["targeted"].total() == classes["even"].total() == 12
    assert set(classes["even"].values()) == {3}
    assert classes["pool-guided"].total() == classes["pool-random"].total() == 12
    ids = [{text["id"] for text in kept(bench, arm)} for arm in ("pool-guided", "pool-random")]
    assert ids[0] != ids[1]
    assert all(id_.startswith("train:") for id_ in ids[0] | ids[1])  # rows that the run has not
    written = bench.write(results, tmp_path / "results" / "tiny")
    assert [path.suffix for path in written] == [".json", ".md", ".png"]
    assert all(path.stat().st_size > 0 for path in written)
    everything = "".join(path.read_text() for path in written[:2])
    assert not any(text in everything for text in (*make_rows(25)[0], *make_rows(8, start=60)[0]))


def test_no_test_file_is_opened_before_the_last_step_and_no_cell_judged_twice(
    data: Path, grid: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = grid("alone", "targeted")
    with pytest.raises(DataError, match=r"test\.csv\.gz"):
        Bench(path, data, tmp_path / "out").run()
    states = Bench(path, data, tmp_path / "out").outlook().states
    assert set(states.values()) == {"distilled"}  # without any test file
    write_test_file(data)
    results = Bench(path, data, tmp_path / "out").run()
    (data / "tiny" / "test.csv.gz").unlink()
    assert Bench(path, data, tmp_path / "out").run()["groups"] == results["groups"]


@pytest.mark.parametrize("teacher", ["oracle", "fake"])
def test_a_benchmark_that_is_killed_ends_as_if_it_had_not_been(
    data: Path,
    grid: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    teacher: str,
) -> None:
    write_test_file(data)
    path = grid("targeted", use=[teacher])
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path / "another"))
    whole = Bench(path, data, tmp_path / "whole")
    expected = whole.run()
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path / "cache"))
    kind = OracleTeacher if teacher == "oracle" else FakeTeacher
    answer, calls = kind.complete, [0]

    def killed(self: Any, request: Request) -> Reply:
        calls[0] += 1
        if calls[0] in (2, 4):
            raise SystemExit("killed")
        return answer(self, request)

    monkeypatch.setattr(kind, "complete", killed)
    for _ in range(2):
        with pytest.raises(SystemExit):
            Bench(path, data, tmp_path / "out").run()
    bench = Bench(path, data, tmp_path / "out")
    results = bench.run()
    assert kept(bench, "targeted") == kept(whole, "targeted")
    assert [g["all"] for g in results["groups"]] == [g["all"] for g in expected["groups"]]


def test_an_arm_that_asks_the_same_pays_nothing_and_its_ledger_shows_what_it_costs(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    path = grid("targeted", "no-early-stopping", use=["fake"])
    bench = Bench(path, data, tmp_path / "out")
    results = bench.run()
    first, second = (group(results, arm)["cost"] for arm in ("targeted", "no-early-stopping"))
    assert first == second
    asked, found = bench.calls
    assert asked == found == first["calls"] > 0
    again = Bench(path, data, tmp_path / "elsewhere")
    again.run()
    assert again.calls == (0, asked + found)


def test_a_budget_binds_every_arm_alike_whoever_has_paid_before(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    settings = {**SETTINGS, "budget": {"calls": 3}}
    path = grid("targeted", "no-early-stopping", "even", use=["fake"], settings=settings)
    bench = Bench(path, data, tmp_path / "out")
    bench.run()
    for cell in bench.cells:
        run = RunFolder.open(bench.folder(cell).run)
        assert len(calls_of(run)) == 3, cell.name
        assert run.read_json("result.json")["stopped_by"] == "budget"


def test_test_rows_that_a_text_is_near_to_are_left_out_of_the_clean_figures(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    """The oracle's rows are training rows; here two of them stand in the test file too."""
    path = grid("alone", "targeted")
    with pytest.raises(DataError):
        Bench(path, data, tmp_path / "out").run()
    recited = kept(Bench(path, data, tmp_path / "out"), "targeted")[:2]
    texts, labels = make_rows(4, start=60)
    texts += [recited[0]["text"].upper() + "!", recited[1]["text"]]
    labels += [recited[0]["label"], "product" if recited[1]["label"] != "product" else "billing"]
    write_rows(data / "tiny" / "test.csv.gz", texts, labels)
    results = Bench(path, data, tmp_path / "out").run()
    targeted, alone = group(results, "targeted"), group(results, "alone")
    assert (targeted["rows_near_a_text"], alone["rows_near_a_text"]) == (2, 0)
    [cell] = [c for c in results["cells"] if c["arm"] == "targeted"]
    right = cell["test"]["all"]["accuracy"] * 18
    clean = cell["test"]["without_near"]["accuracy"] * 16
    assert right - clean == pytest.approx(1, abs=1e-3)  # the one that has the right label
    arrays = CellFolder(tmp_path / "out" / "cells" / "tiny-30-s0-alone").predictions()
    alone_right = (arrays["gold"] == arrays["predicted"])[:16].mean()
    assert targeted["changes"]["alone"]["without_near"]["accuracy"]["difference"] == pytest.approx(
        targeted["without_near"]["accuracy"]["mean"] - alone_right, abs=1e-6
    )


def test_a_cell_never_mixes_with_other_settings(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    Bench(grid("alone"), data, tmp_path / "out").run()
    other = grid("alone", settings={**SETTINGS, "patience": 3})
    with pytest.raises(RunError, match="patience: 2 then, 3 now"):
        Bench(other, data, tmp_path / "out").run()


def test_a_teacher_alone_is_asked_for_the_same_rows_in_every_cell_and_once(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    path = grid("alone", "zero-shot", "few-shot", seeds=(0, 1), use=["fake"])
    bench = Bench(path, data, tmp_path / "out")
    results = bench.run()
    assert bench.calls == (30, 10)  # zero-shot once for both seeds, few-shot once each
    zero = group(results, "zero-shot")
    assert zero["all"]["accuracy"]["sd"] == 0
    assert zero["cost"]["calls"] == 10
    assert zero["changes"]["alone"]["all"]["accuracy"]["sd"] is not None


def test_the_command_shows_what_is_to_come_and_runs_a_part(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    path = grid("alone", "targeted")
    out = tmp_path / "out"
    given = ["bench", str(path), "--data", str(data), "--out", str(out)]
    shown = CliRunner().invoke(app, [*given, "--dry-run", "--json"])
    outlook = json.loads(shown.stdout)
    assert (outlook["states"], outlook["texts"], outlook["seconds"]) == ({"open": 2}, 12, None)
    assert not out.exists()
    part = ["--only", "arm=alone", "--only", "data=tiny"]
    ran = CliRunner().invoke(app, [*given, *part], env={"DATA": "unused"})
    assert ran.exit_code == 0, ran.output
    assert "[1/1] tiny-30-s0-alone: 0 texts" in ran.output
    results = json.loads((out / "results.json").read_text())
    assert results["cells_missing"] == 1
    assert "1 cells of the grid have not been run" in (out / "results.md").read_text()
    plain = CliRunner().invoke(app, [*given, "--dry-run"]).stdout
    assert "2 cells: 1 tested, 1 open." in plain


def test_a_part_of_one_data_set_keeps_the_results_of_the_others(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    shutil.copytree(data / "tiny", data / "small")
    block = {"data": ["tiny", "small"], "rows": [30], "seeds": [0], "teachers": ["oracle"]}
    path, out = grid(grid=[{**block, "arms": ["alone", "label-names"]}]), tmp_path / "out"
    Bench(path, data, out, only="arm=alone").run()
    found = Bench(path, data, out, only="data=small,arm=label-names").run()
    assert [(group["data"], group["arm"]) for group in found["groups"]] == [
        ("tiny", "alone"), ("small", "alone"), ("small", "label-names"),
    ]  # fmt: skip
    shutil.rmtree(data / "tiny")  # what is not here cannot be told of
    here = Bench(path, data, out, only="data=small").run()
    assert {group["data"] for group in here["groups"]} == {"small"}


def test_a_data_set_that_is_not_there_is_told_first(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="give the folder of the data sets"):
        Bench(grid("alone"), tmp_path, tmp_path / "out")
    broken = tmp_path / "broken.yaml"
    broken.write_text("grid: []\nsets: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="sets"):
        Bench(broken, data, tmp_path / "out")
