"""Every endpoint of a real server, what it refuses, and what it tells."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

import pgkd
from tests.apps.server.conftest import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apps.server.conftest import Server

TEXTS = ["an invoice and a charge", "the parcel is late", "", "naïve ☃ text\x00"]


def test_answers_are_those_of_the_export(server: Server, export_folder: Path) -> None:
    status, answer = server.predict({"texts": TEXTS, "top": 4})
    assert status == 200
    expected = pgkd.load(export_folder)
    rows = expected.predict_proba(TEXTS)
    assert len(answer["predictions"]) == len(TEXTS)
    for prediction, row in zip(answer["predictions"], rows, strict=True):
        top = prediction["top"]
        found = {one["label"]: one["probability"] for one in top}
        assert found == pytest.approx(dict(zip(expected.classes, row, strict=True)), abs=2e-6)
        assert [one["probability"] for one in top] == sorted(found.values(), reverse=True)
        assert prediction["label"] == top[0]["label"] == expected.classes[row.argmax()]
        assert prediction["probability"] == top[0]["probability"]


def test_one_text_is_answered_like_many(server: Server) -> None:
    assert server.predict({"text": TEXTS[0]}) == server.predict({"texts": TEXTS[:1]})
    [prediction] = server.predict({"text": TEXTS[0]})[1]["predictions"]
    assert len(prediction["top"]) == 1
    [prediction] = server.predict({"text": TEXTS[0], "top": 10**9})[1]["predictions"]
    assert len(prediction["top"]) == 4


def test_what_is_served_is_told(server: Server, export_folder: Path) -> None:
    assert server.get("/health") == (200, {"status": "ok"})
    assert server.get("/ready") == (200, {"status": "ready"})
    assert server.get("/model") == (
        200,
        {
            "task": "classification",
            "inputs": ["text"],
            "classes": list(pgkd.load(export_folder).classes),
            "format": "onnx-int8",
            "max_texts": 8,
            "max_characters": 5000,
            "cascade_below": None,
            "abstain_below": None,
        },
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"", 422, "malformed", "required"),
        (b"{", 400, "no_json", "not JSON"),
        (b"\xff\xfe", 400, "no_json", "not JSON"),
        (b"[" * 19_000, 400, "no_json", "not JSON"),
        (b"null", 422, "malformed", "object"),
        (b"3", 422, "malformed", "object"),
        (b'["a"]', 422, "malformed", "object"),
        (b"{}", 422, "malformed", "either 'text' or 'texts'"),
        ({"text": "a", "texts": ["b"]}, 422, "malformed", "either 'text' or 'texts'"),
        ({"text": 3}, 422, "malformed", "body.text:"),
        ({"texts": "a"}, 422, "malformed", "body.texts:"),
        ({"texts": []}, 422, "malformed", "body.texts:"),
        ({"texts": ["a", None]}, 422, "malformed", "body.texts.1:"),
        ({"texts": [1] * 6000}, 422, "malformed", "body.texts.0:"),
        ({"text": "a", "top": 0}, 422, "malformed", "body.top:"),
        ({"text": "a", "top": True}, 422, "malformed", "body.top:"),
        ({"text": "a", "top": 1.5}, 422, "malformed", "body.top:"),
        ({"text": "a", "topk": 3}, 422, "malformed", "no field 'topk'"),
        (b'{"texts": ["a", "\\ud800"]}', 422, "no_text", "Text 2"),
        (b'{"\\ud800": 1}', 422, "malformed", "no field"),
        ({"texts": ["a"] * 9}, 422, "too_many_texts", "9 texts; one request may hold 8"),
        ({"texts": ["a", "b" * 5001]}, 422, "text_too_long", "Text 2 has 5,001 characters"),
        ({"text": "a" * 20_000}, 413, "body_too_large", "20,000 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    server: Server, body: Any, status: int, code: str, message: str
) -> None:
    found = server.refused(body)
    assert found[:2] == (status, code)
    assert message in found[2]
    assert len(found[2]) < 300


def test_at_its_limits_a_request_is_answered(server: Server) -> None:
    assert server.predict({"texts": ["a"] * 8})[0] == 200
    assert server.predict({"text": "b" * 5000})[0] == 200


def test_only_json_is_read(server: Server) -> None:
    """A page of another site may send a form or text/plain unasked, but no JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        found = server.request("POST", "/predict", b'{"text": "a"}', {"Content-Type": kind})
        assert found[0] == 415
        assert json.loads(found[2])["error"]["code"] == "wrong_content_type"
    for kind in ("application/json; charset=utf-8", "Application/Problem+JSON"):
        assert (
            server.request("POST", "/predict", b'{"text": "a"}', {"Content-Type": kind})[0] == 200
        )
    status, headers, _ = server.request("OPTIONS", "/predict", None, {"Origin": "http://e.vil"})
    assert status == 405
    assert "access-control-allow-origin" not in headers


