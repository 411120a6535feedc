"""Rows with entities: every form that a file has them in, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pgkd.data.spans import Span, find_units, has_tags, locate, parse_tagged
from pgkd.errors import DataError
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.tasks.slots.data import SlotText
from pgkd.tasks.slots.task import Slots

JAZZ = SlotText("play jazz now", (Span(5, 9, "genre"),))


def load(path: Path, **data: Any) -> Any:
    config = SlotsConfig.model_validate({"data": {"train": str(path), **data}})
    return Slots().load(config)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("column", "entities"),
    [
        ("entities", [{"start": 5, "end": 9, "label": "genre", "text": "jazz"}]),
        ("entities", json.dumps([{"start": 5, "end": 9, "label": "genre"}])),
        ("spans", [{"start": 5, "end": 10, "label": "genre", "token_start": 1}]),
        ("ents", [[5, 9, "genre"]]),
        ("label", [{"start": 5, "end": 9, "labels": ["genre"], "text": "jazz"}]),
    ],
)
def test_entities_are_read_in_the_forms_of_other_tools(
    tmp_path: Path, column: str, entities: Any
) -> None:
    rows = [{"text": "play jazz now", column: entities}, {"text": "stop", column: []}]
    found = load(write(tmp_path / "rows.jsonl", rows), **(
        {"entity_column": column} if column == "label" else {}
    ))  # fmt: skip
    assert [(row.text, row.entities) for row in found.train] == [
        (JAZZ.text, JAZZ.entities), ("stop", ()),
    ]  # fmt: skip
    assert Slots().choices(found) == ("genre",)


def test_tags_in_the_text_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text\n" play [jazz](genre) now"\n"a [b] \\[c](d), [e\\]f](g\\)h)"\n')
    first, second = load(path).train
    assert (first.text, first.entities) == (JAZZ.text, JAZZ.entities)
    assert (second.text, second.entities) == ("a [b] [c](d), e]f", (Span(14, 17, "g)h"),))
    assert has_tags("play [jazz](genre)")
    assert not has_tags("see [1] (a)")


def test_offsets_follow_the_text_that_is_kept(tmp_path: Path) -> None:
    row = {
        "text": "  caf\u00e9 👩\u200d🚀 e\u0301t\u00e9",
        "entities": [[7, 10, "emoji"], [11, 15, "time"]],
    }
    [kept, _] = load(write(tmp_path / "rows.jsonl", [row, {"text": "x", "entities": []}])).train
    assert [kept.text[s.start : s.end] for s in kept.entities] == ["👩\u200d🚀", "e\u0301t\u00e9"]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    entity = {"start": 0, "end": 4, "label": "genre"}
    wrong: list[Any] = [
        None, "no JSON", 7, [entity, entity], [{**entity, "end": 99}], [{**entity, "label": " "}],
        [{**entity, "text": "jazz"}], [{**entity, "start": "0"}], [[4, 5, "genre"]], ["jazz"],
    ]  # fmt: skip
    rows = [{"text": f"play jazz {i}", "entities": each} for i, each in enumerate(wrong)]
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "rows.jsonl", rows))
    said = str(caught.value)
    for number in range(1, len(wrong) + 1):
        assert f"train row {number}: " in said
    for reason in ("overlap", "not in its 11 characters", "not 'jazz'", "no label", "is empty"):
        assert reason in said


def test_rows_that_differ_in_case_and_spaces_agree(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"text": "play Jazz", "entities": [[5, 9, "genre"]]},
        {"text": "Play  jazz", "entities": [[6, 10, "genre"]]},
        {"text": "stop", "entities": []},
    ]
    assert len(load(write(tmp_path / "rows.jsonl", rows)).train) == 2
    rows[1]["entities"] = []
    with pytest.raises(DataError, match="several"):
        load(write(tmp_path / "rows.jsonl", rows))


def test_labels_come_from_a_list(tmp_path: Path) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text("genre: a kind of music\nartist: who plays\n")
    rows: list[Any] = [
        {"text": "play jazz", "entities": [[5, 9, "genre"]]}, {"text": "x", "entities": []},
    ]  # fmt: skip
    found = load(write(tmp_path / "rows.jsonl", rows), classes=str(classes))
    assert Slots().choices(found) == ("genre", "artist")
    assert found.details["classes"][0]["description"] == "a kind of music"
    rows[1]["entities"] = [[0, 1, "year"]]
    with pytest.raises(DataError, match="'year' is not in the list"):
        load(write(tmp_path / "rows.jsonl", rows), classes=str(classes))


def test_rows_without_any_entity_are_refused() -> None:
    with pytest.raises(DataError, match="No training row has an entity"):
        Slots().from_arrays(SlotsConfig(), ["play jazz", "stop"], [[], []])
    with pytest.raises(DataError, match="2 inputs, but 1 outputs"):
        Slots().from_arrays(SlotsConfig(), ["play jazz", "stop"], [[]])
    with pytest.raises(DataError, match="spelling alone"):
        Slots().from_arrays(SlotsConfig(), ["play [jazz](genre)", "play [pop](Genre)"])


@pytest.mark.parametrize(
    "row",
    [
        JAZZ,
        SlotText("stop", ()),
        SlotText("a: b\nc @3 a: b", (Span(0, 9, "x:y\\z\nw"), Span(10, 14, "x"))),
        SlotText("my song by my band", (Span(11, 13, "owner"),)),
    ],
)
def test_a_review_reads_back_what_it_shows(row: SlotText) -> None:
    assert row.revised(None, row.output).entities == row.entities
    assert row.revised(row.text, row.output).human_verified
    assert SlotText.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_person_edits_text_and_entities() -> None:
    assert JAZZ.output == "genre: jazz @5"
    assert JAZZ.revised("please play jazz", None).entities == (Span(12, 16, "genre"),)
    assert JAZZ.revised(None, "time: now\ngenre: jazz").entities == (
        Span(5, 9, "genre"), Span(10, 13, "time"),
    )  # fmt: skip
    assert JAZZ.revised(None, "").entities == ()
    for wrong in ("genre: pop", "jazz", "genre: jazz\nstyle: jazz", "genre:"):
        with pytest.raises(DataError, match="cannot be used"):
            JAZZ.revised(None, wrong)
    twice = SlotText("my song by my band", ())
    with pytest.raises(DataError, match="occurs 2 times"):
        twice.revised(None, "owner: my")


def test_a_value_is_found_as_a_whole_word() -> None:
    assert locate("tommy and my band", "my", "owner") == Span(10, 12, "owner")
    assert locate("my song by my band", "my", "owner", 2) == Span(11, 13, "owner")
    with pytest.raises(ValueError, match="does not occur 3 times"):
        locate("my song by my band", "my", "owner", 3)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("it's 5pm!", ["it", "'", "s", "5pm", "!"]),
        ("東京 e\u0301t\u00e9", ["東", "京", "e\u0301t\u00e9"]),
        ("👩🏽\u200d🚀ok", ["👩🏽\u200d", "🚀", "ok"]),
        (" \t", []),
    ],
)
def test_words_are_whole_characters(text: str, units: list[str]) -> None:
    assert [text[start:end] for start, end in find_units(text)] == units


def test_entities_that_cut_a_word_are_told() -> None:
    rows = Slots().from_arrays(SlotsConfig(), ["at [5](time)pm", "stop", "on [may 5](date)"])
    assert rows.warnings == (
        "entities that begin or end inside a word, answered as whole words: 1",
    )


def test_a_kind_of_file_is_recognised() -> None:
    task = Slots()
    assert task.recognises(("text", "entities"), [{"text": "play jazz", "entities": [[5, 9, "g"]]}])
    assert task.recognises(("text",), [{"text": "stop"}, {"text": "play [jazz](genre)"}])
    assert not task.recognises(("text", "label"), [{"text": "see [1]", "label": "genre"}])
    assert not task.recognises(("text", "entities"), [{"text": "play", "entities": "jazz"}])


def test_tags_hold_no_surprise() -> None:
    assert parse_tagged("[" * 2000 + "](a" * 500)[1] == ()
    with pytest.raises(ValueError, match="has no label"):
        parse_tagged("play [jazz]( )")
    with pytest.raises(ValueError, match="is empty"):
        parse_tagged("play [ ](genre)")
