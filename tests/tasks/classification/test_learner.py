"""The guide of a classification task: what it trains on, and which losses judge a round."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.task import Origin
from pgkd.tasks.classification.data.dataset import TextDataset
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.prompts.glossary import description_request
from pgkd.tasks.classification.students import make_student
from pgkd.tasks.common.folds import stratified_folds
from tests.conftest import make_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("account", "billing", "delivery", "product", "unheard of")
TAXONOMY = Taxonomy.from_names(NAMES)


def rows(part: str, per_class: int, start: int) -> tuple[LabelledText, ...]:
    texts, labels = make_rows(per_class, start=start)
    pairs = zip(texts, labels, strict=True)
    return tuple(LabelledText(t, name, f"{part}:{i}") for i, (t, name) in enumerate(pairs, start=1))


TASK = TextDataset(TAXONOMY, rows("train", 9, 0), rows("validation", 2, 40))


def written(n: int, label: str, *parents: str) -> list[LabelledText]:
    return [
        LabelledText(f"{label} words number {i}", label, f"r1-{i}", Origin(1, "r1-0001", parents))
        for i in range(n)
    ]


def guide(task: TextDataset = TASK, **settings: Any) -> ClassificationLearner:
    labels = [row.label for row in task.train]
    student = make_student("linear", task.taxonomy.names)
    return ClassificationLearner(
        task, student, NoPrompts(), folds=stratified_folds(labels, 3, 0), **settings
    )


class NoPrompts:
    def prompts(self, number: int, assessment: Any, written: Sequence[LabelledText]) -> tuple[()]:
        return ()


def test_a_round_is_judged_on_validation_and_out_of_fold_rows() -> None:
    made = guide()
    assessment = made.evaluate(made.train([]), [])
    assert assessment.losses.shape == (len(TASK.validation) + len(TASK.train),)
    assert np.isfinite(assessment.losses).all()
    assert assessment.validation.n == len(TASK.validation)
    assert assessment.out_of_fold.n == len(TASK.train)


def test_without_validation_rows_cross_validation_judges_alone() -> None:
    made = guide(replace(TASK, validation=()))
    assessment = made.evaluate(made.train([]), [])
    assert assessment.losses.shape == (len(TASK.train),)
    assert assessment.validation == assessment.out_of_fold


def test_the_student_is_tuned_again_when_its_texts_have_doubled() -> None:
    made, tuned = guide(), []
    for n in (4, 6, 8):
        texts = [text for name in NAMES[:4] for text in written(n, name)]
        made.train(texts)
        tuned.append(made._tuned_at)
    assert tuned == [16, 16, 32]


def test_a_thousand_validation_rows_judge_alone() -> None:
    repeated = tuple(
        LabelledText(row.text, row.label, f"validation:{i}")
        for i, row in enumerate(TASK.validation * 125)
    )
    made = guide(TextDataset(TAXONOMY, TASK.train, repeated))
    assert made.evaluate(made.train([]), []).losses.shape == (1000,)


def test_texts_of_a_class_that_nobody_can_judge_do_not_seem_to_harm() -> None:
    made, texts = guide(), written(30, "unheard of")
    student = made.train(texts)
    taught = made.evaluate(student, texts).losses[: len(TASK.validation)]
    probabilities = student.predict_proba([row.text for row in TASK.validation])
    gold = [TAXONOMY.index[row.label] for row in TASK.validation]
    plain = -np.log(probabilities[np.arange(len(gold)), gold])
    # Probability that went to the new class counts against the plain loss, not against the rule's.
    assert (plain > taught).all()


def test_a_row_whose_class_lost_its_texts_is_left_out_of_the_judgement() -> None:
    folds = stratified_folds([row.label for row in TASK.train], 3, 0)
    parents = [row.id for row, fold in zip(TASK.train, folds, strict=True) if fold == 0]
    texts = written(3, "account", *parents)
    made = guide()
    losses = made.evaluate(made.train(texts), texts).losses[len(TASK.validation) :]
    lost = [
        fold == 0 and row.label == "account" for row, fold in zip(TASK.train, folds, strict=True)
    ]
    assert np.isnan(losses).tolist() == lost


def test_written_texts_weigh_as_the_setting_says() -> None:
    texts = written(20, "unheard of")

    def share(weight: float) -> float:
        student = guide(weights=lambda: (weight,)).train(texts)
        return float(student.predict_proba(["words number"])[0, 4])

    assert share(1.0) > share(0.01)


def test_the_description_shows_rows_of_all_classes_alike_and_no_label() -> None:
    many = [LabelledText(f"large {i}", "account", f"train:{i}") for i in range(500)]
    few = [LabelledText(f"small {name}", name, f"train:{name}") for name in NAMES[1:]]
    request = description_request(TAXONOMY, [*many, *few], seed=0)
    prompt = request.messages[-1].content
    assert all(f"- small {name}" in prompt for name in NAMES[1:])
    assert prompt.count("- large") == 1
    assert request.purpose == "describe"
    assert request == description_request(TAXONOMY, [*many, *few], seed=0)


def test_mistakes_are_mined_on_where_prompts_show_rows_of_all_folds() -> None:
    """The trap: every text is hidden with every fold, and the teacher is shown no mistake again."""
    parents = [row.id for row in TASK.train]
    texts = [text for name in NAMES for text in written(6, name, *parents)]
    aware = guide()
    assert not aware.evaluate(aware.train(texts), texts).mined.correct
    made = guide(large_prompts=True)
    assessment = made.evaluate(made.train(texts), texts)
    mined = assessment.mined
    assert len(mined.correct) + len(mined.mistakes) + len(mined.label_issues) == len(TASK.train)
    assert np.isnan(assessment.losses[len(TASK.validation) :]).all()  # they judge nothing
