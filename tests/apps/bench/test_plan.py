"""The file of a benchmark: its cells, and what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from pgkd.apps.bench.plan import ARMS, Plan, chosen, list_cells
from pgkd.errors import ConfigError

TEACHERS = {
    "oracle": {"provider": "oracle"},
    "shaky": {"provider": "oracle", "error_share": 0.2},
    "full": {"provider": "labeller"},
    "fake": {"provider": "fake"},
}


def plan(*arms: str, use: tuple[str, ...] = ("oracle",), **more: Any) -> Plan:
    block = {"data": ["a", "b"], "rows": [100, 400], "seeds": [0, 1, 2], "arms": arms}
    settings = {"rounds": 3, "samples": 8}
    given = {"settings": settings, "teachers": TEACHERS, "grid": [{**block, "teachers": use}]}
    return Plan.model_validate({**given, **more})


def test_every_combination_is_a_cell_and_arms_without_a_teacher_are_run_once() -> None:
    cells = list_cells(plan("alone", "targeted", use=("oracle", "shaky")))
    assert len(cells) == 2 * 2 * 3 * (1 + 2)
    assert len({cell.name for cell in cells}) == len(cells)
    assert "a-400-s2-targeted-shaky" in {cell.name for cell in cells}
    assert "a-400-s2-alone" in {cell.name for cell in cells}


def test_every_arm_gets_the_same_number_of_texts() -> None:
    arms = [a.name for a in ARMS.values() if a.asks != "nobody" and not a.labels]
    for cell in list_cells(plan(*arms, use=("fake",))):
        config = cell.config()
        assert config.rounds * config.samples == 24, cell.name


def test_a_budget_is_the_same_for_all_arms_that_ask_a_teacher() -> None:
    settings = {"budget": {"calls": 7, "tokens": 9000}}
    arms = [a.name for a in ARMS.values() if not a.labels]
    for cell in list_cells(plan(*arms, use=("fake",), settings=settings)):
        budget = cell.config().budget
        expected = (7, 9000) if cell.arm.asks == "teacher" else (None, None)
        assert (budget.calls, budget.tokens) == expected, cell.name


def test_no_arm_changes_more_than_it_says() -> None:
    for arm in ARMS.values():
        assert not {"rounds", "samples", "student", "budget"} & set(arm.settings), arm.name


def test_a_teacher_of_known_quality_serves_what_it_can() -> None:
    cells = list_cells(plan("targeted", "zero-shot", use=("oracle", "full", "fake")))
    pairs = {(cell.arm.name, cell.teacher) for cell in cells}
    assert pairs == {
        ("targeted", "oracle"), ("targeted", "fake"), ("zero-shot", "full"), ("zero-shot", "fake"),
    }  # fmt: skip


def test_whoever_labels_can_label_a_pool() -> None:
    cells = list_cells(plan("pool-guided", "pool-auto", use=("oracle", "full", "fake")))
    served = {
        arm: {c.teacher for c in cells if c.arm.name == arm} for arm in ("pool-guided", "pool-auto")
    }
    assert served["pool-guided"] == {"oracle", "full", "fake"}
    assert served["pool-auto"] == {"oracle", "fake"}  # half of its rounds write


def test_settings_of_a_block_win_and_those_of_an_arm_win_over_them() -> None:
    block = {
        "data": ["a"], "rows": [100], "seeds": [5], "teachers": ["fake"],
        "arms": ["targeted", "no-early-stopping"], "settings": {"patience": 3, "rounds": 9},
    }  # fmt: skip
    targeted, on = list_cells(plan(grid=[block]))
    assert (targeted.config().patience, targeted.config().rounds) == (3, 9)
    assert on.config().patience > 1000
    assert (targeted.config().seed, targeted.config().data.limit) == (5, 100)
    assert targeted.config().teacher.cache == "off"  # the cache lies below the ledger


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"arms": ["nobody"]}, "There is no arm 'nobody'"),
        ({"teachers": ["nobody"]}, "There is no teacher 'nobody'"),
        ({"data": ["../a"]}, "'../a' is no name for a file"),
        ({"teachers": []}, "The arms targeted need `teachers`"),
        ({"settings": {"round": 3}}, "settings are wrong"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(given: dict[str, Any], told: str) -> None:
    block = {
        "data": ["a"], "rows": [100], "seeds": [0], "arms": ["targeted"], "teachers": ["fake"],
    }  # fmt: skip
    with pytest.raises(ConfigError, match=told):
        list_cells(plan(grid=[{**block, **given}]))


def test_two_blocks_may_share_a_cell_but_not_disagree_about_it() -> None:
    block = {"data": ["a"], "rows": [100], "seeds": [0], "arms": ["alone"]}
    assert len(list_cells(plan(grid=[block, block]))) == 1
    with pytest.raises(ConfigError, match="a-100-s0-alone in different ways"):
        list_cells(
            plan(grid=[block, {**block, "settings": {"data": {"validation_fraction": 0.5}}}])
        )


def test_a_part_can_be_chosen() -> None:
    cells = list_cells(plan("alone", "targeted"))
    some = chosen(cells, "data=a,rows=100,seed=0,1,arm=alone")
    assert [cell.name for cell in some] == ["a-100-s0-alone", "a-100-s1-alone"]
    with pytest.raises(ConfigError, match="No cell of the grid"):
        chosen(cells, "data=c")
    with pytest.raises(ConfigError, match="--only takes data="):
        chosen(cells, "set=a")
