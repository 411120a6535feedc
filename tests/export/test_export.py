"""Exports: made, compared with their student, and refused where they do not agree."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.errors import ConfigError, ExportError
from pgkd.export import export as exporting
from pgkd.export import graph, huggingface
from pgkd.export.export import EXACT, ROUNDED, Parity, compare, export
from pgkd.export.predictor import load
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.task import Classification
from tests.conftest import make_rows
from tests.export.conftest import run_of, spoil_int8

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

TEXTS, LABELS = make_rows(12, start=100)
ROWS = [LabelledText(*row) for row in zip(TEXTS, LABELS, strict=True)]


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_an_export_answers_as_its_student(run: RunFolder, exports: Path, name: str) -> None:
    student = run.student("best")
    exported = load(exports / name)
    assert exported.classes == student.classes
    parity = compare(Classification(), student.answers(TEXTS), exported.answers(TEXTS), ROWS)
    assert not parity.faults(EXACT if name == "onnx" else ROUNDED)
    assert parity.difference < (1e-5 if name == "onnx" else 0.1)


def test_the_int8_graph_is_smaller_and_has_no_float_product_left(exports: Path) -> None:
    import onnx

    graph = onnx.load(exports / "onnx-int8/model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulIntegerToFloat") == 6  # query, key, value, output, two of the FFN
    constants = {constant.name for constant in graph.initializer}
    floats = [node for node in graph.node if node.op_type == "MatMul"]
    assert len(floats) == 3  # of attention: scores, their sum, and what they mix
    assert not any(constants.intersection(node.input) for node in floats)
    assert kinds.count("QuantizeLinear") == 4  # query, key and value share what they take
    sizes = [(exports / name / "model.onnx").stat().st_size for name in ("onnx", "onnx-int8")]
    assert sizes[1] < sizes[0]


def test_transformers_gives_the_same_answers(run: RunFolder, exports: Path) -> None:
    transformers = pytest.importorskip("transformers")
    student = run.student("best")
    classify = transformers.pipeline(
        "text-classification", str(exports / "huggingface"), top_k=None
    )
    answers = classify(TEXTS, truncation=True)
    for answer, expected in zip(answers, student.predict_proba(TEXTS), strict=True):
        found = {entry["label"]: entry["score"] for entry in answer}
        assert [found[name] for name in student.classes] == pytest.approx(expected, abs=1e-4)
    config = json.loads((exports / "huggingface/config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert "auto_map" not in config  # no code of its own


def test_other_architectures_are_exported_as_onnx_alone(tmp_path: Path, tiny_encoder: Path) -> None:
    import torch
    from transformers import DistilBertConfig, DistilBertModel

    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    size = json.loads((tiny_encoder / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    DistilBertModel(
        DistilBertConfig(vocab_size=size, dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    ).save_pretrained(tmp_path / "encoder")
    run = run_of(tmp_path / "run", kind="encoder", encoder=str(tmp_path / "encoder"))
    made = export(run, "all", tmp_path / "out")
    assert [(e.format, e.folder is not None) for e in made] == [("onnx-int8", True), ("onnx", True)]
    with pytest.raises(ConfigError, match="not exported as huggingface: it has onnx-int8, onnx"):
        export(run, "huggingface", tmp_path / "out")


def test_any_direction_can_be_the_lost_one() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, 16)
    for weight in (weights, np.where(np.arange(16) == 3, 0.0, weights), np.ones(16)):
        rotation = huggingface._rotation(weight)
        vectors = rng.normal(size=(5, 16))
        if weight.all():
            vectors -= (vectors @ (1 / weight))[:, None] / weight / (1 / weight**2).sum()
        else:
            vectors[:, 3] = 0
        turned = vectors @ rotation.T
        assert turned.sum(axis=1) == pytest.approx(0, abs=1e-12)
        assert turned @ rotation == pytest.approx(vectors)


def test_a_wrong_float_export_is_refused(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate has to be able to fail: one matrix a hundredth too large."""
    make = graph.encoder_graph

    def spoiled(encoder: Any, *, pooled: bool) -> Any:
        import onnx

        model = make(encoder, pooled=pooled)
        matrix = next(i for i in model.graph.initializer if len(i.dims) == 2 and i.dims[0] == 64)
        values = onnx.numpy_helper.to_array(matrix) * np.float32(1.01)
        matrix.CopyFrom(onnx.numpy_helper.from_array(values, matrix.name))
        return model

    monkeypatch.setattr(graph, "encoder_graph", spoiled)
    [found] = export(run, "onnx", tmp_path)
    assert found.folder is None
    [fault] = found.faults
    assert "numbers differ by up to" in fault
    assert list(tmp_path.iterdir()) == []


