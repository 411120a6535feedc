"""The class list as training texts: used where names say something, left out where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.tasks.classification.data.examples import LabelClass, LabelledText, Taxonomy
from pgkd.tasks.classification.feedback.cross_validation import (
    class_texts,
    out_of_fold,
    try_label_names,
)
from pgkd.tasks.classification.students import make_student
from pgkd.tasks.common.folds import stratified_folds
from pgkd.teachers.fake import FakeTeacher

if TYPE_CHECKING:
    from pathlib import Path

TELLING = ("late parcel", "refund of fee", "locked password", "broken screen")
OPAQUE = ("class_a", "class_b", "class_c", "class_d")
WORDS = (
    ("parcel", "late"), ("refund", "fee"), ("password", "locked"), ("screen", "broken"),
)  # fmt: skip


def few_rows(names: tuple[str, ...]) -> list[LabelledText]:
    """Two rows a class that share no word but those of a telling name."""
    texts = [
        (f"{(first, second)[i]} {'xyz'[i] * 3}{k}", names[k])
        for k, (first, second) in enumerate(WORDS)
        for i in range(2)
    ]
    return [LabelledText(text, label, f"train:{i}") for i, (text, label) in enumerate(texts)]


def trial_of(names: tuple[str, ...]) -> tuple[int, float]:
    rows = few_rows(names)
    folds = stratified_folds([row.label for row in rows], 2, 0)
    student = make_student("linear", names)
    trial = try_label_names(student, rows, Taxonomy.from_names(names), folds)
    return len(trial.texts), trial.change


def test_names_that_say_what_a_class_is_about_are_used() -> None:
    used, change = trial_of(TELLING)
    assert used == len(TELLING)
    assert change < 0


def test_names_that_say_nothing_are_left_out() -> None:
    used, _ = trial_of(OPAQUE)
    assert used == 0


def test_a_class_text_is_the_name_as_people_say_it_with_its_description() -> None:
    classes = (LabelClass("card_arrival"), LabelClass("atm_fee", "charged for cash"))
    texts = class_texts(Taxonomy(classes))
    assert [text.text for text in texts] == ["card arrival", "atm fee: charged for cash"]
    assert [text.label for text in texts] == ["card_arrival", "atm_fee"]
    assert all(text.is_real for text in texts)  # the user gave them: full weight


def test_with_the_label_names_every_row_has_a_class_that_was_trained() -> None:
    rows = [*few_rows(TELLING)[:-1]]  # the last class keeps one row, alone in its fold
    folds = np.array([0, 1, 0, 1, 0, 1, 0])
    student = make_student("linear", TELLING)
    without = out_of_fold(student, rows, [], folds)
    listed = class_texts(Taxonomy.from_names(TELLING))
    with_list = out_of_fold(student, rows, [], folds, label_names=listed)
    assert without.testable.tolist() == [True] * 6 + [False]
    assert with_list.testable.all()


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_tries_the_label_names_unless_it_is_not_wanted(tmp_path: Path, wanted: bool) -> None:
    rows = few_rows(TELLING)
    texts = [row.text for row in rows]
    labels = [row.label for row in rows]
    config = Config.parse(
        {
            "student": {"kind": "linear"},
            "guidance": {"folds": 2},
            "label_names": wanted,
            "rounds": 0,
            "out": tmp_path / "run",
        }
    )
    validation = ([f"{text} again" for text in texts], labels)
    run = Distiller(config, teacher=FakeTeacher()).fit(texts, labels, validation=validation).run_
    tried = [
        line for line in run.read_lines("journal.jsonl") if line["event"] == "label names tried"
    ]
    assert [line["used"] for line in tried] == ([True] if wanted else [])
