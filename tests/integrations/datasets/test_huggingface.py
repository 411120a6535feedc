"""The folder is loaded back by `datasets`, and by pgkd."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pgkd.integrations.datasets import write_dataset
from pgkd.integrations.datasets.rows import final_data
from pgkd.tasks.classification.data.dataset import load_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with nothing left behind in the user's cache."""
    module = pytest.importorskip("datasets", reason="the extra 'data' is not installed")
    module.disable_progress_bars()
    return module


def test_datasets_loads_it_with_its_classes(
    reviewed: RunFolder, tmp_path: Path, datasets: Any
) -> None:
    out, data = tmp_path / "out", final_data(reviewed)
    write_dataset(reviewed, out)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in loaded.items()} == {
        "train": len(data.train),
        "validation": len(data.validation),
    }
    label = loaded["train"].features["label"]
    assert isinstance(label, datasets.ClassLabel)
    assert tuple(label.names) == data.taxonomy.names
    for split, rows in (("train", data.train), ("validation", data.validation)):
        for there, row in zip(loaded[split], rows, strict=True):
            told = {**row.to_json(), "label": label.str2int(row.label)}
            assert there == {**told, "parents": list(row.parents), "why": list(row.why)}


def test_pgkd_reads_its_files(reviewed: RunFolder, tmp_path: Path) -> None:
    out, data = tmp_path / "out", final_data(reviewed)
    write_dataset(reviewed, out)
    task = load_dataset(
        train=out / "data" / "train.jsonl", validation=out / "data" / "validation.jsonl"
    )
    assert [row.text for row in task.train] == [row.text for row in data.train]
    assert [row.label for row in task.validation] == [row.label for row in data.validation]


def test_the_card_says_what_it_is_and_how_it_was_made(reviewed: RunFolder, tmp_path: Path) -> None:
    write_dataset(reviewed, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["task_categories"] == ["text-classification"]
    assert head["size_categories"] == ["n<1K"]
    assert "synthetic" in head["tags"]
    data = final_data(reviewed)
    assert f"- train: {len(data.train)}\n" in card
    written = sum(row.source == "synthetic" for row in data.train)
    assert f"`synthetic`, written by the teacher: {written}" in card
    for name in data.taxonomy.names:
        assert re.search(rf"^\| {name} \|", card, re.MULTILINE)
    for part in ("Teacher: fake, fake. ", "0.0000 US dollars", "## Licence", "## Limits"):
        assert part in card
    assert "1 reject, 1 relabel, 1 edit" in card
    assert not any(row.text in card for row in data.train)


def test_names_that_mean_harm_stay_names(run: RunFolder, tmp_path: Path, datasets: Any) -> None:
    """Class names are the user's, and a card is rendered where it is published."""
    names = {"billing": "=cmd()", "product": "---\nlicense: mit", "account": "<img src=x>|`"}
    text = "".join((run.path / "task.json").read_text(encoding="utf-8"))
    task = json.loads(text)
    for row in (*task["classes"], *task["train"], *task["validation"]):
        key = "name" if "name" in row else "label"
        row[key] = names.get(row[key], row[key])
    run.write_json("task.json", task)
    kept = [row.to_json() for row in run.synthetic()]
    (run.path / "examples.jsonl").unlink()
    run.append(
        "examples.jsonl", [{**row, "label": names.get(row["label"], row["label"])} for row in kept]
    )
    out = tmp_path / "out"
    write_dataset(run, out)
    card = (out / "README.md").read_text(encoding="utf-8")
    body = card.split("\n---\n", 1)[1]
    assert "<img" not in body
    assert "\n---\nlicense: mit" not in card
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert set(names.values()) <= set(loaded["train"].features["label"].names)


def test_lone_surrogates_do_not_stop_the_writing(run: RunFolder, tmp_path: Path) -> None:
    row = run.synthetic()[0].to_json()
    path = run.path / "examples.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([json.dumps({**row, "text": "half \ud800"}), *lines[1:]]) + "\n")
    write_dataset(run, tmp_path / "out")
    assert "half ?" in (tmp_path / "out" / "data" / "train.jsonl").read_text(encoding="utf-8")
