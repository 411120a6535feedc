"""The folder has Argilla's layout; it was loaded by Argilla 2.8.0 itself when this was written."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pgkd.integrations.datasets import final_data, write_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

NAMES = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]+")  # of fields, questions and metadata


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_settings_ask_for_one_of_the_classes(reviewed: RunFolder, tmp_path: Path) -> None:
    write_dataset(reviewed, tmp_path / "out", "argilla")
    assert read(tmp_path / "out", ".argilla/dataset.json")["name"] == "a run"
    settings = read(tmp_path / "out", ".argilla/settings.json")
    [field], [question] = settings["fields"], settings["questions"]
    assert (field["name"], field["settings"]["use_markdown"]) == ("text", False)
    assert question["settings"]["type"] == "label_selection"
    options = [option["value"] for option in question["settings"]["options"]]
    assert options == list(reviewed.dataset().taxonomy.names)
    names = [part["name"] for part in (field, question, *settings["metadata"])]
    assert len(set(names)) == len(names)
    assert all(NAMES.fullmatch(name) for name in names)


def test_guidelines_say_what_the_classes_mean_as_far_as_a_server_takes_it(
    run: RunFolder, tmp_path: Path
) -> None:
    task = run.read_json("task.json")
    for described, words in zip(
        task["classes"], ("short", "<b>bold</b>", "long " * 4000), strict=False
    ):
        described["description"] = words
    run.write_json("task.json", task)
    write_dataset(run, tmp_path / "out", "argilla")
    told = read(tmp_path / "out", ".argilla/settings.json")["guidelines"]
    assert f"- {task['classes'][0]['name']}: short" in told
    assert "<b>" not in told
    assert len(told) == 10_000


def test_each_text_is_a_record_with_its_class_as_suggestion(
    reviewed: RunFolder, tmp_path: Path
) -> None:
    write_dataset(reviewed, tmp_path / "out", "argilla")
    data = final_data(reviewed)
    records = read(tmp_path / "out", "records.json")
    known = {part["name"] for part in read(tmp_path / "out", ".argilla/settings.json")["metadata"]}
    assert [record["id"] for record in records] == [
        row.id for row in (*data.train, *data.validation)
    ]
    for record, row in zip(records, (*data.train, *data.validation), strict=True):
        assert record["fields"] == {"text": row.text}
        assert record["suggestions"]["label"]["value"] == row.label
        assert record["metadata"].keys() <= known
        assert None not in record["metadata"].values()
        assert record["responses"] == {}
    agents = {record["suggestions"]["label"]["agent"] for record in records}
    assert agents == {"labelled rows", "teacher fake", "a reviewer"}
    splits = [record["metadata"]["split"] for record in records]
    assert splits.count("validation") == len(data.validation)
