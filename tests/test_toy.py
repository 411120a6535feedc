"""A kind of task that pgkd does not know, from a run that is killed to a server."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pgkd import Config, Distiller, FakeTeacher, RunFolder, load, tasks
from pgkd.apps.bulk import BulkJob, Source, predict_file
from pgkd.apps.cli.evaluate import evaluate
from pgkd.apps.cli.show import show
from pgkd.apps.report import write_report
from pgkd.apps.server.app import make_app as make_server
from pgkd.apps.server.process import Limits
from pgkd.apps.ui.app import make_app as make_ui
from pgkd.export.export import export
from pgkd.export.predictor import Manifest
from pgkd.runs.control import send_signal
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from pgkd.teachers.base import Reply, Request
from tests.toy import Means, Toy

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
NONSENSE = [f"{a}{b}{a}" for a in "bdfgklmnprstvz" for b in "aeiou"]
TEXTS = [" ".join([w, *WORDS[: i % 4]]) + f" {i}" for i, w in enumerate(WORDS * 2)]
COUNTS = [len(text.split()) for text in TEXTS]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks._OWN, "toy", ("tests.toy", "Toy"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.parse({"task": "toy", "rounds": 3, "patience": 9, "out": tmp_path / "run"})


def answer(request: Request) -> str:
    """Two texts of each prompt, and an item that is none; their words are counted rightly."""
    rng = random.Random(request.messages[0].content)
    texts = [" ".join([rng.choice(WORDS), *rng.choices(NONSENSE, k=5)]) for _ in range(2)]
    samples: list[dict[str, Any]] = [{"text": t, "words": len(t.split())} for t in texts]
    return json.dumps({"samples": [*samples, {"text": "x", "words": "many"}]})


def distil(config: Config, reply: Callable[[Request], str | Reply] = answer) -> RunFolder:
    return Distiller(config, teacher=FakeTeacher(reply)).fit(TEXTS, COUNTS).run_


def files(run: RunFolder) -> dict[str, bytes]:
    names = [
        "examples.jsonl",
        "result.json",
        *(f"students/{w}/student.json" for w in ("best", "last")),
    ]
    return {name: (run.path / name).read_bytes() for name in names}


def test_it_runs_and_its_texts_teach(config: Config) -> None:
    run = distil(config)
    result = run.read_json("result.json")
    assert [line["accepted"] for line in result["rounds"]] == [0, 4, 4, 4]
    assert result["rejected"]["no number"] == 6
    assert isinstance(run.student("best"), Means)
    assert len(run.synthetic()) == 12
    assert run.synthetic()[0].origin.round == 1


def test_it_stops_where_the_loss_does(config: Config) -> None:
    def wrong(request: Request) -> str:
        return answer(request).replace('"words": 6', '"words": 96')

    run = distil(Config.parse({**config.model_dump(), "patience": 1}), wrong)
    result = run.read_json("result.json")
    assert (result["stopped_by"], result["best"]) == ("patience", 0)


@pytest.mark.parametrize("calls", range(6))
def test_killed_at_any_call_it_ends_as_if_it_had_not_been(
    config: Config, tmp_path: Path, calls: int
) -> None:
    whole = distil(Config.parse({**config.model_dump(), "out": tmp_path / "whole"}))
    made: list[str] = []

    def cut(request: Request) -> str:
        if len(made) == calls:
            raise SystemExit
        made.append(request.id)
        return answer(request)

    with pytest.raises(SystemExit):
        distil(config, cut)
    again: list[str] = []
    run = distil(config, lambda request: again.append(request.id) or answer(request))  # type: ignore[func-returns-value]
    assert files(run) == files(whole)
    assert not set(made) & set(again)  # nothing is paid twice


def test_a_stop_signal_keeps_the_best_student(config: Config, tmp_path: Path) -> None:
    def stopping(request: Request) -> str:
        send_signal(RunFolder(tmp_path / "run"), "stop", "ann")
        return answer(request)

    run = distil(config, stopping)
    assert run.read_json("result.json")["stopped_by"] == "interrupted"
    assert run.has_student("best")


def test_people_correct_its_texts(config: Config) -> None:
    run = distil(config)
    first = run.synthetic()[0]
    Reviews(run.path).decide(first.id, "edit", "ann", text=first.text + " again")
    found = retrain(run)
    assert found.human_verified == 1
    assert run.has_student("reviewed")


def test_it_is_estimated(config: Config) -> None:
    distiller = Distiller(config, teacher=FakeTeacher(answer))
    estimate = distiller.estimate(Toy().from_arrays(config, TEXTS, COUNTS))
    assert estimate.calls == 6


def test_it_is_shown_and_reported(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = distil(config)
    show(run.path, None, None, 5, False, False)
    shown = capsys.readouterr().out
    assert "error" in shown
    assert "6 │" in shown
    page = write_report(run).read_text(encoding="utf-8")
    assert "error of the best student is" in page
    assert "Error by round" in page
    assert "no number" in page


def test_it_answers_is_exported_and_served(config: Config, tmp_path: Path) -> None:
    run = distil(config)
    [exported] = export(run, "auto", run.path / "export")
    assert (exported.format, exported.faults) == ("plain", ())
    assert (run.path / "export/plain/README.md").read_text(encoding="utf-8").count("error") > 1
    model, student = load(run.path / "export/plain"), run.student("best")
    assert model.answers(TEXTS) == student.answers(TEXTS)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    job = BulkJob(Source(tmp_path / "texts.txt"), run.path / "export/plain", ".csv")
    predict_file(job, tmp_path / "out.csv")
    first, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert first == "text,words"
    assert len(rows) == len(TEXTS)
    manifest = Manifest.read(run.path / "export/plain")
    with TestClient(make_server(model, Limits(), manifest)) as client:
        assert client.get("/model").json()["task"] == "toy"
        reply = client.post("/predict", json={"texts": TEXTS[:2]}).json()
    assert reply == {"predictions": model.answers(TEXTS[:2])}


def test_it_is_evaluated_on_other_rows(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = distil(config)
    lines = [{"text": f"fox number {n} runs", "words": 4} for n in range(20)]
    lines.append({"text": TEXTS[0], "words": COUNTS[0]})  # the run's own
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    evaluate(run.path, tmp_path / "test.jsonl", seed=0, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 20
    low, high = found["students"]["after"]["intervals"]["error"]
    assert low <= found["students"]["after"]["error"] <= high
    assert "error" in found["after_minus_before"]
    assert "error of the best student" in write_report(run).read_text(encoding="utf-8").lower()


def test_it_is_reviewed_in_the_browser(config: Config) -> None:
    run = distil(config)
    first = run.synthetic()[0]
    hosts = ("testserver",)
    app = make_ui(run.path.parent, "token", hosts, "ann", Limits())
    with TestClient(app, cookies={"pgkd-ui-testserver": "token"}) as client:
        page = client.get("/runs/run/review").text
        assert first.text in page
        assert "Relabel" not in page  # an output is free: it is edited
        form = {"id": first.id, "seen": "0", "decision": "edit", "text": first.text, "label": "9"}
        own = {"origin": "http://testserver"}
        assert client.post("/runs/run/decisions", data=form, headers=own).status_code == 200
    assert Reviews(run.path).latest()[first.id].label == "9"
    retrain(run)