def test_a_coarse_int8_export_falls_back_to_float(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_int8(monkeypatch)
    refused, made = export(run, "auto", tmp_path)
    assert (refused.format, made.format) == ("onnx-int8", "onnx")
    assert refused.folder is None
    assert any("have the same answer, needed are 99%" in fault for fault in refused.faults)
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]
    assert load(tmp_path / "onnx").predict(TEXTS) == run.student("best").predict(TEXTS)


def test_a_pooling_layer_that_keeps_the_first_token_is_refused(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "_LARGE", 1.0)
    [found] = export(run, "huggingface", tmp_path)
    assert found.folder is None
    assert found.faults


def test_what_is_no_number_is_a_fault() -> None:
    before, after = ([{"label": "a", "probability": p}] * 2 for p in (0.5, math.nan))
    parity = compare(Classification(), before, after, ROWS[:2])
    assert parity.faults(EXACT)


def test_each_bound_is_told_with_its_figures() -> None:
    parity = Parity(200, 0.2, 0.985, "accuracy", student=0.9, export=0.89)
    assert parity.faults(EXACT) == [
        "numbers differ by up to 0.2, allowed are 0.0001",
        "98.5% of 200 texts have the same answer, needed are 99%",
    ]
    assert parity.faults(ROUNDED) == [
        "98.5% of 200 texts have the same answer, needed are 99%",
        "accuracy on 200 texts is 0.890, the student's 0.900, and may be worse by 0.005",
    ]
    assert not Parity(200, 0.2, 0.99, "accuracy", student=0.9, export=0.895).faults(ROUNDED)


def test_one_text_of_few_may_be_answered_otherwise() -> None:
    one, two = (Parity(50, 0.2, 1 - k / 50, "accuracy", 0.9, 0.9 - k / 50) for k in (1, 2))
    assert not one.faults(ROUNDED)
    assert len(two.faults(ROUNDED)) == 2


@pytest.mark.parametrize("kind", ["static", "linear"])
def test_students_without_torch_are_exported_as_they_are(
    tmp_path: Path, tiny_embeddings: Path, kind: str
) -> None:
    more = {"embeddings": str(tiny_embeddings)} if kind == "static" else {}
    run = run_of(tmp_path / "run", kind=kind, **more)
    [found] = export(run, "auto", tmp_path / "out")
    assert found.format == "plain"
    assert found.parity.difference == 0
    answers = load(tmp_path / "out/plain").predict_proba(TEXTS)
    assert (answers == run.student("best").predict_proba(TEXTS)).all()
    with pytest.raises(ConfigError, match="not exported as onnx: it has plain"):
        export(run, "onnx", tmp_path / "out")


def test_an_export_replaces_an_older_one_and_nothing_else(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/mine.txt").write_text("do not lose me")
    with pytest.raises(ExportError, match="is there and no export"):
        export(run, "onnx", tmp_path)
    assert (tmp_path / "onnx/mine.txt").is_file()
    (tmp_path / "onnx/mine.txt").rename(tmp_path / "onnx/export.json")
    [found] = export(run, "onnx", tmp_path)
    assert found.folder == tmp_path / "onnx"


def test_an_unknown_format_is_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no format 'tflite'"):
        export(run, "tflite", tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is not exported as plain"):
        export(run, "plain", tmp_path)


def test_it_is_compared_on_the_rows_of_the_run(run: RunFolder, exports: Path) -> None:
    held = run.read_json("task.json")["train"]  # few rows: every one trains
    assert [row.id for row in exporting.compared_on(run.dataset())] == [row["id"] for row in held]
    parity = json.loads((exports / "onnx/export.json").read_text())["parity"]
    assert parity["n"] == len(held) > 0


def test_the_encoder_of_the_run_is_left_as_it_was(run: RunFolder, tmp_path: Path) -> None:
    student = run.student("best")
    before = student.predict_proba(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(run, "all", tmp_path)
    assert (run.student("best").predict_proba(TEXTS) == before).all()
