"""Files of several labels a text: every form is read, and every fault is told with its row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd.config import Config
from pgkd.data.label_sets import find_separator
from pgkd.errors import ConfigError, DataError
from pgkd.tasks.common.labels import taxonomy_of
from pgkd.tasks.multilabel.config import MultiLabelConfig
from pgkd.tasks.multilabel.data import MultiLabelText
from pgkd.tasks.multilabel.task import MultiLabel

TASK = MultiLabel()


def settings(path: Path, **data: Any) -> MultiLabelConfig:
    found = Config.parse({"task": "multilabel", "data": {"train": path, **data}})
    assert isinstance(found, MultiLabelConfig)
    return found


def write(path: Path, *cells: Any, column: str = "labels") -> Path:
    if path.suffix == ".jsonl":
        lines = [json.dumps({"text": f"text {i}", column: c}) for i, c in enumerate(cells)]
    else:
        lines = [f"text,{column}", *(f'text {i},"{c}"' for i, c in enumerate(cells))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("a.jsonl", [["joy", "anger"], ["joy"], []]),
        ("a.jsonl", ["joy|anger", "joy", ""]),
        ("a.csv", ["joy|anger", "joy", ""]),
        ("a.csv", ["joy, anger", "joy", ""]),
        ("a.csv", ["joy; anger", "joy", "[]"]),
        ("a.csv", ["['joy', 'anger']", "['joy']", "[]"]),
    ],
)
def test_every_form_of_a_set_is_read(tmp_path: Path, name: str, cells: list[Any]) -> None:
    rows = TASK.load(settings(write(tmp_path / name, *cells)))
    assert [row.labels for row in rows.train] == [("anger", "joy"), ("joy",), ()]
    assert taxonomy_of(rows).names == TASK.choices(rows) == ("anger", "joy")
    assert TASK.dataset(json.loads(json.dumps(rows.to_json()))) == rows


def test_columns_of_zero_and_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,a,b\none,1,0\ntwo,0,0\nthree,1,true\n", encoding="utf-8")
    rows = TASK.load(settings(path, label_columns=["a", "b"]))
    assert [row.labels for row in rows.train] == [("a",), (), ("a", "b")]
    path.write_text("text,a,b\none,1,0\ntwo,2,0\nthree,1,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"row 2: its 'a' is neither 0 nor 1[\s\S]*row 3: its 'b'"):
        TASK.load(settings(path, label_columns=["a", "b"]))


def test_a_separator_that_is_set_wins_and_whole_names_are_not_divided(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "to do, soon|late", "late", "late|to do, soon")
    assert find_separator(["a, b|c", "c|a"]) == "|"
    rows = TASK.load(settings(path))
    assert rows.train[0].labels == ("late", "to do, soon")
    assert TASK.load(settings(path, separator=",")).train[0].labels == ("soon|late", "to do")
    classes = tmp_path / "classes.yaml"
    classes.write_text("late: after the day\nto do, soon:\nnever:\n", encoding="utf-8")
    path = write(tmp_path / "a.csv", "to do, soon", "late")
    rows = TASK.load(settings(path, classes=classes))
    assert rows.train[0].labels == ("to do, soon",)
    assert taxonomy_of(rows)["late"].description == "after the day"


def test_all_faults_are_told_at_once_with_their_rows(tmp_path: Path) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text("[joy, anger]", encoding="utf-8")
    path = write(tmp_path / "a.jsonl", ["joy"], None, ["jo"], [["joy"]], "[joy", {"a": 1}, ["joy"])
    with pytest.raises(DataError) as caught:
        TASK.load(settings(path, classes=classes))
    told = str(caught.value)
    for part in ("row 2: it has no labels", "row 3: 'jo'", "row 4: one", "row 5: its", "row 6"):
        assert part in told
    same = write(tmp_path / "b.jsonl", ["joy"], ["Joy"], ["x"])
    with pytest.raises(DataError, match="spelling"):
        TASK.load(settings(same))


def test_arrays_and_indicator_matrices_are_read() -> None:
    matrix, config = np.array([[1, 0], [0, 0], [1, 1]]), MultiLabelConfig()
    rows = TASK.from_arrays(config, ["x", "y", "z"], matrix, classes=["a", "b"])
    assert [row.labels for row in rows.train] == [("a",), (), ("a", "b")]
    lists = TASK.from_arrays(config, ["x", "y", "z"], [{"a"}, [], ("a", "b")])
    assert lists.train == rows.train
    with pytest.raises(DataError, match="column of 0 and 1"):
        TASK.from_arrays(config, ["x", "y", "z"], matrix)


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b"), ("a, b",), ("[x", "y"), ("a, b", "c")])
def test_a_set_is_edited_as_text_and_read_back(labels: tuple[str, ...]) -> None:
    row = MultiLabelText("text", labels)
    again = MultiLabelText("text", ("z",)).revised(None, row.output)
    assert again.labels == labels
    assert again.human_verified
    assert row.revised("other", None).labels == labels
    assert TASK.output({"labels": list(labels)}) == row.output
    with pytest.raises(DataError, match="cannot be used"):
        row.revised(None, "[a")


def test_a_file_of_this_kind_is_recognised() -> None:
    def looks(*cells: Any, column: str = "labels") -> bool:
        rows = [{"text": "a text; with a mark | or two", column: cell} for cell in cells]
        return TASK.recognises(["text", column], rows)

    assert looks(["a", "b"], ["a"])
    assert looks("a|b", "a")
    assert looks("a|b", "a", column="label")
    assert not looks("a", "b", column="label")
    assert TASK.recognises(["text", "a", "b"], [{"text": "x", "a": "1", "b": "0"}])
    assert not TASK.recognises(["text", "label"], [{"text": "x", "label": "1"}])


def test_settings_that_do_not_fit_are_refused() -> None:
    for data in ({"label_columns": ["a", "a"]}, {"label_columns": ["a"], "separator": "|"}):
        with pytest.raises(ConfigError, match="label_columns"):
            Config.parse({"task": "multilabel", "data": data})
    with pytest.raises(ConfigError, match="label_column"):
        Config.parse({"task": "multilabel", "data": {"label_colum": "x"}})
