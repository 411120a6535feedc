"""The gate of the Python API: what is no list of texts or labels is refused or read aright."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd import Distiller, FakeTeacher
from pgkd.errors import DataError, PgkdError, StudentError
from pgkd.tasks.classification.data.dataset import dataset_from_arrays
from pgkd.tasks.classification.students.linear import LinearStudent
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

pandas = pytest.importorskip("pandas")
torch = pytest.importorskip("torch")

TEXTS, LABELS = make_rows(10)
NAMES = sorted(set(LABELS))
NUMBERS = np.array([NAMES.index(label) for label in LABELS])
TABLE = pandas.DataFrame({"text": TEXTS, "label": LABELS})
NO_TEXTS: dict[str, Any] = {
    "a string": "reset my vpn",
    "bytes": b"reset my vpn",
    "a table": TABLE,
    "a mapping": {"text": TEXTS},
    "a set": set(TEXTS),
    "nothing": None,
    "a number": 7,
    "a matrix": np.array([TEXTS, TEXTS]),
}


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_what_is_no_list_of_texts_is_refused_at_every_entry(kind: str, tmp_path: Path) -> None:
    given = NO_TEXTS[kind]
    student = LinearStudent(NAMES).fit(TEXTS, LABELS)
    with pytest.raises(StudentError):
        student.predict(given)
    with pytest.raises(StudentError):
        LinearStudent(NAMES).fit(given, LABELS)
    distiller = Distiller(teacher=FakeTeacher(), out=tmp_path / "run")
    for rows in (
        {"texts": given, "labels": LABELS},
        {"texts": TEXTS, "labels": LABELS, "unlabelled": given},
        {"texts": TEXTS, "labels": LABELS, "validation": (given, LABELS)},
    ):
        with pytest.raises(PgkdError):
            distiller.fit(**rows)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "labels",
    [
        NUMBERS[:, None],
        torch.tensor(NUMBERS),
        [torch.tensor(number) for number in NUMBERS],
        NUMBERS.astype(np.float32),
        pandas.Series(NUMBERS, dtype="Int64", index=range(9, 49)),
        [str(number) for number in NUMBERS],
    ],
    ids=["column", "tensor", "tensors", "float32", "nullable", "text"],
)
def test_a_label_has_one_spelling_whatever_holds_it(labels: Any) -> None:
    assert dataset_from_arrays(TEXTS, labels).taxonomy.names == ("0", "1", "2", "3")


@pytest.mark.parametrize("value", [True, np.True_, torch.tensor(True), "true"])
def test_truth_has_one_spelling(value: Any) -> None:
    task = dataset_from_arrays(TEXTS, [value, "other"] * 20)
    assert task.taxonomy.names == ("other", "true")


@pytest.mark.parametrize(
    "labels",
    [np.eye(4)[NUMBERS], torch.eye(4)[NUMBERS], pandas.get_dummies(LABELS), np.array(7)],
    ids=["array", "tensor", "table", "scalar"],
)
def test_one_hot_rows_are_no_labels(labels: Any) -> None:
    with pytest.raises(DataError, match="labels"):
        dataset_from_arrays(TEXTS, labels)


@pytest.mark.parametrize(
    "missing",
    [None, pandas.NA, pandas.NaT, np.float32("nan"), np.datetime64("NaT"), Decimal("NaN"), " "],
    ids=repr,
)
def test_a_missing_cell_is_found_before_any_call(missing: Any, tmp_path: Path) -> None:
    teacher = FakeTeacher()
    distiller = Distiller(teacher=teacher, out=tmp_path / "run", student={"kind": "linear"})
    with pytest.raises(DataError, match="train row 40 has no label"):
        distiller.fit(TEXTS, [*LABELS[:-1], missing])
    with pytest.raises(DataError, match="train row 40 has no text"):
        distiller.fit([*TEXTS[:-1], missing], LABELS)
    with pytest.raises(DataError, match="class 5 has an empty name"):
        distiller.fit(TEXTS, LABELS, classes=[*NAMES, missing])
    with pytest.raises(DataError, match="Text 2 of the unlabelled texts"):
        distiller.fit(TEXTS, LABELS, unlabelled=["fine", missing])
    assert not teacher.requests


def test_float32_labels_with_a_gap_are_found() -> None:
    labels = NUMBERS.astype(np.float32)
    labels[3] = np.nan
    with pytest.raises(DataError, match="row 4 has no label"):
        dataset_from_arrays(TEXTS, labels)


def test_numbers_are_names_in_classes_as_in_labels() -> None:
    task = dataset_from_arrays(TEXTS, NUMBERS, classes=[0, 1, 2, 3, 4.0])
    assert task.taxonomy.names == ("0", "1", "2", "3", "4")


def test_broken_characters_are_found_before_any_call() -> None:
    with pytest.raises(DataError, match="Text 1 of the unlabelled"):
        Distiller(teacher=FakeTeacher()).fit(TEXTS, LABELS, unlabelled=["half \ud800"])
    with pytest.raises(StudentError, match="Text 2 has half a character"):
        LinearStudent(NAMES).fit(TEXTS, LABELS).predict(["fine", "half \ud800"])


def test_validation_rows_are_a_pair() -> None:
    with pytest.raises(DataError, match="no pair"):
        dataset_from_arrays(TEXTS, LABELS, validation=TABLE)


def test_an_iterator_is_no_list_for_a_student() -> None:
    student = LinearStudent(NAMES).fit(TEXTS, LABELS)
    with pytest.raises(StudentError, match="iterator"):
        student.predict(iter(TEXTS))  # type: ignore[arg-type]
