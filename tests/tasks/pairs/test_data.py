"""Rows, settings and replies: what is wrong is told, and nothing of it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd import Config
from pgkd.curation import Curator
from pgkd.data.cells import check_pairs
from pgkd.errors import ConfigError, DataError, StudentError
from pgkd.tasks import make_task
from pgkd.tasks.common.folds import grouped_folds
from pgkd.tasks.common.shares import Target
from pgkd.tasks.pairs.data import Pair
from pgkd.tasks.pairs.prompts import PairPrompts
from pgkd.tasks.pairs.task import Pairs
from pgkd.teachers.base import Reply
from tests.tasks.pairs.conftest import make_labelled, make_scored


def put(folder: Path, rows: list[dict[str, Any]]) -> Any:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Config.parse({"task": "pairs", "data": {"train": path}})


def row(i: int, **more: Any) -> dict[str, Any]:
    return {"text": f"the text of row {i}", "text_pair": f"a second text {i}", **more}


def test_what_is_predicted_is_found_in_the_rows(tmp_path: Path) -> None:
    def found(column: str, *values: Any) -> Target:
        rows = [row(i, **{column: values[i % len(values)]}) for i in range(60)]
        return Target.of(Pairs().load(put(tmp_path, rows)).details)

    assert found("label", "yes", "no").labels == ("no", "yes")
    assert found("label", 0, 1, 2).labels == ("0", "1", "2")
    assert found("score", 1, 2, 3) == Target((), 1, 3)


def test_all_problems_are_told_with_their_rows(tmp_path: Path) -> None:
    rows = [row(i, score=i % 5) for i in range(20)]
    rows[3]["score"], rows[5]["score"], rows[7]["score"] = "high", 9, None
    rows[11]["text_pair"], rows[13]["score"] = " ", True
    config = put(tmp_path, rows)
    config = config.parse({"task": "pairs", "data": {"train": config.data.train, "score_max": 5}})
    with pytest.raises(DataError) as caught:
        make_task("pairs").load(config)
    told = "\n".join(caught.value.problems)
    for each in (
        "train row 4: 'high' is not a number",
        "train row 6: the score 9 is above 5 (data.score_max)",
        "train row 8: it has no score",
        "train row 12 has no text",
        "train row 14: 'True' is not a number",
    ):
        assert each in told


def test_rows_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ten are the least"):
        Pairs().load(put(tmp_path, [row(i, label="ab"[i % 2]) for i in range(9)]))
    with pytest.raises(DataError, match="All training rows have the label 'a'"):
        Pairs().load(put(tmp_path, [row(i, label="a") for i in range(19)]))
    with pytest.raises(DataError, match="All rows have the score 1"):
        Pairs().load(put(tmp_path, [row(i, score=1) for i in range(19)]))
    with pytest.raises(DataError, match="no column 'text_pair'"):
        Pairs().load(put(tmp_path, [{"text": f"t{i}", "label": "a"} for i in range(19)]))


def test_another_file_is_read_to_judge_by(tmp_path: Path) -> None:
    config = put(tmp_path, [row(i, label=i % 3) for i in range(20)])
    rows = Pairs().read(config.data.train, config)
    assert (rows[1].label, rows[1].score) == ("1", None)
    answers = [{"label": "1"}] * 20
    assert Pairs().figures(answers, rows)["accuracy"] == 0.35


def test_settings_are_refused_plainly() -> None:
    with pytest.raises(ConfigError, match="score_min has to be below score_max"):
        Config.parse({"task": "pairs", "data": {"score_min": 5, "score_max": 5}})
    with pytest.raises(ConfigError, match=r"Do you mean data.text_pair_column"):
        Config.parse({"task": "pairs", "data": {"text_pair_colum": "x"}})
    assert Pairs().recognises(("id", "text", "text_pair", "score"), [])
    assert not Pairs().recognises(("text", "label"), [])


def test_a_pair_is_a_duplicate_where_both_texts_are() -> None:
    premise = "Two women are embracing while holding to go packages in front of a shop."
    kept = [Pair(premise, text, "x") for text in ("They are sisters.", "Nobody is there.")]
    curator = Curator(kept, [Pair("Another premise altogether.", "It is held out.", "x")])
    new = [
        Pair(premise, "The women hold food."),
        Pair(premise + "!", "they are sisters"),
        Pair("A man sits on a bench.", "They are sisters."),
        Pair("Another premise altogether", "It is held out!"),
    ]
    accepted, rejected = curator.curate(new, shown=[premise])
    assert accepted == [new[0], new[2]]
    assert [each.reason for each in rejected] == ["near a training row", "matches a validation row"]


def test_pairs_that_share_a_text_are_held_out_together() -> None:
    rows = [Pair(f"text {i // 3}", f"second {i}", "abc"[i % 3], id=f"train:{i}") for i in range(60)]
    folds = grouped_folds(rows, [row.output for row in rows], 5, 0)
    assert all(len(set(folds[i : i + 3])) == 1 for i in range(0, 60, 3))
    assert sorted(np.bincount(folds)) == [12] * 5
    one_query = [Pair("query", f"second {i}", "ab"[i % 2], id=f"{i}") for i in range(20)]
    assert len(set(grouped_folds(one_query, [row.output for row in one_query], 5, 0))) == 5


def writer(rows: Any, **settings: Any) -> PairPrompts:
    config: Any = Config.parse({"task": "pairs", **settings})
    dataset = Pairs().from_arrays(config, *rows)
    return PairPrompts(config, dataset, np.arange(len(dataset.train)) % 2)


def test_prompts_ask_for_a_label_or_a_band_and_tell_the_mistakes() -> None:
    mined = [
        {"name": "other", "n": 20, "error_rate": 0.9, "taken_for": "billing"},
        {"name": "billing", "n": 20, "error_rate": 0.05, "taken_for": ""},
    ]
    prompts = writer(make_labelled(40), texts=64).prompts(3, mined, ())
    counts = {
        name: sum(p.count for p in prompts if p.cell == name) for name in ("other", "billing")
    }
    assert counts["other"] > 5 * counts["billing"]
    user = next(p for p in prompts if p.cell == "other").request.messages[1].content
    assert 'often takes such pairs for "billing"' in user
    assert max(prompt.count for prompt in prompts) == 8
    guidance = {"allocation": "even", "scale": "0 = unrelated, 4 = the same meaning"}
    prompts = writer(make_scored(60), guidance=guidance).prompts(1, (), ())
    assert "0 = unrelated" in prompts[0].request.messages[0].content
    assert "with a score from 0 to 0.8" in prompts[0].request.messages[1].content
    assert [p.cell for p in prompts][-1] == "3.2 to 4"
    shown = [{int(row.id.split(":")[1]) % 2 for row in p.shown} for p in prompts]
    assert all(len(folds) == 1 for folds in shown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("x" * 10_000_001, "reply too large"),
        ('{"samples": [{"text": "one', "no JSON"),
        ('{"samples": [7]}', "wrong type"),
        ('{"samples": [{"text": "one", "score": 0.5}]}', "wrong type"),
        ('{"samples": [{"text": "one", "text_pair": "", "score": 0.5}]}', "no text"),
        ('{"samples": [{"text": "one", "text_pair": "two", "score": "NaN"}]}', "wrong type"),
        ('{"samples": [{"text": "one", "text_pair": "two", "score": 1e999}]}', "wrong type"),
        ('{"samples": [{"text": "one", "text_pair": "two", "score": true}]}', "wrong type"),
        ('{"samples": [{"text": "one", "text_pair": "two", "score": 3}]}', "another score"),
    ],
)
def test_a_hostile_reply_is_rejected_with_a_reason(text: str, reason: str) -> None:
    prompt = writer(make_scored(60)).prompts(1, (), ())[0]
    parsed = prompt.parse(Reply(text, "fake"), prompt.count)
    assert not parsed.accepted
    assert parsed.rejected[0].reason.startswith(reason)


def test_a_label_that_was_not_asked_for_is_rejected() -> None:
    prompt = writer(make_labelled(20)).prompts(1, (), ())[0]
    items = [{"text": "a b", "text_pair": "c d", "label": name} for name in ("billing", "other", 1)]
    parsed = prompt.parse(Reply(json.dumps({"samples": items}), "fake"), 4)
    assert parsed.accepted == (Pair("a b", "c d", "billing"),)
    assert len(parsed.rejected) == 2


def test_inputs_that_are_no_pairs_are_refused() -> None:
    wrong: tuple[Any, ...] = ("text", ["text"], [("a", "b", "c")], [("a", None)], iter([]))
    for inputs in wrong:
        with pytest.raises(StudentError):
            check_pairs(inputs)
    with pytest.raises(DataError, match="list of pairs"):
        Pairs().from_arrays(Pairs.config(), ["one text"] * 10, [1] * 10)
