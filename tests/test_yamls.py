"""YAML that people write is read as they mean it; YAML that pgkd writes can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pgkd.config import Config, quoted, read_yaml
from pgkd.errors import ConfigError, DataError
from pgkd.tasks.classification.data.examples import read_taxonomy


@given(text=st.text(st.characters(exclude_categories=[])))
def test_any_text_comes_back_from_its_quotes(text: str) -> None:
    assert read_yaml(quoted(text)) == text


@pytest.mark.parametrize("name", ["don\x92t", "a\x85b", "a\u2028b", "a\x7fb", "ja: nein", "~", "1"])
def test_labels_that_yaml_has_no_room_for_are_escaped(name: str) -> None:
    assert read_yaml(f"- name: {quoted(name)}  # 3 rows\n  description: ''\n")[0]["name"] == name


def put(folder: Path, text: str) -> Path:
    path = folder / "pgkd.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("empty", ["", " ~", " null", "\n  # kind: linear"])
def test_an_empty_section_has_its_defaults(tmp_path: Path, empty: str) -> None:
    text = "".join(f"{name}:{empty}\n" for name in ("data", "student", "teacher", "guidance"))
    assert Config.from_yaml(put(tmp_path, text)) == Config.parse({})
    config = Config.from_yaml(put(tmp_path, text), {"student": {"kind": "linear"}})
    assert config.student.kind == "linear"


def test_a_key_that_stands_twice_is_told_with_its_lines(tmp_path: Path) -> None:
    text = "rounds: 3\nteacher:\n  model: a\n  model: b\n"
    with pytest.raises(ConfigError, match="'model' stands twice, in lines 3 and 4"):
        Config.from_yaml(put(tmp_path, text))
    with pytest.raises(ConfigError, match="'rounds' stands twice"):
        Config.from_yaml(put(tmp_path, "rounds: 3\nrounds: 4\n"))
    with pytest.raises(DataError, match="'b' stands twice"):
        read_taxonomy(put(tmp_path, "a: first\nb: second\nb: third\n"))


def test_merge_keys_of_yaml_still_merge() -> None:
    assert read_yaml("a: &x {k: 1}\nb:\n  <<: *x\n  k: 2\n") == {"a": {"k": 1}, "b": {"k": 2}}


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "data: {train: ~/rows.csv}\nstudent: {encoder: ~/weights}\nteacher: {model: ~/m.gguf}\n"
    config = Config.from_yaml(put(tmp_path, text + "out: ~/runs/one\n"))
    assert config.data.train == tmp_path / "rows.csv"
    assert config.student.encoder == str(tmp_path / "weights")
    assert config.teacher.model == str(tmp_path / "m.gguf")
    assert config.out == tmp_path / "runs/one"
    assert Config(out=Path("~/runs")).out == tmp_path / "runs"


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        ({"ruonds": 3}, "rounds"),
        ({"student": {"knid": "linear"}}, "student.kind"),
        ({"teacher": {"modell": "x"}}, "teacher.model"),
        ({"temperature": 0.5}, "teacher.temperature"),
        ({"data": {"columns": "x", "text_colum": "x"}}, "data.text_column"),
    ],
)
def test_a_name_that_is_near_is_suggested(data: dict[str, object], meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Do you mean .*{meant}"):
        Config.parse(data)


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_yaml(put(tmp_path, "a: [\x1b[2J" + "x" * 5000))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_loader_is_a_safe_one() -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml("!!python/object/apply:os.getcwd []")
