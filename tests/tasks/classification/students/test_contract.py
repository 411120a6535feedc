"""The contract of a student, held by every one of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from pgkd.errors import StudentError
from pgkd.tasks.classification.students import load_student, make_student
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pgkd.tasks.classification.students.base import Student

CLASSES = (*sorted(TOPICS), "never seen")
KINDS = ("linear", "static", "frozen", "finetune")
TEXTS, LABELS = make_rows(8)
NEW, GOLD = make_rows(6, start=30)


@pytest.fixture(params=KINDS)
def make(
    request: pytest.FixtureRequest, tiny_encoder: Path, tiny_embeddings: Path
) -> Callable[[], Student]:
    kind: str = request.param
    settings: dict[str, Any] = {}
    if kind == "static":
        settings = {"embeddings": str(tiny_embeddings)}
    elif kind != "linear":
        settings = {"encoder": str(tiny_encoder), "recipe": kind, "max_length": 32}
        kind = "encoder"
    return lambda: make_student(kind, CLASSES, seed=1, **settings)


def test_probabilities_are_one_row_a_text_and_sum_to_one(make: Callable[[], Student]) -> None:
    probabilities = make().fit(TEXTS, LABELS).predict_proba(NEW)
    assert probabilities.shape == (len(NEW), len(CLASSES))
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities.min() > 0  # also of the class without rows: its log loss is finite
    assert make().fit(TEXTS, LABELS).predict_proba([]).shape == (0, len(CLASSES))


def test_it_learns(make: Callable[[], Student]) -> None:
    student = make().tune(TEXTS, LABELS, seed=0).fit(TEXTS, LABELS)
    right = np.mean([a == b for a, b in zip(student.predict(NEW), GOLD, strict=True)])
    assert right > 0.6  # four classes: .25 by chance


def test_training_again_gives_the_same_bytes(make: Callable[[], Student], tmp_path: Path) -> None:
    for name in ("one", "two"):
        make().fit(TEXTS, LABELS).save(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_is_loaded_predicts_the_same(make: Callable[[], Student], tmp_path: Path) -> None:
    student = make().fit(TEXTS, LABELS)
    student.save(tmp_path / "saved")
    loaded = load_student(tmp_path / "saved")
    assert loaded.classes == CLASSES
    assert (loaded.predict_proba(NEW) == student.predict_proba(NEW)).all()


def test_a_saved_student_holds_no_code(make: Callable[[], Student], tmp_path: Path) -> None:
    make().fit(TEXTS, LABELS).save(tmp_path / "saved")
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
    for path in files:  # and each is what its name says: numbers under a JSON header, or plain text
        if path.suffix == ".safetensors":
            assert path.read_bytes()[8:9] == b"{"
            assert load_file(path)
        else:
            assert "\0" not in path.read_text(encoding="utf-8")


def test_a_prediction_does_not_depend_on_its_neighbours(make: Callable[[], Student]) -> None:
    student = make().fit(TEXTS, LABELS)
    together = student.predict_proba(NEW)
    assert student.predict_proba(NEW[::-1])[::-1] == pytest.approx(together, abs=1e-12)
    other = make().fit(TEXTS, LABELS)
    alone = np.concatenate([other.predict_proba([text]) for text in NEW])
    assert alone == pytest.approx(together, abs=1e-12)


def test_a_clone_forgets_the_training_and_keeps_the_settings(make: Callable[[], Student]) -> None:
    student = make().tune(TEXTS, LABELS, seed=0).fit(TEXTS, LABELS)
    clone = student.clone()
    with pytest.raises(StudentError, match="not fitted"):
        clone.predict_proba(NEW)
    before = student.predict_proba(NEW)
    assert (clone.fit(TEXTS, LABELS).predict_proba(NEW) == before).all()
    clone.fit(NEW, GOLD)
    assert (student.predict_proba(NEW) == before).all()


def test_tuning_leaves_what_was_trained_alone(make: Callable[[], Student]) -> None:
    student = make().fit(TEXTS, LABELS)
    before = student.predict_proba(NEW)
    student.tune(NEW, GOLD, seed=0)
    assert (student.predict_proba(NEW) == before).all()


def test_a_row_that_weighs_nothing_is_not_there(make: Callable[[], Student]) -> None:
    texts, labels = [*TEXTS, *NEW, "unheard of"], [*LABELS, *GOLD[1:], GOLD[0], "never seen"]
    weights = np.array([1.0] * len(TEXTS) + [0.0] * (len(NEW) + 1))
    found = make().fit(texts, labels, weights).predict_proba(NEW)
    assert (found == make().fit(TEXTS, LABELS).predict_proba(NEW)).all()


def test_fitting_again_starts_from_scratch(make: Callable[[], Student]) -> None:
    twice = make().fit(NEW, GOLD).fit(TEXTS, LABELS)
    assert (twice.predict_proba(NEW) == make().fit(TEXTS, LABELS).predict_proba(NEW)).all()


def test_weights_weigh(make: Callable[[], Student]) -> None:
    texts, labels = [*TEXTS, *TEXTS], [*LABELS, *LABELS[1:], LABELS[0]]  # second half mislabelled
    weights = np.array([1.0] * len(TEXTS) + [1e-6] * len(TEXTS))
    student = make().fit(texts, labels, weights)
    right = np.mean([a == b for a, b in zip(student.predict(TEXTS), LABELS, strict=True)])
    evenly = make().fit(texts, labels)
    muddled = np.mean([a == b for a, b in zip(evenly.predict(TEXTS), LABELS, strict=True)])
    assert right > muddled


@pytest.mark.parametrize(
    ("labels", "weights", "told"),
    [
        (["billing"], None, "2 texts, but 1 labels"),
        (["billing", "unknown"], None, "not classes of this student: unknown"),
        (["billing", "billing"], None, "at least two classes"),
        (["billing", "account"], [1.0], "2 rows, but 1 weights"),
        (["billing", "account"], [1.0, -1.0], "at least 0"),
        (["billing", "account"], [1.0, float("nan")], "at least 0"),
        (["billing", "account"], [1.0, 0.0], "at least two classes"),
    ],
)
def test_rows_that_cannot_be_learned_are_refused(
    make: Callable[[], Student], labels: list[str], weights: list[float] | None, told: str
) -> None:
    array = None if weights is None else np.array(weights)
    with pytest.raises(StudentError, match=told):
        make().fit(["one text", "another text"], labels, array)


def test_what_is_no_list_of_texts_is_refused(make: Callable[[], Student]) -> None:
    student = make().fit(TEXTS, LABELS)
    with pytest.raises(StudentError, match="Give a list"):
        student.predict("one text")
    with pytest.raises(StudentError, match="Text 2 is None"):
        student.predict(["text", None])  # type: ignore[list-item]
    with pytest.raises(StudentError, match="Text 1 is nan"):
        student.fit([float("nan"), "text"], ["billing", "account"])  # type: ignore[list-item]


@pytest.mark.parametrize("classes", ["ab", (), ("one",), ("one", "two", "one")])
@pytest.mark.parametrize("kind", ["linear", "encoder"])
def test_classes_that_make_no_task_are_refused(kind: str, classes: Any) -> None:
    with pytest.raises(StudentError, match=r"at least two classes|Repeated classes: one"):
        make_student(kind, classes)


def test_an_unfitted_student_says_so(make: Callable[[], Student], tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="not fitted"):
        make().predict_proba(["text"])
    with pytest.raises(StudentError, match="not fitted"):
        make().save(tmp_path / "saved")


def test_a_damaged_or_foreign_folder_is_refused(
    make: Callable[[], Student], tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match="not a saved student"):
        load_student(tmp_path)
    make().fit(TEXTS, LABELS).save(tmp_path / "saved")
    description = json.loads((tmp_path / "saved/student.json").read_text())
    (tmp_path / "saved/student.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(StudentError, match="format 99"):
        load_student(tmp_path / "saved")
    (tmp_path / "saved/student.json").write_text(json.dumps(description))
    (tmp_path / "saved/head.safetensors").write_bytes(b"damaged")
    with pytest.raises(StudentError, match="cannot be read"):
        load_student(tmp_path / "saved")


def test_two_classes_work_as_well_as_many() -> None:
    keep = [i for i, label in enumerate(LABELS) if label in ("account", "billing")]
    texts, labels = [TEXTS[i] for i in keep], [LABELS[i] for i in keep]
    student = make_student("linear", ("account", "billing")).fit(texts, labels)
    assert student.predict(texts) == labels
    assert student.predict_proba(texts).sum(axis=1) == pytest.approx(1)


def test_an_unknown_student_is_refused_with_those_there_are() -> None:
    with pytest.raises(StudentError, match="Choose from: encoder, static, linear"):
        make_student("forest", CLASSES)


def test_features_are_one_row_a_text_where_it_has_dense_ones(make: Callable[[], Student]) -> None:
    student = make().fit(TEXTS, LABELS)
    features = student.features(NEW)
    assert (features is None) == (student.kind == "linear")
    if features is not None:
        assert len(features) == len(NEW)
        assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
