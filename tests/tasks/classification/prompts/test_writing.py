"""The two ways to ask: what the teacher sees, and what it must not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelClass, LabelledText, Taxonomy
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation, mine
from pgkd.tasks.classification.prompts.glossary import Glossary
from pgkd.tasks.classification.prompts.paper import PaperPrompts
from pgkd.tasks.classification.prompts.targeted import TargetedPrompts, nearest_classes
from pgkd.tasks.classification.prompts.writing import GenerationSettings
from pgkd.tasks.common.samples import LengthTarget, answer_tokens, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.prompts.writing import WritePrompt

CLASSES = ("card_arrival", "card_payment", "top_up", "card_lost")
TAXONOMY = Taxonomy(
    (
        LabelClass("card_arrival", "Where a new card is."),
        LabelClass("card_payment"),
        LabelClass("top_up", parent="money"),
        LabelClass("card_lost"),
    )
)
# Six rows of each class but the last, which no row has.
REAL = [
    LabelledText(f"{name} real {i}", name, f"train:{name}:{i}")
    for name in CLASSES[:3]
    for i in range(6)
]
FOLDS = np.array([i % 3 for i in range(len(REAL))])
WRITING = GenerationSettings(LengthTarget(4, 8, 12))
ABOUT = "Questions to a bank."


def assessment_of(mistaken: dict[str, str]) -> ClassifierEvaluation:
    """The student is right except on these row ids, which it takes for another class.

    It is not sure enough of its mistakes for their labels to be suspected.
    """
    index = {name: i for i, name in enumerate(CLASSES)}
    probabilities = np.full((len(REAL), len(CLASSES)), 0.1)
    for i, row in enumerate(REAL):
        if row.id in mistaken:
            probabilities[i, index[row.label]] = 0.35
            probabilities[i, index[mistaken[row.id]]] = 0.45
        else:
            probabilities[i, index[row.label]] = 0.7
    gold = [row.label for row in REAL]
    metrics = evaluate(probabilities, gold, CLASSES)
    mined = mine(REAL, probabilities, CLASSES)
    return ClassifierEvaluation(-np.log(probabilities.max(axis=1)), metrics, metrics, mined)


RIGHT = assessment_of({})


def no_features(texts: Sequence[str]) -> None:
    """A student without features: classes are compared by their words."""


def targeted(*, packs: bool = False, **settings: Any) -> TargetedPrompts:
    given: dict[str, Any] = {"samples": 12, "rounds": 2, "n_shots": 3, **settings}
    glossary = Glossary(ABOUT, {"card_lost": "A card that is gone."})
    return TargetedPrompts(
        TAXONOMY, REAL, FOLDS, WRITING, embed=no_features, glossary=lambda: glossary,
        packs=lambda: packs, budget=lambda packed: 24, **given,
    )  # fmt: skip


def prompt(ask: WritePrompt) -> str:
    return ask.request.messages[-1].content


def ask_for(label: str, asks: Sequence[WritePrompt]) -> WritePrompt:
    return next(ask for ask in asks if label in ask.labels)


@pytest.mark.parametrize("packs", [True, False])
def test_a_round_asks_for_exactly_its_budget_and_says_why(packs: bool) -> None:
    asks = targeted(packs=packs).prompts(1, RIGHT, [])
    assert sum(ask.count for ask in asks) == 12
    assert all(sum(ask.wanted) == ask.count for ask in asks)
    assert [ask.id for ask in asks] == [f"r1-{i:04d}" for i in range(1, len(asks) + 1)]
    assert all(len(ask.reasons) == len(ask.labels) and all(ask.reasons) for ask in asks)


def test_a_small_teacher_is_asked_for_one_class_at_a_time() -> None:
    asks = targeted(samples=40).prompts(1, RIGHT, [])
    assert all(len(ask.labels) == 1 and ask.count <= 4 for ask in asks)


def test_a_teacher_that_can_read_is_asked_for_related_classes_together() -> None:
    asks = targeted(packs=True, allocation="even").prompts(1, RIGHT, [])
    (ask,) = asks
    assert ask.count == 12
    assert set(ask.labels) == set(CLASSES)
    text = prompt(ask)
    assert all(text.count(row.text) <= 1 for row in REAL)  # nothing is printed twice


def test_the_answer_can_only_have_the_classes_asked_for_and_their_counts() -> None:
    ask = targeted(packs=True).prompts(1, RIGHT, [])[0]
    schema = ask.request.schema
    assert schema is not None
    for number, (label, count) in enumerate(zip(ask.labels, ask.wanted, strict=True), start=1):
        part = schema["properties"][str(number)]["properties"]
        assert part["label"]["enum"] == [label]
        assert part["texts"]["minItems"] == part["texts"]["maxItems"] == count


def test_more_texts_than_were_asked_for_are_cut_off() -> None:
    ask = targeted(packs=True).prompts(1, RIGHT, [])[0]
    many = [label for label in ask.labels for _ in range(30)]
    taken = [
        label
        for label, fits in zip(
            many, ask.select([LabelledText("", label) for label in many]), strict=True
        )
        if fits
    ]
    assert tuple(taken.count(label) for label in ask.labels) == ask.wanted


def test_a_class_with_rows_shows_its_own_numbered_as_doubtful_answers_them() -> None:
    ask = ask_for("card_arrival", targeted(samples=40).prompts(1, RIGHT, []))
    assert [row.label for row in ask.shown] == ["card_arrival"] * 3
    for number, row in enumerate(ask.shown, start=1):
        assert f"{number}. {row.text}" in prompt(ask)
    assert "Where a new card is." in prompt(ask)
    assert "of about 3 words (from 3 to 3)" in prompt(ask)  # as long as its own six rows


def test_a_never_seen_class_shows_its_glossary_line_and_rows_of_its_nearest_classes() -> None:
    ask = ask_for("card_lost", targeted(samples=40).prompts(1, RIGHT, []))
    assert "A card that is gone." in prompt(ask)
    assert "of about 8 words (from 4 to 12)" in prompt(ask)
    labels = [row.label for row in ask.shown]
    assert sorted(labels) == sorted(CLASSES[:3])
    for number, row in enumerate(ask.shown, start=1):
        assert f"{number}. ({row.label.replace('_', ' ')}) {row.text}" in prompt(ask)


def test_a_text_has_the_rows_of_its_own_class_as_parents() -> None:
    ask = targeted(packs=True).prompts(1, RIGHT, [])[0]
    parents = ask.parents(LabelledText("", "top_up"))
    assert parents
    assert all(name.startswith("train:top_up") for name in parents)


def test_rows_of_one_class_in_a_prompt_come_from_few_folds() -> None:
    fold_of = {row.id: int(fold) for row, fold in zip(REAL, FOLDS, strict=True)}
    for ask in targeted(n_shots=2).prompts(1, RIGHT, []):
        for label in CLASSES:
            assert len({fold_of[row.id] for row in ask.shown if row.label == label}) <= 1


def test_weak_classes_get_more_texts() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in (1, 3, 4, 5)}
    asks = targeted(samples=40).prompts(1, assessment_of(wrong), [])
    counts = {name: sum(a.count for a in asks if name in a.labels) for name in CLASSES}
    assert counts["card_lost"] > counts["top_up"] > counts["card_arrival"]


def test_a_class_of_which_the_teacher_repeats_itself_is_not_asked_for_again() -> None:
    asking = targeted(allocation="even", samples=16)
    first = asking.prompts(1, RIGHT, [])
    new = [
        LabelledText(f"new {name} {i}", name, f"r1-{name}-{i}", Origin(1, "r1-0001"))
        for name in CLASSES[1:] for i in range(4)
    ]  # fmt: skip
    assert {name for ask in first for name in ask.labels} == set(CLASSES)
    again = asking.prompts(2, RIGHT, new)
    assert {name for ask in again for name in ask.labels} == set(CLASSES[1:])
    assert sum(ask.count for ask in again) == 12
    assert asking.prompts(3, RIGHT, new) == ()


def test_rows_take_turns_in_prompts() -> None:
    asking = targeted(samples=4, n_shots=2, allocation="even")
    seen: list[str] = []
    for number in range(1, 5):
        written = [
            LabelledText(f"{name} {number}", name, f"r{number}-{name}", Origin(number - 1, "r"))
            for name in CLASSES
        ]
        asks = asking.prompts(number, RIGHT, written)
        seen += [row.id for ask in asks for row in ask.shown if row.label == "top_up"]
    assert len(set(seen[:6])) == 6


EARLIER = [
    LabelledText(f"text {i} begins so and ends", "top_up", f"r1-0001-{i}", Origin(1, "r1-0001", ()))
    for i in range(9)
]


def test_a_small_teacher_sees_how_earlier_texts_begin_and_no_more_of_them() -> None:
    shown = prompt(ask_for("top_up", targeted(samples=40).prompts(2, RIGHT, EARLIER)))
    assert '"text 8 begins so …"' in shown
    assert "and ends" not in shown  # it would write it again, word for word
    assert "text 2" not in shown  # only the last six: prompts stay small


def test_a_teacher_that_can_read_sees_the_last_texts_of_the_class() -> None:
    shown = prompt(ask_for("top_up", targeted(packs=True, samples=40).prompts(2, RIGHT, EARLIER)))
    assert "- text 8 begins so and ends" in shown
    assert "text 4" not in shown


def test_suspected_rows_are_shown_last() -> None:
    row = next(row for row in RIGHT.mined.correct if row.example.id == "train:top_up:0")
    mined = mine(REAL, np.eye(4)[[CLASSES.index(r.label) for r in REAL]], CLASSES)
    doubted = ClassifierEvaluation(
        RIGHT.losses, RIGHT.validation, RIGHT.out_of_fold,
        type(mined)(mined.correct, mined.mistakes, (row,), mined.pairs),
    )  # fmt: skip
    ask = ask_for("top_up", targeted(samples=40, n_shots=5).prompts(1, doubted, []))
    assert "train:top_up:0" not in {shown.id for shown in ask.shown}


def test_instructions_reach_the_system_prompt_which_is_the_same_in_every_request() -> None:
    for asking in (targeted(), paper()):
        asks = [ask for number in (1, 2) for ask in asking.prompts(number, RIGHT, [])]
        systems = {ask.request.messages[0].content for ask in asks}
        assert len(systems) == 1  # static parts first: prefix caches hit
        assert ABOUT in systems.pop()


@pytest.mark.parametrize("mode", ["targeted", "paper"])
def test_the_same_seed_asks_the_same(mode: str) -> None:
    make = targeted if mode == "targeted" else paper
    assert make().prompts(1, RIGHT, []) == make().prompts(1, RIGHT, [])


def paper(**settings: Any) -> PaperPrompts:
    given = {"samples": 8, "few_shot": 5, "mined": 4, **settings}
    return PaperPrompts(TAXONOMY, REAL, WRITING, instructions=ABOUT, **given)


def test_the_papers_prompt_holds_taxonomy_report_and_the_three_kinds_of_samples() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in range(6)}
    assessment = assessment_of(wrong)
    (ask,) = paper().prompts(1, assessment, [])
    system = ask.request.messages[0].content
    assert all(name in system for name in CLASSES)
    text = prompt(ask)
    assert "f1-score" in text
    assert text.count("(student says card_payment") == len(assessment.mined.mistakes)
    assert "Hard negatives" in text
    assert "classifies correctly" in text
    assert ask.labels == CLASSES
    assert ask.count == 8
    assert {row.id for row in ask.shown} >= {row.example.id for row in assessment.mined.mistakes}


def test_an_even_allocation_looks_at_nothing_that_the_student_does() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in (1, 3, 4, 5)}
    asks = targeted(allocation="even").prompts(1, assessment_of(wrong), [])
    assert asks == targeted(allocation="even").prompts(1, RIGHT, [])
    assert [ask.count for ask in asks] == [3, 3, 3, 3]


def test_hard_negatives_take_turns_before_any_is_repeated() -> None:
    wrong = {f"train:{name}:{i}": "card_lost" for name in CLASSES[:3] for i in range(4)}
    assessment, asking = assessment_of(wrong), paper()

    def hard(number: int) -> list[str]:
        text = prompt(asking.prompts(number, assessment, [])[0]).partition("Hard negatives")[2]
        return [row.id for row in REAL if f"{row.text} =>" in text]

    first, second, third = hard(1), hard(2), hard(3)
    n = len(assessment.mined.mistakes)
    assert len(first) == len(second) == 4
    assert len({*first, *second, *third}) == min(n, 12)


def test_nearest_classes_go_by_name_parent_description_and_rows() -> None:
    nearest = nearest_classes(TAXONOMY, REAL, no_features)
    assert set(nearest["card_lost"]) == set(CLASSES) - {"card_lost"}
    assert nearest["card_lost"][-1] == "top_up"
    described = Taxonomy((LabelClass("a", "refund now"), LabelClass("b"), LabelClass("c")))
    rows = [
        LabelledText("a refund please", "c", "train:1"),
        LabelledText("wifi down", "b", "train:2"),
    ]
    assert nearest_classes(described, rows, no_features)["a"] == ("c", "b")


def test_classes_are_compared_by_the_students_features_where_it_has_any() -> None:
    def embed(texts: Sequence[str]) -> Any:
        return np.array([[1.0, 0.0] if "card p" in t or "top" in t else [0.0, 1.0] for t in texts])

    assert nearest_classes(TAXONOMY, [], embed)["top_up"][0] == "card_payment"


def test_long_texts_are_cut_in_prompts_and_answers_have_room() -> None:
    assert shorten("word " * 100) == " ".join(["word"] * 80) + " …"
    assert shorten("two\nlines") == "two lines"
    assert LengthTarget.of(["one"]) == LengthTarget(1, 2, 3)
    assert answer_tokens(4, LengthTarget(5, 9, 20)) > 4 * 20
