"""The two ways to ask: what the teacher sees, and what it must not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.evaluation import evaluate
from pgkd.guidance.asking import LengthTarget, Writing, answer_tokens, shorten
from pgkd.guidance.base import Assessment
from pgkd.guidance.mining import mine
from pgkd.guidance.paper import PaperAsking
from pgkd.guidance.relatedness import related_classes
from pgkd.guidance.targeted import TargetedAsking
from pgkd.task import Example, LabelClass, Origin, Taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.guidance.asking import Ask

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
    Example(f"{name} real {i}", name, f"train:{name}:{i}") for name in CLASSES[:3] for i in range(6)
]
FOLDS = np.array([i % 3 for i in range(len(REAL))])
WRITING = Writing(LengthTarget(4, 8, 12))
ABOUT = "Questions to a bank."


def assessment_of(mistaken: dict[str, str]) -> Assessment:
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
    return Assessment(metrics, metrics, mined, -np.log(probabilities.max(axis=1)))


RIGHT = assessment_of({})


def targeted(**settings: Any) -> TargetedAsking:
    given = {
        "samples": 12, "rounds": 2, "floor_share": 0.67, "per_request": 4, "shown_examples": 3,
        **settings,
    }  # fmt: skip
    return TargetedAsking(TAXONOMY, REAL, FOLDS, WRITING, describe=lambda: ABOUT, **given)


def prompt(ask: Ask) -> str:
    return ask.request.messages[-1].content


def ask_for(label: str, asks: Sequence[Ask]) -> Ask:
    return next(ask for ask in asks if ask.labels == (label,))


def test_a_round_asks_for_exactly_its_budget_and_says_why() -> None:
    asks = targeted().ask(1, RIGHT, [])
    assert sum(ask.count for ask in asks) == 12
    assert [ask.id for ask in asks] == [f"r1-{i:04d}" for i in range(1, len(asks) + 1)]
    assert all(len(ask.labels) == 1 and len(ask.reasons) == 1 and ask.reasons[0] for ask in asks)


def test_the_answer_can_only_have_the_class_asked_for_and_the_count() -> None:
    ask = targeted().ask(1, RIGHT, [])[0]
    schema = ask.request.schema
    assert schema is not None
    samples = schema["properties"]["samples"]
    assert samples["items"]["properties"]["label"]["enum"] == list(ask.labels)
    assert samples["minItems"] == samples["maxItems"] == ask.count


def test_a_class_with_rows_shows_its_own_numbered_as_doubtful_answers_them() -> None:
    ask = ask_for("card_arrival", targeted(samples=40).ask(1, RIGHT, []))
    own = [row for row in ask.shown if row.label == "card_arrival"]
    assert len(own) == 3
    assert list(ask.shown[:3]) == own
    for number, row in enumerate(own, start=1):
        assert f"{number}. {row.text}" in prompt(ask)
    assert "Where a new card is." in prompt(ask)
    assert "of about 8 words (from 4 to 12)" in prompt(ask)


def test_a_never_seen_class_shows_a_row_of_each_of_its_nearest_classes() -> None:
    ask = ask_for("card_lost", targeted().ask(1, RIGHT, []))
    assert "each with its class" in prompt(ask)
    labels = [row.label for row in ask.shown]
    assert sorted(labels) == sorted(CLASSES[:3])
    assert set(labels[:2]) == {"card_arrival", "card_payment"}  # before the one less alike
    for row in ask.shown:
        assert f'- class "{row.label.replace("_", " ")}": {row.text}' in prompt(ask)


def test_rows_of_one_prompt_come_from_few_folds() -> None:
    fold_of = {row.id: int(fold) for row, fold in zip(REAL, FOLDS, strict=True)}
    asks = targeted(shown_examples=2).ask(1, RIGHT, [])
    assert all(len({fold_of[row.id] for row in ask.shown}) == 1 for ask in asks)


def test_a_confused_pair_shows_both_sides_the_direction_and_the_mistakes() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in (1, 3, 4, 5)}
    asks = targeted(floor_share=0.0).ask(1, assessment_of(wrong), [])
    ask = next(ask for ask in asks if "confused" in ask.reasons[0])
    assert ask.labels == ("top_up",)
    assert '4 of 6 examined texts of "top up" were taken for "card payment"' in prompt(ask)
    such_as = prompt(ask).partition("such as:")[2].partition("Real examples")[0]
    assert such_as.count("- top_up real") == 3  # all are counted, three are shown
    theirs = prompt(ask).partition("which you must NOT write:")[2]
    assert theirs.count("card_payment real") == 3
    assert {row.label for row in ask.shown} == {"top_up", "card_payment"}


def test_the_direction_of_a_confusion_decides_which_side_is_written() -> None:
    wrong = {"train:card_payment:1": "top_up"}
    asks = targeted(floor_share=0.0).ask(1, assessment_of(wrong), [])
    ask = next(ask for ask in asks if "confused" in ask.reasons[0])
    assert ask.labels == ("card_payment",)


def test_rows_take_turns_in_prompts() -> None:
    asking = targeted(samples=4, shown_examples=2, floor_share=0.0)
    seen = [row.id for number in range(1, 13) for ask in asking.ask(number, RIGHT, [])
            for row in ask.shown if row.label == "top_up"]  # fmt: skip
    assert len(set(seen[:6])) == min(6, len(seen))


def test_a_request_shows_how_earlier_texts_begin_and_no_more_of_them() -> None:
    origin = Origin(1, "r1-0001", ())
    earlier = [
        Example(f"text {i} begins so and ends", "top_up", f"r1-0001-{i}", origin) for i in range(9)
    ]
    shown = prompt(ask_for("top_up", targeted(samples=40).ask(2, RIGHT, earlier)))
    assert '"text 8 begins so …"' in shown
    assert "and ends" not in shown  # a small teacher would write it again, word for word
    assert "text 2" not in shown  # only the last six: prompts stay small


def test_suspected_rows_are_shown_last() -> None:
    row = next(row for row in RIGHT.mined.correct if row.example.id == "train:top_up:0")
    mined = mine(REAL, np.eye(4)[[CLASSES.index(r.label) for r in REAL]], CLASSES)
    doubted = Assessment(
        RIGHT.validation, RIGHT.out_of_fold,
        type(mined)(mined.correct, mined.mistakes, (row,), mined.pairs), RIGHT.losses,
    )  # fmt: skip
    ask = ask_for("top_up", targeted(samples=40, shown_examples=5).ask(1, doubted, []))
    assert "train:top_up:0" not in {shown.id for shown in ask.shown}


def test_instructions_reach_the_system_prompt_which_is_the_same_in_every_request() -> None:
    for asking in (targeted(), paper()):
        asks = [ask for number in (1, 2) for ask in asking.ask(number, RIGHT, [])]
        systems = {ask.request.messages[0].content for ask in asks}
        assert len(systems) == 1  # static parts first: prefix caches hit
        assert ABOUT in systems.pop()


@pytest.mark.parametrize("mode", ["targeted", "paper"])
def test_the_same_seed_asks_the_same(mode: str) -> None:
    make = targeted if mode == "targeted" else paper
    assert make().ask(1, RIGHT, []) == make().ask(1, RIGHT, [])


def paper(**settings: Any) -> PaperAsking:
    given = {"samples": 8, "few_shot": 5, "mined": 4, **settings}
    return PaperAsking(TAXONOMY, REAL, WRITING, instructions=ABOUT, **given)


def test_the_papers_prompt_holds_taxonomy_report_and_the_three_kinds_of_samples() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in range(6)}
    assessment = assessment_of(wrong)
    (ask,) = paper().ask(1, assessment, [])
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


def test_the_report_and_the_hard_negatives_can_be_left_out() -> None:
    wrong = {f"train:{name}:{i}": "card_lost" for name in CLASSES[:3] for i in range(4)}
    assessment = assessment_of(wrong)
    blind = prompt(paper(report=False).ask(1, assessment, [])[0])
    assert "f1-score" not in blind
    assert "report" not in blind
    assert "Hard negatives" in blind
    mild = prompt(paper(hard_negatives=False).ask(1, assessment, [])[0])
    assert "Hard negatives" not in mild
    assert "f1-score" in mild
    assert mild.count("(student says card_lost") == 4  # as many mistakes as `mined` allows


def test_an_even_allocation_looks_at_nothing_that_the_student_does() -> None:
    wrong = {f"train:top_up:{i}": "card_payment" for i in (1, 3, 4, 5)}
    asks = targeted(allocation="even").ask(1, assessment_of(wrong), [])
    assert asks == targeted(allocation="even").ask(1, RIGHT, [])
    assert [ask.count for ask in asks] == [4, 4, 4]  # of 24 planned, six a class
    later = targeted(allocation="even")
    both = [ask for number in (1, 2) for ask in later.ask(number, RIGHT, [])]
    assert {name: sum(a.count for a in both if a.labels == (name,)) for name in CLASSES} == (
        dict.fromkeys(CLASSES, 6)
    )
    assert all("similar classes" not in prompt(ask) for ask in asks)


def test_hard_negatives_take_turns_before_any_is_repeated() -> None:
    wrong = {f"train:{name}:{i}": "card_lost" for name in CLASSES[:3] for i in range(4)}
    assessment, asking = assessment_of(wrong), paper()

    def hard(number: int) -> list[str]:
        text = prompt(asking.ask(number, assessment, [])[0]).partition("Hard negatives")[2]
        return [row.id for row in REAL if f"{row.text} =>" in text]

    first, second, third = hard(1), hard(2), hard(3)
    n = len(assessment.mined.mistakes)
    assert len(first) == len(second) == 4
    assert len({*first, *second, *third}) == min(n, 12)


def test_related_classes_go_by_name_parent_and_description() -> None:
    related = related_classes(TAXONOMY)
    assert set(related["card_lost"]) == set(CLASSES) - {"card_lost"}
    assert related["card_lost"][-1] == "top_up"
    described = Taxonomy(
        (
            LabelClass("a", "refund of a payment"),
            LabelClass("b", "wifi"),
            LabelClass("c", "refunds"),
        )
    )
    assert related_classes(described)["a"][0] == "c"


def test_long_texts_are_cut_in_prompts_and_answers_have_room() -> None:
    assert shorten("word " * 100) == " ".join(["word"] * 80) + " …"
    assert shorten("two\nlines") == "two lines"
    assert LengthTarget.of(["one"]) == LengthTarget(1, 2, 3)
    assert answer_tokens(4, LengthTarget(5, 9, 20)) > 4 * 20
