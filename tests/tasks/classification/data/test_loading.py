"""Checks: everything that is wrong is told at once, before any teacher is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import DataError
from pgkd.tasks.classification.data.dataset import dataset_from_arrays, load_dataset, read_rows
from pgkd.tasks.classification.data.examples import LabelClass, Taxonomy, read_taxonomy
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{t},{c}\n" for t, c in rows), encoding="utf-8")
    return path


def problems_of(**settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(**settings)
    return str(caught.value)


GOOD = [(f"text {i}", "ab"[i % 2]) for i in range(10)]


def test_all_problems_come_at_once_with_their_rows(tmp_path: Path) -> None:
    train = write(
        tmp_path / "train.csv",
        [*GOOD, ("", "a"), ("no label", ""), ("odd one", "aa"), ("twice", "a"), ("Twice ", "b")],
    )
    held = write(tmp_path / "held.csv", [("text 3", "b"), ("other", "c")])
    (tmp_path / "classes.yaml").write_text("[a, b]", encoding="utf-8")
    told = problems_of(train=train, validation=held, classes=tmp_path / "classes.yaml")
    for part in (
        "train row 11 has no text",
        "train row 12 has no label",
        "train row 13 has the label 'aa', which is not in the class list; do you mean 'a'?",
        "the same text has several labels: train row 14 'a', train row 15 'b'",
        "train row 4 has the same text as validation row 1",
        "validation row 2 has the label 'c'",
        "on_conflict 'drop'",
        str(train),
        str(held),
    ):
        assert part in told


def test_a_missing_column_is_told_with_those_present(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", GOOD)
    told = problems_of(train=train, text_column="body", label_column="intent")
    assert "no column 'body'; it has 'text', 'label'" in told
    assert "no column 'intent'" in told


def test_many_problems_of_a_kind_are_counted(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*GOOD, *[("", "a")] * 50])
    told = problems_of(train=train)
    assert told.count("has no text") == 20
    assert "and 30 more rows without a text" in told


def test_a_text_with_many_rows_is_told_once(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*GOOD, *[("same", "ab"[i % 2]) for i in range(8)]])
    told = problems_of(train=train)
    assert told.count("the same text has several labels") == 1
    assert "train row 15 'a' and 3 more" in told


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [("x", "a"), ("y", "a")])
    assert "one class only: a" in problems_of(train=train)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "has no rows" in problems_of(train=write(tmp_path / "train.csv", []))


def test_files_that_cannot_be_read_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("[a, a, b]", encoding="utf-8")
    told = problems_of(
        train=tmp_path / "no.csv",
        validation=write(tmp_path / "held.csv", [("", "a")]),
        classes=tmp_path / "classes.yaml",
    )
    assert "There is no file" in told
    assert "validation row 1 has no text" in told
    assert "class 'a' is listed twice" in told


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,text,label\nx,y,a\n", encoding="utf-8")
    assert "several columns 'text'" in problems_of(train=tmp_path / "t.csv")


def test_cells_that_are_no_text_or_no_label_are_told(tmp_path: Path) -> None:
    lines = [
        '{"text": 7, "label": "a"}',
        '{"text": "x", "label": ["a", "b"]}',
        '{"text": "y", "label": NaN}',
        '{"text": "half \\ud800", "label": "a"}',
        '{"text": "z"}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    told = problems_of(train=tmp_path / "t.jsonl")
    for part in (
        "train row 1 has no text but a value of type int",
        "train row 2 has no single label but a value of type list",
        "train row 3 has no label",
        "train row 4 has half a character",
        "train row 5 has no label",
    ):
        assert part in told


def test_numbers_and_booleans_are_names_of_classes(tmp_path: Path) -> None:
    lines = [f'{{"text": "text {i}", "label": {("1", "true")[i % 2]}}}' for i in range(10)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert load_dataset(train=tmp_path / "t.jsonl").taxonomy.names == ("1", "true")


def test_a_label_in_another_case_gets_its_hint(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("[sport, news]", encoding="utf-8")
    train = write(tmp_path / "t.csv", [("x", "SPORT"), ("y", "news")])
    told = problems_of(train=train, classes=tmp_path / "classes.yaml")
    assert "train row 1 has the label 'SPORT', which is not in the class list; " in told
    assert "do you mean 'sport'?" in told


def test_nothing_left_to_validate_on_is_refused(tmp_path: Path) -> None:
    told = problems_of(
        train=write(tmp_path / "t.csv", GOOD),
        validation=write(tmp_path / "v.csv", [("same", "a"), ("same", "b")]),
        on_conflict="drop",
    )
    assert "no validation row is left" in told


def test_a_limit_that_leaves_one_class_is_refused(tmp_path: Path) -> None:
    rows = [*[(f"text {i}", "a") for i in range(200)], ("lonely", "rare")]
    assert "limit of 5 rows" in problems_of(train=write(tmp_path / "t.csv", rows), limit=5)


def test_a_class_that_only_dropped_rows_have_is_still_a_class(tmp_path: Path) -> None:
    train = write(tmp_path / "t.csv", [*GOOD, ("twice", "a"), ("twice", "rare")])
    task = load_dataset(train=train, on_conflict="drop")
    assert task.taxonomy.names == ("a", "b", "rare")
    assert "classes without a training row (1): rare" in task.warnings


def test_contradicting_rows_can_be_dropped(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*GOOD, ("twice", "a"), ("twice", "b")])
    held = write(tmp_path / "held.csv", [("text 3", "b"), ("new", "a")])
    task = load_dataset(train=train, validation=held, on_conflict="drop")
    texts = {row.text for row in task.train}
    assert "twice" not in texts
    assert "text 3" not in texts
    assert len(task.validation) == 2
    assert task.warnings == (
        "train: rows dropped, as their text has several labels: 2",
        "train: rows dropped, as their text is a validation row: 1",
    )


def test_repeated_rows_are_used_once_and_told(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*GOOD, GOOD[0]])
    task = load_dataset(train=train)
    assert len(task.train) + len(task.validation) == len(GOOD)
    assert task.warnings == ("train: repeated rows left out: 1",)


def test_a_class_without_rows_is_allowed_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("[a, b, never_seen]", encoding="utf-8")
    task = load_dataset(train=write(tmp_path / "t.csv", GOOD), classes=tmp_path / "classes.yaml")
    assert "never_seen" in task.taxonomy.names
    assert task.warnings == ("classes without a training row (1): never_seen",)


def test_classes_that_differ_in_case_only_are_doubted() -> None:
    texts = [f"text {i}" for i in range(12)]
    task = dataset_from_arrays(texts, ["Sport", "sport", "news"] * 4)
    assert task.warnings == ("classes that differ in case only (1): Sport / sport",)


def test_a_validation_file_is_used_as_it_is(tmp_path: Path) -> None:
    held = [("new 1", "a"), ("new 2", "b"), ("new 3", "b")]
    task = load_dataset(
        train=write(tmp_path / "t.csv", GOOD), validation=write(tmp_path / "v.csv", held)
    )
    assert [(row.text, row.label) for row in task.validation] == held
    assert len(task.train) == len(GOOD)


def test_the_limit_draws_before_the_split_and_keeps_all_classes(tmp_path: Path) -> None:
    rows = [*[(f"text {i}", "ab"[i % 2]) for i in range(200)], ("lonely", "rare")]
    train = write(tmp_path / "t.csv", rows)
    task = load_dataset(train=train, limit=50, seed=3)
    assert len(task.train) + len(task.validation) == 50
    assert task.taxonomy.names == ("a", "b", "rare")
    again = load_dataset(train=train, limit=50, seed=3)
    other = load_dataset(train=train, limit=50, seed=4)
    assert (task.train, task.validation) == (again.train, again.validation)
    assert task.train != other.train


def test_ids_name_the_row_of_the_file(tmp_path: Path) -> None:
    task = load_dataset(train=write(tmp_path / "t.csv", GOOD))
    for part in (task.train, task.validation):
        numbers = [int(row.text.split()[1]) + 1 for row in part]
        assert [row.id for row in part] == [f"train:{number}" for number in numbers]
        assert numbers == sorted(numbers)


def test_arrays_get_the_same_checks() -> None:
    texts, labels = make_rows(5)
    task = dataset_from_arrays(texts, labels, classes=["billing", "delivery", "account", "product"])
    assert task.taxonomy.names[0] == "billing"
    with pytest.raises(DataError, match="train row 1 has no text"):
        dataset_from_arrays(["", *texts], ["billing", *labels])
    with pytest.raises(DataError, match="20 texts, but 19 labels"):
        dataset_from_arrays(texts, labels[1:])


def test_few_rows_all_train_and_a_thousand_spare_a_fifth() -> None:
    texts, labels = make_rows(10)
    few = dataset_from_arrays(texts, labels)
    assert (len(few.train), few.validation) == (40, ())
    many = [f"{text} {i}" for i in range(25) for text in texts]
    task = dataset_from_arrays(many, labels * 25)
    assert (len(task.train), len(task.validation)) == (800, 200)


def test_too_few_rows_for_a_validation_part_are_refused() -> None:
    with pytest.raises(DataError, match="leave none for validation"):
        dataset_from_arrays(["x", "y"], ["a", "b"], validation_fraction=0.2)


def test_rows_to_evaluate_on_may_repeat_but_not_be_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", [("x", "a"), ("x", "a"), ("y", "b")])
    assert read_rows(path, "text", "label", classes=["a", "b"])[0] == ["x", "x", "y"]
    with pytest.raises(DataError, match="row 3 has the label 'b'"):
        read_rows(path, "text", "label", classes=["a", "c"])
    path = write(tmp_path / "holes.csv", [("", "a"), ("x", "")])
    with pytest.raises(DataError) as caught:
        read_rows(path, "text", "label", classes=["a", "b"])
    assert caught.value.problems == ("row 1 has no text", "row 2 has no label")


@pytest.mark.parametrize(
    "text",
    [
        "[a, b]",
        "- a\n- {name: b, description: bees, parent: insects}",
        "a:\nb: {description: bees, parent: insects}",
        "classes: {a: '', b: bees}",
    ],
)
def test_label_namess_come_in_several_forms(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.yaml").write_text(text, encoding="utf-8")
    assert read_taxonomy(tmp_path / "classes.yaml").names == ("a", "b")


def test_all_that_is_wrong_with_a_label_names_is_told(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("[a, {label: b}, yes, {}]", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_taxonomy(tmp_path / "classes.yaml")
    first, second, third = caught.value.problems
    assert "entry 2: unknown keys label" in first
    assert "entry 3: name True is no text; put it in quotes" in second
    assert "entry 4: it has no name" in third


def test_descriptions_and_parents_are_read(tmp_path: Path) -> None:
    text = "a: as in ant\nb:\n  description: >\n    a bee\n  parent: insects\nc:\n"
    (tmp_path / "classes.yaml").write_text(text, encoding="utf-8")
    assert read_taxonomy(tmp_path / "classes.yaml").classes == (
        LabelClass("a", "as in ant"),
        LabelClass("b", "a bee", "insects"),
        LabelClass("c"),
    )


@pytest.mark.parametrize("text", ["just words", "[a, b", "3"])
def test_something_else_than_a_label_names_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="class list .*classes.yaml"):
        read_taxonomy(tmp_path / "classes.yaml")


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", ""]])
def test_a_taxonomy_needs_two_names_all_different(names: list[str]) -> None:
    with pytest.raises(DataError):
        Taxonomy.from_names(names)