def test_other_paths_and_methods_are_refused_as_json(server: Server) -> None:
    assert server.get("/predict")[1]["error"]["code"] == "wrong_method"
    for path in ("/docs", "/nothing", "/page.js/../../manifest.py", "/%2e%2e/x"):
        status, answer = server.get(path)
        assert (status, answer["error"]["code"]) == (404, "not_found")


def test_the_description_has_real_schemas(server: Server) -> None:
    status, about = server.get("/openapi.json")
    assert status == 200
    predict = about["paths"]["/predict"]["post"]
    schemas = about["components"]["schemas"]
    assert {"200", "400", "408", "413", "415", "422", "503"} == set(predict["responses"])
    assert set(schemas["Question"]["properties"]) == {"text", "texts", "top"}
    assert set(schemas["Prediction"]["required"]) == {"label", "probability", "top"}
    assert "HTTPValidationError" not in schemas
    assert set(about["paths"]) == {"/predict", "/model", "/health", "/ready", "/metrics"}


def test_metrics_count_what_happened(server: Server) -> None:
    def number(name: str) -> float:
        status, _, body = server.request("GET", "/metrics")
        assert status == 200
        found = re.search(rf"^{re.escape(name)} (\S+)$", body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    label = server.predict({"text": TEXTS[0]})[1]["predictions"][0]["label"]
    names = [
        'pgkd_requests_total{path="/predict",status="200"}',
        'pgkd_requests_total{path="/predict",status="422"}',
        'pgkd_requests_total{path="other",status="404"}',
        f'pgkd_predictions_total{{label="{label}"}}',
        "pgkd_turn_texts_sum",
        'pgkd_request_seconds_count{path="/predict"}',
    ]
    before = [number(name) for name in names]
    server.predict({"texts": [TEXTS[0]] * 3})
    server.predict({"texts": 3})
    server.get("/nothing")
    after = [number(name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 3, 3, 2]
    assert number("pgkd_texts_waiting") == 0
    assert TEXTS[0] not in server.request("GET", "/metrics")[2].decode()


def test_the_page_needs_nothing_from_elsewhere_and_runs_its_own_script_only(
    server: Server,
) -> None:
    for path, kind in (("/", "html"), ("/page.js", "javascript"), ("/page.css", "css")):
        status, headers, body = server.request("GET", path)
        assert status == 200
        assert kind in headers["content-type"]
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "//" not in body.decode().replace("// ", "")  # no address
    page = server.request("GET", "/")[2].decode()
    assert not re.search(r"<script(?! src=\"page\.js\"></script>)|\son\w+=|style=", page)


def test_the_script_makes_text_and_never_markup() -> None:
    script = (files("pgkd.apps.server") / "page" / "page.js").read_text(encoding="utf-8")
    assert "textContent" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "Function(",
                "setAttribute", "srcdoc", "DOMParser", "createContextualFragment"):  # fmt: skip
        assert way not in script, way


def test_hostile_class_names_and_texts_stay_data(export_folder: Path, tmp_path: Path) -> None:
    import shutil

    hostile = ['<script>alert("x")</script>', 'a"} 1\nfake_total 99', "\u202eteg", "plain"]
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    manifest = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    manifest["details"]["classes"] = hostile
    (folder / "export.json").write_text(json.dumps(manifest), encoding="utf-8")
    with serving(folder, "--workers", "1") as server:
        body = {"texts": [hostile[0], *make_texts()], "top": 4}
        status, headers, answer = server.request("POST", "/predict", body)
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert {one["label"] for one in json.loads(answer)["predictions"][0]["top"]} == set(hostile)
        assert server.get("/model")[1]["classes"] == hostile
        assert b"<script>alert" not in server.request("GET", "/")[2]
        metrics = server.request("GET", "/metrics")[2].decode()
        assert not re.search("^fake_total", metrics, re.MULTILINE)


def make_texts() -> list[str]:
    from tests.conftest import make_rows

    return make_rows(10, start=300)[0]
