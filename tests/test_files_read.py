"""Files that anybody may have written are read with bounds, or refused in one sentence."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pgkd import files
from pgkd.errors import RunError
from pgkd.files import open_regular, read_json, read_json_lines, read_text, read_yaml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "file"


@pytest.fixture(autouse=True)
def folder(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


def refused(path: Path) -> str:
    """The sentence that all readers refuse a file with."""
    told = set()
    for read in (read_text, read_json, read_yaml, lambda *a, **k: list(read_json_lines(*a, **k))):
        with pytest.raises(RunError) as found:
            read(path, RunError, within=path.parent)
        told.add(str(found.value))
    [sentence] = told
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    return sentence


def test_a_pipe_is_not_waited_at(path: Path) -> None:
    os.mkfifo(path)
    assert "no regular file" in refused(path)


def test_a_folder_and_a_missing_file_are_refused(path: Path) -> None:
    assert "is missing" in refused(path)
    path.mkdir()
    assert "no regular file" in refused(path)


def test_a_link_is_followed_only_within_the_folder(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    path.symlink_to(tmp_path / "secret")
    assert "is a link that leaves" in refused(path)
    path.unlink()
    path.symlink_to(path.name)
    assert "cannot be read" in refused(path)
    path.unlink()
    (path.parent / "other").write_text('{"a": 1}')
    path.symlink_to("other")
    assert read_json(path, RunError, within=path.parent) == {"a": 1}
    linked = tmp_path / "linked"
    linked.symlink_to(path.parent)  # the folder itself may be one
    assert read_json(linked / "file", RunError, within=linked) == {"a": 1}


def test_a_file_has_so_many_bytes_at_most(path: Path) -> None:
    path.write_bytes(b"12345")
    with pytest.raises(RunError, match="has 5 bytes; at most 4 are read"):
        open_regular(path, RunError, most=4)
    os.truncate(path, files.MOST_BYTES + 1)
    for read in (read_text, read_json, read_yaml):
        with pytest.raises(RunError, match="at most .* are read"):
            read(path, RunError)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[1]", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}", "more than 50 levels"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
def test_what_is_no_sound_json_object_is_refused(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"is damaged: .*{why}"):
        read_json(path, RunError)
    path.write_bytes(b"{}\n" + content + b"\n{}\n")
    with pytest.raises(RunError, match=f"line 2, is damaged: .*{why}"):
        list(read_json_lines(path, RunError))


def test_half_a_line_at_the_end_is_none_and_elsewhere_damage(path: Path) -> None:
    path.write_bytes(b'{"a": 1}\n{"b": "\xc3')
    assert list(read_json_lines(path, RunError)) == [(1, {"a": 1})]
    path.write_bytes(b"\x00\x01 no line of ours")
    with pytest.raises(RunError, match="line 1, is damaged"):
        list(read_json_lines(path, RunError))


def test_a_line_has_so_many_bytes_at_most(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES_OF_LINE", 20)
    path.write_text(json.dumps({"a": "b" * 20}) + "\n")
    with pytest.raises(RunError, match="more than 20 bytes"):
        list(read_json_lines(path, RunError))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no settings"),
        ("[1]", "no settings"),
        ("a: " + "[" * 20_000, "more than 50 levels"),
        (
            "a0: &a0 [x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
            "more than 50,000 values",
        ),
        ("a: &a [*a]", "refers to nothing, or to itself"),
        ("a: 2026-99-99", "month must be"),
        ("a: \x00", "not allowed"),
        ("? {a: b}\n: c", "unhashable"),
    ],
)
def test_what_is_no_sound_yaml_mapping_is_refused(path: Path, content: str, why: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"is damaged: .*{why}"):
        read_yaml(path, RunError)


def test_aliases_of_a_few_values_are_read(path: Path) -> None:
    path.write_text("a: &a {b: 1}\nc: *a\nd: [*a, *a]\n", encoding="utf-8")
    assert read_yaml(path, RunError)["d"] == [{"b": 1}, {"b": 1}]
