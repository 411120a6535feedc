"""What a report says of a run: the true figures, and nothing that nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd import FakeTeacher
from pgkd.apps.report import gather, write_report
from pgkd.apps.report.content import EvaluationSet, Snippet
from pgkd.apps.report.gather import read_records, spread
from pgkd.apps.report.map import make_map
from pgkd.apps.report.students import compare_cells, compare_confusions, make_verdict
from pgkd.errors import RunError
from pgkd.teachers.base import Reply, Request
from pgkd.usage.ledger import Ledger
from tests.apps.report.conftest import IMAGE, classes, distilled
from tests.conftest import calls_of

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder


class BilledTeacher(FakeTeacher):
    """Somebody bills for it, at a price that no list knows."""

    name = "billed"
    biller = "https://nobody.invalid"


def evaluated(run: RunFolder, *, change: float = 0.1, **more: Any) -> None:
    """Keep an evaluation, as `pgkd evaluate` does."""
    noted = [line["validation"] for line in read_records(run).rounds]
    better = {"difference": change, "interval": [change - 0.05, change + 0.05]}
    run.write_json(
        "evaluation.json",
        {
            "data": "C:\\secret\\place\\test.csv",
            "rows": 240,
            "time": "2026-01-02T03:04:05.678+00:00",
            "students": {"before": noted[0], "after": noted[-1]},
            "after_minus_before": {"accuracy": better, "macro_f1": better},
            **more,
        },
    )


def test_validation_figures_are_those_of_the_journal_with_intervals(run: RunFolder) -> None:
    content = gather(run)
    (basis,) = content.bases
    noted = {line["round"]: line["validation"] for line in read_records(run).rounds}
    after = basis.students["after"]
    assert content.about.best is not None
    for name in ("accuracy", "macro_f1", "log_loss", "cells", "confused"):
        assert after[name] == noted[content.about.best][name]
    low, high = after["intervals"]["accuracy"]
    assert low <= after["accuracy"] <= high
    assert sum(each["n"] for each in after["reliability"]) == basis.n == 8
    assert basis.missing == ""


def test_test_figures_come_first_and_tell_no_path(run: RunFolder) -> None:
    evaluated(run)
    content = gather(run)
    assert [basis.rows for basis in content.bases] == ["test", "validation"]
    assert content.bases[0].source == "test.csv"
    assert "240 test rows" in content.verdict.sentence


def test_the_report_does_not_call_rows_unseen_that_nobody_looked_at(run: RunFolder) -> None:
    evaluated(run)
    verdict = gather(run).verdict
    assert "seen" not in verdict.sentence
    assert any("did not check" in line for line in verdict.more)
    evaluated(run, left_out={"training rows": 7})
    more = gather(run).verdict.more
    assert "7 other rows of test.csv belong to the run and were excluded." in more
    assert not any("did not check" in line for line in more)


@pytest.mark.parametrize(
    ("change", "tone", "words"),
    [(0.1, "better", "got better"), (-0.1, "worse", "got worse"), (0.0, "unclear", "inconclusive")],
)
def test_the_verdict_goes_by_intervals(
    run: RunFolder, change: float, tone: str, words: str
) -> None:
    evaluated(run, change=change)
    records = replace(read_records(run), best=2)
    content = gather(run)
    verdict = make_verdict(records, content.bases, content.money, content.texts)
    assert (verdict.tone, words in verdict.sentence) == (tone, True)


def test_a_run_without_validation_rows_is_cross_validated_and_its_teacher_examined(
    tmp_path: Path,
) -> None:
    run = distilled(tmp_path / "few", data={"validation_fraction": "auto"}, exam=16, rounds=1)
    content, records = gather(run), read_records(run)
    (basis,) = content.bases
    assert (basis.rows, basis.changes) == ("cross-validation", {})
    assert basis.students["before"] == records.rounds[0]["validation"]
    assert "cross-validated labelled rows" in content.verdict.sentence
    told = run.read_json("result.json")["teacher"]
    right, asked = told["rows"]["right"], told["rows"]["asked"]
    assert content.exam[0][1].startswith(f"{right} of {asked} (95% interval ")
    assert content.exam[-1][1] == told["verdict"]
    page = write_report(run).read_text(encoding="utf-8")
    assert f"Cross-validated on the {basis.n} labelled rows" in page
    assert "validation rows" not in page
    run.log("teacher examined", rows=None, own_texts=None, verdict=IMAGE)
    page = write_report(run).read_text(encoding="utf-8")
    assert IMAGE not in page
    assert "&lt;img src=x" in page


def test_a_run_that_kept_round_zero_says_that_the_loss_rose(run: RunFolder) -> None:
    content = gather(run)
    records = replace(read_records(run), best=0)
    verdict = make_verdict(records, content.bases, content.money, content.texts)
    assert "The teacher's texts did not reduce the loss" in verdict.sentence


def test_a_run_without_rounds_of_a_teacher(tmp_path: Path) -> None:
    content = gather(distilled(tmp_path / "alone", rounds=0))
    assert "without synthetic texts (no rounds were planned)" in content.verdict.sentence
    assert (content.texts.accepted, content.money.total["calls"]) == (0, 0)
    assert len(content.rounds) == 1


def test_a_run_that_was_cut_off_in_the_middle_of_a_line(run: RunFolder) -> None:
    (run.path / "result.json").unlink()
    journal = run.path / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    at = max(i for i, line in enumerate(lines) if '"round ended"' in line)
    journal.write_text("".join(lines[:at]) + lines[at][:60], encoding="utf-8")
    content = gather(run)
    assert [line.number for line in content.rounds] == [0, 1]
    assert content.about.ended == ""
    assert any("has not ended" in line for line in content.verdict.more)


def test_a_run_that_has_only_begun(run: RunFolder) -> None:
    for path in run.path.iterdir():
        if path.is_file() and path.name not in ("config.yaml", "task.json"):
            path.unlink()
    content = gather(run)
    assert content.verdict.tone == "none"
    assert (content.bases, content.cells, content.rounds) == ((), (), ())
    assert not content.money.recorded
    assert not run.ledger_path.exists()


def test_a_damaged_line_is_told_with_its_number(run: RunFolder) -> None:
    journal = run.path / "journal.jsonl"
    journal.write_text("{]\n" + journal.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RunError, match=r"journal\.jsonl, line 1, is damaged"):
        gather(run)


def test_an_older_run_lacks_much_and_is_shown_without_it(run: RunFolder) -> None:
    (run.path / "environment.json").unlink()
    lines = list(run.read_lines("journal.jsonl"))
    for line in lines:
        for name in ("synthetic_weight", "loss_change", "loss_change_standard_error"):
            line.pop(name, None)
        for ask in line.get("prompts", []):
            ask.pop("reasons")
    old = "".join(json.dumps(line) + "\n" for line in lines)
    (run.path / "journal.jsonl").write_text(old, encoding="utf-8")
    settings = run.path / "config.yaml"
    settings.write_text(settings.read_text("utf-8") + "gone_since: 3\n", encoding="utf-8")
    content = gather(run)
    assert content.rounds[1].weight is None
    assert content.about.settings["gone_since"] == "3"
    assert content.about.versions == {}


def test_students_that_cannot_be_read_leave_the_figures_of_the_journal(run: RunFolder) -> None:
    (run.path / "students/best/student.json").write_text("{}", encoding="utf-8")
    (basis,) = gather(run).bases
    assert "cannot be loaded" in basis.missing
    assert "intervals" not in basis.students["after"]


def test_an_unknown_price_stays_unknown(tmp_path: Path) -> None:
    run = distilled(tmp_path / "billed", asked=BilledTeacher(), teacher={"cache": "off"})
    content = gather(run)
    assert content.money.usd is None
    assert not content.money.free
    assert {line.usd for line in content.rounds[1:]} == {None}
    assert any("price of the calls is unknown" in line for line in content.verdict.more)


def test_known_prices_add_up_round_by_round(tmp_path: Path) -> None:
    prices = {"price_input": 1000, "price_output": 2000, "cache": "off"}
    run = distilled(tmp_path / "priced", asked=BilledTeacher(), teacher=prices)
    content, calls = gather(run), calls_of(run)
    total = sum(call.cost or Decimal(0) for call in calls)
    assert total > 0
    assert Decimal(content.money.usd or 0) == total
    assert Decimal(content.rounds[-1].total_usd or 0) == total
    of_round = [c.cost or Decimal(0) for c in calls if c.round == 2]
    assert Decimal(content.rounds[2].usd or 0) == sum(of_round)


def test_own_machine_is_free_and_not_unknown(run: RunFolder) -> None:
    money = gather(run).money
    assert (money.free, money.usd) == (True, "0")


def test_the_teacher_is_timed_by_its_classifications(run: RunFolder) -> None:
    with Ledger(run.ledger_path) as ledger:
        for seconds, usd in ((1.0, "0.001"), (3.0, "0.003"), (2.0, "0.002")):
            n = ledger.begin(Request((), purpose="label", id=f"label-{usd}"), "teacher")
            ledger.finish(n, Reply("{}", "m", 10, 1, seconds=seconds), Decimal(usd), "given")
    speed = gather(run).speed
    assert (speed.teacher_calls, speed.teacher_median) == (3, 2.0)
    assert speed.teacher_usd == pytest.approx(2000)
    assert speed.student is None


def figures(name: str, f1: float, confused: list[tuple[str, str, int]]) -> dict[str, Any]:
    classes = [{"name": name, "precision": f1, "recall": f1, "f1": f1, "n": 3}]
    cells = [{"gold": a, "predicted": b, "rows": n} for a, b, n in confused]
    return {"cells": classes, "confused": cells}


def test_confusions_are_sorted_by_change() -> None:
    before = figures("a", 0.5, [("a", "b", 5), ("b", "c", 1), ("c", "a", 2)])
    after = figures("a", 0.75, [("a", "b", 1), ("c", "a", 2), ("c", "b", 3)])
    basis = EvaluationSet("test", "", "", 9, {"before": before, "after": after}, {})
    found = compare_confusions(basis)
    assert [(p.gold, p.predicted, p.before, p.after) for p in found.shrank] == [
        ("a", "b", 5, 1),
        ("b", "c", 1, 0),
    ]
    assert [(p.gold, p.predicted, p.before, p.after) for p in found.grew] == [("c", "b", 0, 3)]


def test_classes_come_with_rows_and_texts(run: RunFolder) -> None:
    records = read_records(run)
    lines = compare_cells(gather(run).bases, records)
    assert sorted(line.name for line in lines) == sorted(classes())
    assert sum(line.accepted for line in lines) == len(records.accepted) > 0
    assert sum(line.rows for line in lines) == len(records.task["train"])
    assert [line.change for line in lines] == sorted((c.change for c in lines), reverse=True)


def test_every_text_is_counted_and_those_shown_are_bounded(run: RunFolder) -> None:
    line = {"request": "r1-0001", "reason": "too long", "detail": "", "label": "a", "text": "x"}
    run.append("rejected.jsonl", [line] * 1000)
    run.append("rejected.jsonl", [{**line, "reason": "no JSON"}])
    texts = gather(run).texts
    assert dict(texts.reasons)["too long"] == 1000
    assert texts.rejected >= 1001
    assert len(texts.shown) < 500
    assert "no JSON" in {text.outcome for text in texts.shown}


def test_prompts_show_each_purpose_and_why(run: RunFolder) -> None:
    prompts = gather(run).prompts
    assert {"glossary", "write"} <= {prompt.purpose for prompt in prompts}
    written = next(prompt for prompt in prompts if prompt.purpose == "write")
    assert written.reasons
    assert [role for role, _ in written.messages] == ["system", "user"]


def test_the_map_is_the_same_twice_and_knows_what_is_synthetic(run: RunFolder) -> None:
    records = read_records(run)
    first, again = make_map(run, records), make_map(run, records)
    assert first is not None
    assert first == again
    assert sum(point.synthetic for point in first.points) == len(records.accepted)
    places = np.array([(point.x, point.y) for point in first.points])
    assert places.min() == 0.0
    assert places.max() == 1.0
    assert sum(n.real for n in first.neighbours) == len(records.task["train"])
    assert make_map(run, replace(records, task={"train": []}, accepted=[])) is None


def test_a_snippet_tells_its_length() -> None:
    assert Snippet.of("abcdef", 3) == Snippet("abc", 6)
    assert Snippet.of("abcdef", 3).is_cut
    assert not Snippet.of(None, 3).is_cut


@pytest.mark.parametrize(
    ("n", "expected"), [(3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))]
)
def test_spread_is_even_and_in_order(n: int, expected: list[int]) -> None:
    assert spread(range(10), n) == expected


def test_content_is_plain_data(run: RunFolder) -> None:
    told = json.loads(json.dumps(gather(run).to_json()))
    assert told["about"]["name"] == "plain"
    assert len(told["rounds"]) == 3
