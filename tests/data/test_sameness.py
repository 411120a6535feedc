"""One key says which texts and which classes are the same, wherever that is asked."""

from __future__ import annotations

import unicodedata

import pytest

from pgkd.errors import DataError
from pgkd.tasks.classification.data.dataset import dataset_from_arrays
from pgkd.tasks.classification.data.pool import make_pool
from pgkd.text import letters, shown, text_key

VARIANTS = (
    unicodedata.normalize("NFC", "Café au lait"),
    unicodedata.normalize("NFD", "café au lait"),
    "café\u200b au lait",
    "café au\u00a0lait",
    " café  au\tlait\ufeff",
    "CAFÉ AU LAIT",
    "ca\u00adfé au lait",
)
OTHERS = [f"text {i}" for i in range(10)]


def test_variants_that_no_reader_can_tell_apart_have_one_key() -> None:
    assert {text_key(text) for text in VARIANTS} == {"café au lait"}
    assert {letters(text) for text in VARIANTS} == {"café au lait"}
    assert text_key("x²") != text_key("x2")
    assert text_key(" \u200b\ufeff\n") == ""


def test_variants_are_used_once_and_never_in_both_parts() -> None:
    task = dataset_from_arrays([*OTHERS, *VARIANTS], ["a", "b"] * 5 + ["a"] * len(VARIANTS))
    assert len(task.train) + len(task.validation) == len(OTHERS) + 1
    assert f"train: repeated rows left out: {len(VARIANTS) - 1}" in task.warnings


def test_a_variant_with_another_label_is_a_conflict() -> None:
    with pytest.raises(DataError, match="row 11 'a', train row 12 'b'"):
        dataset_from_arrays([*OTHERS, *VARIANTS[:2]], [*["a", "b"] * 5, "a", "b"])


def test_a_variant_of_a_validation_row_is_told() -> None:
    with pytest.raises(DataError, match="train row 11 has the same text as validation row 1"):
        dataset_from_arrays(
            [*OTHERS, VARIANTS[0]], [*["a", "b"] * 5, "a"], validation=([VARIANTS[1]], ["a"])
        )


def test_a_pool_holds_one_of_the_variants() -> None:
    assert len(make_pool(VARIANTS).texts) == 1


def test_a_text_of_nothing_that_can_be_seen_is_none() -> None:
    with pytest.raises(DataError, match="row 11 has no text"):
        dataset_from_arrays([*OTHERS, "\u200b\ufeff"], [*["a", "b"] * 5, "a"])


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        ("Billing", "classes that differ in case only (1): billing / Billing"),
        ("billing\u200b", "classes that look the same (1): billing / billing\\u200b"),
        ("\ufeffbilling", "classes that look the same (1): billing / \\ufeffbilling"),
    ],
)
def test_twin_classes_are_told_and_what_cannot_be_seen_is_shown(twin: str, told: str) -> None:
    labels = ["billing", twin] * 5
    task = dataset_from_arrays(OTHERS, labels, classes=["billing", twin])
    assert told in task.warnings


@pytest.mark.parametrize(
    "names", [("acc access", "acc  access"), ("acc access", "acc\xa0access"), ("é", "é")]
)
def test_spaces_and_unicode_forms_make_twins_too(names: tuple[str, str]) -> None:
    first, second = names
    second = unicodedata.normalize("NFD", second)
    task = dataset_from_arrays(OTHERS, [first, second] * 5)
    assert [w for w in task.warnings if "look the same" in w]


def test_one_and_one_point_nought_are_twins_where_a_file_has_both() -> None:
    task = dataset_from_arrays(OTHERS, ["1", "1.0"] * 5)
    assert "classes that look the same (1): 1 / 1.0" in task.warnings


def test_a_label_with_something_invisible_gets_its_hint() -> None:
    with pytest.raises(DataError, match=r"label 'a\\u200b', which is not .*do you mean 'a'\?"):
        dataset_from_arrays(["x", "y"], ["a\u200b", "b"], classes=["a", "b"])


def test_what_a_message_shows_is_short_and_cannot_drive_a_terminal() -> None:
    assert shown("\x1b[2Jname\x9b") == "\\x1b[2Jname\\x9b"
    assert len(shown("x" * 10**6)) < 100
