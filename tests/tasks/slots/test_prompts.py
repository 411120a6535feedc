"""What the teacher is asked, and how its hostile replies are read."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

from pgkd.curation import Reason
from pgkd.data.spans import Span, find_span_errors
from pgkd.tasks.common.learning import Judged
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.tasks.slots.evaluation import slot_cells, slot_figures, spans_of
from pgkd.tasks.slots.prompts import (
    UNKNOWN_LABEL,
    WRONG_LABELS,
    WRONG_VALUE,
    SlotsPrompts,
    read_sample,
)
from pgkd.tasks.slots.task import Slots
from pgkd.teachers.base import Reply

TAGGED = [
    "play [jazz](genre) by [miles davis](artist)",
    "some [dark funk](genre) please",
    "the best of [nina simone](artist)",
    "stop it",
    "put on [blues](genre) from [1959](year)",
    "anything by [prince](artist)",
]
ROWS = Slots().from_arrays(SlotsConfig(), TAGGED)
FOLDS = np.array([0, 0, 0, 1, 1, 1])


def entity(value: str, label: str, text: str) -> dict[str, Any]:
    start = text.index(value)
    return {"start": start, "end": start + len(value), "label": label, "text": value}


def answers() -> list[dict[str, Any]]:
    """Right but for one error of each kind."""
    texts = [row.text for row in ROWS.train]
    found = [
        [entity("jazz", "genre", texts[0]), entity("davis", "artist", texts[0])],
        [entity("dark funk", "artist", texts[1])],
        [],
        [entity("stop", "genre", texts[3])],
        [entity("blues", "genre", texts[4]), entity("1959", "year", texts[4])],
        [entity("prince", "artist", texts[5])],
    ]
    return [{"entities": entities, "probability": 0.5} for entities in found]


def test_errors_are_of_four_kinds() -> None:
    found = [(i, e.kind, e.span.label) for i, es in ERRORS.items() for e in es]
    assert found == [
        ("train:1", "boundary", "artist"),
        ("train:2", "wrong_label", "genre"),
        ("train:3", "missed", "artist"),
        ("train:4", "invented", "genre"),
    ]
    [artist, genre, year] = CELLS
    assert (artist["n"], artist["missed"], artist["boundary"]) == (3, 1, 1)
    assert artist["error_rate"] == pytest.approx(5 / 7)
    assert artist["f1"] == pytest.approx(2 * 1 / (3 + 3))
    assert (genre["wrong_label"], genre["invented"], year["f1"]) == (1, 1, 1.0)


def test_figures_are_those_of_seqeval() -> None:
    figures = slot_figures(answers(), ROWS.train)
    assert next(iter(figures)) == "micro_f1"
    assert figures["precision"] == pytest.approx(4 / 7)
    assert figures["recall"] == pytest.approx(4 / 7)
    assert figures["micro_f1"] == pytest.approx(4 / 7)
    assert figures["macro_f1"] == pytest.approx(np.mean([2 / 6, 2 * 2 / 6, 1]))
    assert figures["exact"] == pytest.approx(2 / 6)
    assert slot_figures([], [])["micro_f1"] == 1.0


ERRORS = {
    row.id: find_span_errors(row.entities, spans_of(answer))
    for row, answer in zip(ROWS.train, answers(), strict=True)
}
JUDGED = Judged(ROWS.train, tuple(answers()), np.zeros(6))
CELLS = slot_cells(JUDGED, ("artist", "genre", "year"))


def prompts(**guidance: Any) -> list[Any]:
    config = SlotsConfig.model_validate({"texts": 24, "rounds": 1, "guidance": guidance})
    return SlotsPrompts(config, ROWS, FOLDS).prompts(
        1, [{**cell, "errors": ERRORS} for cell in CELLS], ()
    )


def test_weak_labels_get_more_texts() -> None:
    asked = {prompt.cell: prompt.count for prompt in prompts(texts_per_request=50)}
    assert asked["artist"] > asked["year"]
    even = {p.cell: p.count for p in prompts(texts_per_request=50, allocation="even")}
    assert set(even.values()) == {8}


def test_a_request_shows_rows_of_one_fold_and_what_is_wrong_in_them() -> None:
    fold = dict(zip((row.id for row in ROWS.train), FOLDS.tolist(), strict=True))
    found = ""
    for prompt in prompts():
        user = prompt.request.messages[1].content
        assert len({fold[row.id] for row in prompt.shown}) == 1
        for row in ROWS.train:
            if fold[row.id] != fold[prompt.shown[0].id]:
                assert row.text not in user
        found += user
    assert 'artist "miles davis" is given as "davis"' in found
    assert 'genre "dark funk" is taken for artist' in found
    assert "maxLength" not in json.dumps(prompts()[0].request.schema)


def test_labels_come_together_as_in_rows() -> None:
    [year] = [prompt for prompt in prompts() if prompt.cell == "year"]
    asked = year.request.messages[1].content.split("have these labels:")[1]
    assert set(asked.split("\n")[1:-2]) == {
        f'{i}. ["genre", "year"]' for i in range(1, year.count + 1)
    }


def item(text: str, *entities: Any) -> dict[str, Any]:
    return {
        "text": text,
        "entities": [dict(zip(("label", "value"), e, strict=True)) for e in entities],
    }


def read(items: Any) -> Any:
    [*made] = prompts()
    prompt = next(p for p in made if p.cell == "genre")
    reply = Reply(items if isinstance(items, str) else json.dumps({"samples": items}), "fake")
    return prompt.parse(reply, prompt.count)


def test_values_are_found_in_the_text() -> None:
    sample = item(
        "play  cafe\u0301 jazz 🎷 by sade", ("genre", "cafe\u0301 jazz"), ("artist", "sade")
    )
    [example] = read([sample]).accepted
    assert example.text == "play caf\u00e9 jazz 🎷 by sade"
    assert example.entities == (Span(5, 14, "genre"), Span(20, 24, "artist"))
    again = item("funk and more funk", ("genre", "funk"))
    again["entities"][0]["occurrence"] = 2
    assert read([again]).accepted[0].entities == (Span(14, 18, "genre"),)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (item("play funk", ("genre", "jazz")), WRONG_VALUE),
        (item("funk and more funk", ("genre", "funk")), WRONG_VALUE),
        (item("play funk", ("genre", "funk"), ("artist", "funk")), WRONG_VALUE),
        (item("play funk", ("genre", "")), WRONG_VALUE),
        (item("play funk", ("style", "funk")), UNKNOWN_LABEL),
        (item("play prince", ("artist", "prince")), WRONG_LABELS),
        (item("play funk"), WRONG_LABELS),
        (item("play [funk](genre)", ("genre", "funk")), Reason.PLACEHOLDER),
        (item("play funk", ("genre", 7)), Reason.WRONG_TYPE),
        ({"text": "play funk", "entities": "funk"}, Reason.WRONG_TYPE),
        ({"text": "play funk", "entities": ["funk"]}, Reason.WRONG_TYPE),
        ({"text": "play funk", "entities": [{"label": "genre", "value": "f"}] * 999},
         Reason.WRONG_TYPE),
        ({"text": None, "entities": []}, Reason.WRONG_TYPE),
        ("play funk", Reason.WRONG_TYPE),
    ],
)  # fmt: skip
def test_a_faulty_sample_is_rejected_with_its_reason(sample: Any, reason: str) -> None:
    good = item("more funk", ("genre", "funk"))
    parsed = read([sample, good])
    assert [example.text for example in parsed.accepted] == ["more funk"]
    assert [rejected.reason for rejected in parsed.rejected] == [reason]


@pytest.mark.parametrize(
    "reply", ["", "no", "[" * 100_000, '{"samples": [{"text": "a b", "ent', "x" * 10_000_000, "{}"]
)
def test_a_hostile_reply_raises_nothing(reply: str) -> None:
    parsed = read(reply)
    assert not parsed.accepted
    assert parsed.rejected


def test_an_occurrence_is_a_number_of_the_text() -> None:
    reader = partial(read_sample, frozenset({"genre"}), "genre")
    for wrong in (0, -1, 10**30):
        sample = item("funk and more funk", ("genre", "funk"))
        sample["entities"][0]["occurrence"] = wrong
        with pytest.raises(ValueError, match="does not occur"):
            reader(sample)
