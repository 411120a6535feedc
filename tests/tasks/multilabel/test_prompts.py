"""What the teacher is asked, and what of its untrusted reply is used."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pgkd.config import Config
from pgkd.encoders.one_vs_rest import (
    LabelCalibration,
    choose_thresholds,
    fit_heads,
    indicators,
    sigmoid,
)
from pgkd.tasks.common.learning import Judged
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.multilabel.data import MultiLabelText
from pgkd.tasks.multilabel.learner import label_cells, multilabel_figures
from pgkd.tasks.multilabel.prompts import (
    NO_LABEL,
    UNKNOWN_LABEL,
    WRONG_LABELS,
    MultiLabelPrompts,
)
from pgkd.tasks.multilabel.task import MultiLabel
from pgkd.teachers.base import Reply

SETS = [["a"], ["a", "b"], ["a", "b"], ["b"], [], ["c"], ["a", "c"], []] * 3
LABELS = ("a", "b", "c")


def writer(**settings: Any) -> MultiLabelPrompts:
    config: Any = Config.parse({"task": "multilabel", **settings})
    rows = MultiLabel().from_arrays(config, [f"row {i} of all" for i in range(len(SETS))], SETS)
    return MultiLabelPrompts(config, rows, np.arange(len(SETS)) % 3)


def cells(given: list[list[str]]) -> list[dict[str, Any]]:
    rows = tuple(MultiLabelText(f"row {i}", tuple(s)) for i, s in enumerate(SETS))
    answers = tuple({"labels": s, "probabilities": {}} for s in given)
    return label_cells(Judged(rows, answers, np.zeros(len(rows))), LABELS)


def prompt_for(cell: str) -> SamplesPrompt:
    found = writer(texts=64, rounds=1).prompts(1, cells(SETS), ())
    return next(prompt for prompt in found if prompt.cell == cell)


def parse(prompt: SamplesPrompt, *samples: Any) -> tuple[list[str], list[str]]:
    parsed = prompt.parse(Reply(json.dumps({"samples": list(samples)}), "m"), prompt.count)
    return [e.output for e in parsed.accepted], [r.reason for r in parsed.rejected]


def test_weak_labels_and_sets_that_are_forgotten_get_more_texts() -> None:
    weak = [[label for label in labels if label != "b"] for labels in SETS]
    weak = [["c"] if labels == ["a"] else labels for labels in weak]
    found = writer(texts=80, rounds=1).prompts(1, cells(weak), ())
    asked = Counter[str]()
    for prompt in found:
        asked[prompt.cell] += prompt.count
    assert sum(asked.values()) == 80
    assert asked["b"] > asked["a"] > 0
    assert asked[NO_LABEL] > 0
    even = writer(texts=80, rounds=1, guidance={"allocation": "even"}).prompts(1, cells(weak), ())
    assert {p.cell for p in even} == {*LABELS, NO_LABEL}
    assert len({p.count for p in even}) <= 2
    user = found[0].request.messages[1].content
    assert "- a" in user
    assert "Often mistaken: a" in user
    assert all(row.text in user for row in found[0].shown)


def test_shown_rows_are_of_one_fold() -> None:
    for prompt in writer(texts=64, rounds=1).prompts(1, cells(SETS), ()):
        assert len({int(row.id.split(":")[1]) % 3 for row in prompt.shown}) == 1
        assert 0 < len(prompt.shown) <= 8


def test_a_set_that_was_asked_for_or_a_part_of_it_is_accepted() -> None:
    text = {"text": "a new text"}
    assert parse(prompt_for("a"), {"labels": ["b", "a"], **text}) == (["a, b"], [])
    assert parse(prompt_for("a"), {"labels": ["b"], **text}) == (["b"], [])
    assert parse(prompt_for(NO_LABEL), {"labels": [], **text}) == (["[]"], [])


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"labels": ["a", "b", "c"], "text": "x"}, WRONG_LABELS),
        ({"labels": [], "text": "x"}, WRONG_LABELS),
        ({"labels": ["z"], "text": "x"}, UNKNOWN_LABEL),
        ({"labels": "a", "text": "x"}, "wrong type"),
        ({"labels": [["a"]], "text": "x"}, "wrong type"),
        ({"labels": [None], "text": "x"}, "wrong type"),
        ({"labels": ["a"]}, "wrong type"),
        ({"labels": ["a"], "text": " "}, "no text"),
        ({"labels": ["a"], "text": "x" * 30_000}, "too long"),
        ({"text": "x"}, "wrong type"),
        (["a"], "wrong type"),
        (7, "wrong type"),
    ],
)
def test_a_hostile_sample_is_rejected_with_its_reason(sample: Any, reason: str) -> None:
    assert parse(prompt_for("a"), sample) == ([], [reason])


@pytest.mark.parametrize(
    "text", ["", "no", "{", "[" * 100_000, "x" * 10_000_000, '{"samples": {"a": 1}}', "\ud800"]
)
def test_a_hostile_reply_raises_nothing(text: str) -> None:
    parsed = prompt_for("a").parse(Reply(text, "m"), 8)
    assert not parsed.accepted
    assert parsed.rejected


def test_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

    rng = np.random.default_rng(0)
    gold, p = rng.random((60, 4)) < 0.3, rng.random((60, 4)).round(1).clip(0.01, 0.99)
    given, names = p >= 0.6, ("a", "b", "c", "d")
    rows = [MultiLabelText("x", tuple(np.array(names)[row])) for row in gold]
    answers = [
        {"labels": list(np.array(names)[g]), "probabilities": dict(zip(names, row, strict=True))}
        for g, row in zip(given, p, strict=True)
    ]
    found = multilabel_figures(answers, rows)
    assert found["macro_f1"] == pytest.approx(f1_score(gold, given, average="macro"))
    assert found["micro_f1"] == pytest.approx(f1_score(gold, given, average="micro"))
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(gold, given))
    assert found["map"] == pytest.approx(average_precision_score(gold, p, average="macro"))
    losses = [log_loss(gold[:, j], p[:, j]) for j in range(4)]
    assert found["log_loss"] == pytest.approx(sum(losses))
    assert multilabel_figures([], []) == {}


def test_heads_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(80, 5)), rng.random(80) + 0.1
    gold = np.stack([x[:, 0] + rng.normal(size=80) > 0, x[:, 1] > 1, np.zeros(80, bool)], axis=1)
    head = fit_heads(x, gold, weights, 2.0)
    for j in (0, 1):
        model = LogisticRegression(C=2.0, tol=1e-8).fit(x, gold[:, j], weights)
        assert head.weights[j] == pytest.approx(model.coef_[0], abs=0.01)
        assert head.bias[j] == pytest.approx(model.intercept_[0], abs=0.01)
    assert not head.weights[2].any()
    assert sigmoid(head.bias)[2] < 0.02


def test_calibration_and_thresholds_mend_logits_that_are_off() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, size=(2000, 3))
    gold = rng.random((2000, 3)) < sigmoid(logits)
    found = LabelCalibration.fit(logits * 3 + 2, gold)
    assert np.abs(found.probabilities(logits * 3 + 2) - sigmoid(logits)).mean() < 0.02
    assert all(0.2 < threshold < 0.5 for threshold in found.thresholds)
    few = gold.copy()
    few[:, 0] = False
    few[0, 0] = True
    own = choose_thresholds(sigmoid(logits), few)
    assert len(own) == 3
    assert all(0 < threshold < 1 for threshold in own)
    assert indicators([["b"], []], ("a", "b")).tolist() == [[False, True], [False, False]]
