"""The model card: figures of the run, and names that nobody can smuggle markup in with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from pgkd.distiller import Distiller
from pgkd.export.card import plain
from pgkd.export.export import export
from pgkd.runs.folder import RunFolder
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "<script>alert(1)</script>", "[here](https://evil.example)", "a|b", "x\n---\nlicense: mit",
    "![](http://evil.example/p.png)", "`rm`", "# title", "\u202egnp.exe",
)  # fmt: skip


def head_and_body(text: str) -> tuple[dict[str, Any], str]:
    _, head, body = text.split("---\n", maxsplit=2)
    return yaml.safe_load(head), body


def test_the_card_tells_what_the_run_knows(run: RunFolder, exports: Path) -> None:
    result = run.read_json("result.json")
    kept = next(r for r in result["rounds"] if r["round"] == result["best"])["validation"]
    for name in ("onnx", "onnx-int8", "huggingface"):
        text = (exports / name / "README.md").read_text(encoding="utf-8")
        head, body = head_and_body(text)
        assert head["pipeline_tag"] == "text-classification"
        [model] = head["model-index"]
        assert model["results"][0]["metrics"][0]["value"] == kept["accuracy"]
        assert f"| accuracy | {result['rounds'][0]['validation']['accuracy']:.3f} |" in body
        assert f"Format {plain(name)}." in body or f"Format {name}." in body
        assert "Teacher: fake" in body
        assert "0.0000 US dollars" in body
        assert "It reads 24 tokens of a text" in body
    assert head["library_name"] == "transformers"


def test_the_card_tells_no_path_and_no_text(run: RunFolder, exports: Path) -> None:
    text = (exports / "onnx/README.md").read_text(encoding="utf-8")
    assert str(run.path.parent) not in text
    rows = run.read_json("task.json")
    assert not any(row["text"] in text for row in [*rows["train"], *rows["validation"]])
    assert run.path.parts[1] + "/" not in text  # nor where the encoder lay


def test_hostile_names_stay_letters(tmp_path: Path) -> None:
    texts, labels = make_rows(20)
    names = dict(zip(sorted(set(labels)), HOSTILE[:4], strict=True))
    student = {"kind": "linear"}
    distiller = Distiller(teacher="fake", student=student, rounds=0, out=str(tmp_path / "run"))
    distiller.fit(texts, [names[label] for label in labels])
    export(RunFolder.open(tmp_path / "run"), "auto", tmp_path)
    head, body = head_and_body((tmp_path / "plain/README.md").read_text(encoding="utf-8"))
    assert "license" not in head
    assert "\nlicense" not in body
    assert "<script" not in body
    assert "](http" not in body
    assert body.count("\n---") == 0


def test_every_mark_is_escaped() -> None:
    for text in HOSTILE:
        found = plain(text)
        assert "\n" not in found
        assert "\u202e" not in found
        assert "<" not in found
        assert not any(
            mark in "[]()|`#!:" and found[i - 1 : i] != "\\" for i, mark in enumerate(found)
        )
    assert plain("a&b <i>") == "a&amp;b &lt;i&gt;"
    assert plain("plain words") == "plain words"
