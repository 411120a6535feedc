"""Mining: honest mistakes, without the rows whose given label is doubtful."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.feedback.mining import mine, rotate, suspected

CLASSES = ("a", "b", "c")


def rows_of(labels: str) -> list[LabelledText]:
    return [
        LabelledText(f"text {i}", label, f"train:{i}") for i, label in enumerate(labels, start=1)
    ]


def sure_of(predictions: str, confidence: float = 0.8) -> np.ndarray:
    """Probabilities that put `confidence` on each predicted class."""
    rest = (1 - confidence) / (len(CLASSES) - 1)
    table = np.full((len(predictions), len(CLASSES)), rest)
    for i, name in enumerate(predictions):
        table[i, CLASSES.index(name)] = confidence
    return table


def test_rows_are_sorted_into_right_and_wrong_most_confident_first() -> None:
    probabilities = sure_of("aabc")
    probabilities[1] = [0.4, 0.35, 0.25]
    mined = mine(rows_of("aabb"), probabilities, CLASSES)
    assert [row.example.id for row in mined.correct] == ["train:1", "train:3", "train:2"]
    assert [(row.example.id, row.predicted) for row in mined.mistakes] == [("train:4", "c")]


def test_confused_pairs_keep_their_direction() -> None:
    mined = mine(rows_of("aabbc"), sure_of("bbaac", 0.4), CLASSES)
    pairs = {(pair.gold, pair.predicted): len(pair.rows) for pair in mined.pairs}
    assert pairs == {("a", "b"): 2, ("b", "a"): 2}


def test_a_row_with_a_planted_wrong_label_is_suspected_and_no_hard_negative() -> None:
    labels = "a" * 10 + "b" * 10 + "c" * 10
    probabilities = sure_of(labels, 0.9)
    wrong = "b" + labels[1:]  # the first row is an 'a' that somebody labelled 'b'
    mined = mine(rows_of(wrong), probabilities, CLASSES)
    assert [row.example.id for row in mined.label_issues] == ["train:1"]
    assert mined.label_issues[0].predicted == "a"
    assert "train:1" not in {row.example.id for row in mined.mistakes}


def test_an_unsure_student_raises_no_doubts() -> None:
    labels = "a" * 10 + "b" * 10 + "c" * 10
    mistaken = "b" + labels[1:]
    assert not mine(rows_of(labels), sure_of(mistaken, 0.4), CLASSES).label_issues
    assert mine(rows_of(labels), sure_of(mistaken, 0.6), CLASSES).label_issues


def test_the_few_rows_of_a_rare_class_are_never_suspected() -> None:
    labels = "a" * 10 + "b" * 10 + "cc"
    probabilities = sure_of("a" * 10 + "b" * 10 + "aa", 0.95)
    assert not mine(rows_of(labels), probabilities, CLASSES).label_issues


def test_nothing_to_judge_suspects_nothing() -> None:
    assert not suspected(np.array([0, 0, 0]), sure_of("bbb")).any()


def test_rows_that_cannot_be_trusted_are_left_out() -> None:
    trusted = np.array([True, False, True])
    mined = mine(rows_of("abc"), sure_of("aac"), CLASSES, trusted=trusted)
    assert "train:2" not in {r.example.id for r in (*mined.correct, *mined.mistakes)}


def test_mistakes_rotate_until_all_were_shown() -> None:
    mistakes = mine(rows_of("aaaa"), sure_of("bbbb"), CLASSES).mistakes
    shown: Counter[str] = Counter()
    turns = [{row.example.id for row in rotate(mistakes, shown, 2)} for _ in range(2)]
    assert turns[0].isdisjoint(turns[1])
    assert rotate(mistakes, shown, 9) == pytest.approx(list(mistakes)) or len(shown) == 4
