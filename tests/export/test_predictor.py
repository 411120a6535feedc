"""`pgkd.load`: the same answer beside whatever texts, without torch, from whole folders only."""

from __future__ import annotations

import copy as copying
import json
import pickle
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pgkd
from pgkd.errors import ExportError, MissingExtraError, StudentError
from pgkd.export import predictor as predictors
from pgkd.export.export import export
from pgkd.export.predictor import load
from pgkd.tasks.classification.exporting import ranked
from tests.behaviour.test_light import python
from tests.conftest import make_rows
from tests.export.conftest import run_of

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [*make_rows(10, start=200)[0], "", "one", "invoice " * 300]
TRAINERS = ("torch", "transformers", "sklearn", "scipy")


@pytest.fixture
def folder(exports: Path, tmp_path: Path) -> Path:
    """A copy of the int8 export, to be damaged."""
    shutil.copytree(exports / "onnx-int8", tmp_path / "export")
    return tmp_path / "export"


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_an_answer_does_not_depend_on_the_batch(
    exports: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load(exports / name)
    together = predictor.predict_proba(TEXTS)
    alone = np.concatenate([predictor.predict_proba([text]) for text in TEXTS])
    turned = predictor.predict_proba(TEXTS[::-1])[::-1]
    monkeypatch.setattr(predictors, "_BATCH", 10_000)
    wide = predictor.predict_proba(TEXTS)
    for other in (alone, turned, wide):
        assert other == pytest.approx(together, abs=5e-6)


def test_texts_longer_than_the_student_reads_are_cut(exports: Path) -> None:
    predictor = load(exports / "onnx")
    longer = predictor.predict_proba(["invoice " * 300, "invoice " * 30])
    assert (longer[0] == longer[1]).all()


def test_classes_are_ranked_and_the_first_is_the_one_that_is_predicted() -> None:
    """Equally probable ones stand in the order of the columns, as `argmax` takes the first."""
    row, classes = np.array([0.1, 0.3, 0.2, 0.3, 0.1]), ("a", "b", "c", "d", "e")
    assert ranked(row, classes, 3) == [("b", 0.3), ("d", 0.3), ("c", 0.2)]
    assert ranked(row, classes, 1) == [(classes[row.argmax()], 0.3)]
    assert [name for name, _ in ranked(row, classes, 9)] == ["b", "d", "c", "a", "e"]


def test_probabilities_are_of_every_class(exports: Path) -> None:
    predictor = load(exports / "onnx")
    found = predictor.predict_proba(TEXTS)
    assert found.shape == (len(TEXTS), len(predictor.classes))
    assert found.sum(axis=1) == pytest.approx(1)
    assert predictor.predict(TEXTS) == [predictor.classes[i] for i in found.argmax(axis=1)]
    assert predictor.predict([]) == []
    assert predictor.predict_proba([]).shape == (0, len(predictor.classes))


def test_what_is_no_list_of_texts_is_refused(exports: Path) -> None:
    predictor = load(exports / "onnx")
    with pytest.raises(StudentError, match="Give a list of texts"):
        predictor.predict("one text")
    with pytest.raises(StudentError, match="Text 2 is None"):
        predictor.predict(["a", None])


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_an_encoder_is_served_without_what_trained_it(exports: Path, name: str) -> None:
    loaded = python(
        f"import pgkd, sys; pgkd.load({str(exports / name)!r}).predict(['invoice', 'parcel']); "
        f"print([m for m in {TRAINERS} if m in sys.modules])"
    )
    assert loaded == "[]"


def test_a_static_student_is_served_without_onnxruntime_too(
    tmp_path: Path, tiny_embeddings: Path
) -> None:
    run = run_of(tmp_path / "run", kind="static", embeddings=str(tiny_embeddings))
    export(run, "auto", tmp_path)
    loaded = python(
        f"import pgkd, sys; pgkd.load({str(tmp_path / 'plain')!r}).predict(['invoice', 'parcel']); "
        f"print([m for m in {(*TRAINERS, 'onnxruntime')} if m in sys.modules])"
    )
    assert loaded == "[]"


def test_loading_is_quick(exports: Path) -> None:
    """In seconds of CPU: half a second is the aim, and a busy machine may take twice as long."""
    spent = python(
        f"import time, pgkd; pgkd.load({str(exports / 'onnx')!r}); print(time.process_time())"
    )
    assert float(spent) < 1.0


def test_it_needs_the_extra_serve(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pgkd\[serve\]'"):
        load(exports / "onnx")


def test_a_folder_for_transformers_is_not_ours_to_load(exports: Path) -> None:
    with pytest.raises(ExportError, match="is for transformers"):
        pgkd.load(exports / "huggingface")


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no export: it has no export.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "head.safetensors"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_file_is_told_by_its_name(folder: Path, name: str, how: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ExportError, match=name):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "this pgkd reads 1"),
        ({"details": {"classes": None}}, "damaged"),
        ({"details": {"classes": ["one"]}}, "damaged"),
        ({"details": {"classes": ["one", "two"], "max_length": 24}}, "do not fit"),
        ({"format": "exe"}, "no format 'exe'"),
        ({"format": ["onnx"]}, "no format"),
        ({"format": "plain"}, "not a saved student"),
        ({"details": {"classes": ["one", "two"], "max_length": "many"}}, "damaged"),
        ({"details": {"classes": ["one", "two"]}}, "damaged"),
        ({"task": "chess"}, "damaged"),
        ({"details": {"classes": ["one", "two"], "max_length": -1}}, "damaged"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_a_damaged_description_is_refused(
    folder: Path, change: dict[str, object], message: str
) -> None:
    path = folder / "export.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ExportError, match=message):
        load(folder)


def test_a_head_of_another_student_is_refused(folder: Path) -> None:
    arrays = load_file(folder / "head.safetensors")
    save_file({**arrays, "weights": arrays["weights"][:, :8].copy()}, folder / "head.safetensors")
    with pytest.raises(ExportError, match="do not fit"):
        load(folder)


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_a_predictor_can_be_sent_to_another_process(exports: Path, name: str) -> None:
    predictor = load(exports / name)
    for copy in (pickle.loads(pickle.dumps(predictor)), copying.deepcopy(predictor)):
        assert copy.classes == predictor.classes
        np.testing.assert_array_equal(copy.predict_proba(TEXTS), predictor.predict_proba(TEXTS))


def test_half_a_character_is_told_with_the_number_of_its_text(exports: Path) -> None:
    with pytest.raises(StudentError, match="Text 2 has half a character"):
        load(exports / "onnx").predict(["fine", "half \ud800"])
