"""Every command works on a run of this kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pgkd import Config, Distiller, FakeTeacher, RunFolder, load
from pgkd.apps.bulk import BulkJob, Source, predict_file
from pgkd.apps.cli.distill import init
from pgkd.apps.cli.evaluate import evaluate
from pgkd.apps.cli.show import show
from pgkd.apps.report import write_report
from pgkd.apps.server.app import make_app as make_server
from pgkd.apps.server.process import Limits
from pgkd.apps.ui.app import make_app as make_ui
from pgkd.export.export import export
from pgkd.export.predictor import Manifest
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from tests.tasks.hierarchy.test_hierarchy import make_config, rows, teach

EXAMPLE = Path(__file__).parents[3] / "examples" / "hierarchy"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> RunFolder:
    student = {"kind": "encoder", "encoder": str(tiny_encoder), "recipe": "frozen"}
    out = tmp_path_factory.mktemp("runs") / "run"
    config = make_config(out, student={**student, "inner_below": "auto"}, rounds=1)
    return Distiller(config, teacher=FakeTeacher(teach)).fit(*rows(5)).run_


def test_it_is_exported_predicts_and_is_served(run: RunFolder, tmp_path: Path) -> None:
    texts, student = rows(3, start=40)[0], run.student("best")
    own = student.answers(texts)
    for name in ("plain", "onnx", "onnx-int8"):
        export(run, name, tmp_path)
        model = load(tmp_path / name)
        for answer, expected in zip(model.answers(texts), own, strict=True):
            assert answer["leaf_probability"] == pytest.approx(
                expected["leaf_probability"], abs=0.05
            )
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    predict_file(BulkJob(Source(tmp_path / "texts.txt"), tmp_path / "onnx", ".jsonl"),
                 tmp_path / "out.jsonl")  # fmt: skip
    predicted = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["path"] for line in predicted] == [
        a["path"] for a in load(tmp_path / "onnx").answers(texts)
    ]
    served = load(tmp_path / "onnx")
    with TestClient(make_server(served, Limits(), Manifest.read(tmp_path / "onnx"))) as client:
        assert client.get("/model").json()["task"] == "hierarchy"
        reply = client.post("/predict", json={"texts": texts[:2]}).json()
    assert reply == {"predictions": served.answers(texts[:2])}
    assert "answers(" in (tmp_path / "onnx" / "README.md").read_text(encoding="utf-8")


def test_it_is_shown_evaluated_and_reported(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"text": t, "label": x} for t, x in zip(*rows(4, start=80), strict=True)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    evaluate(run.path, tmp_path / "test.jsonl", seed=0, as_json=True)
    after = json.loads(capsys.readouterr().out)["students"]["after"]
    low, high = after["intervals"]["hierarchical_f1"]
    assert low <= after["hierarchical_f1"] <= high
    assert after["accuracy_level_1"] >= after["accuracy_level_2"]
    show(run.path, None, None, 5, False, False)
    assert "Rejected: 0" in capsys.readouterr().out
    page = write_report(run).read_text(encoding="utf-8").lower()
    assert "accuracy level 2" in page
    assert "money &gt; card &gt; lost" in page


def test_labels_are_corrected_and_it_is_trained_again(run: RunFolder) -> None:
    first = run.synthetic()[0]
    other = next(name for name in run.dataset().taxonomy.names if name != first.label)
    app = make_ui(run.path.parent, "token", ("testserver",), "ann", Limits())
    with TestClient(app, cookies={"pgkd-ui-testserver": "token"}) as client:
        page = client.get("/runs/run/review").text
        assert first.text in page
        assert "Relabel" in page
        form = {"id": first.id, "seen": "0", "decision": "edit", "text": first.text, "label": other}
        own = {"origin": "http://testserver"}
        assert client.post("/runs/run/decisions", data=form, headers=own).status_code == 200
    assert Reviews(run.path).latest()[first.id].label == other
    retrain(run)
    assert run.student("best").tree.paths


def test_a_file_with_paths_is_recognised(tmp_path: Path) -> None:
    out = tmp_path / "pgkd.yaml"
    init(EXAMPLE / "train.csv", None, "text", "label", out, False)
    config: Any = Config.from_yaml(out)
    assert config.task == "hierarchy"
    assert len(Distiller(config).load().train) == 24


def test_the_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    dataset: Any = Distiller(Config.from_yaml(EXAMPLE / "pgkd.yaml")).load()
    assert len(dataset.taxonomy) == 12
    assert not dataset.warnings
