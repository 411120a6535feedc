"""Cells in a file: taken up on another machine, kept however a benchmark ends."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pgkd.bench import pack, unpack
from pgkd.cli import app
from pgkd.errors import DataError
from tests.bench.conftest import write_test_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(path: Path, data: Path, out: Path, *more: str) -> str:
    given = ["bench", str(path), "--data", str(data), "--out", str(out), *more]
    ran = CliRunner().invoke(app, given)
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_what_one_machine_has_judged_another_takes_up(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    path, archive = grid("alone", "targeted"), tmp_path / "kept" / "tiny.tar.xz"
    first, second = tmp_path / "first", tmp_path / "second"
    run(path, data, first, "--archive", str(archive), "--only", "arm=alone")
    told = run(path, data, second, "--archive", str(archive))
    assert "1 cells were taken from" in told
    assert "distilling: 1 cells" in told
    assert "tiny-30-s0-targeted-oracle: 12 texts" in told
    results = json.loads((second / "results.json").read_text())
    assert results["cells_missing"] == 0
    assert {group["arm"] for group in results["groups"]} == {"alone", "targeted"}
    again = tmp_path / "again"
    assert unpack(archive, again / "cells") == 2
    run(path, data, again)
    assert json.loads((again / "results.json").read_text()) == results
    with tarfile.open(archive) as opened:
        assert {name.partition("/")[2] for name in opened.getnames()} == {
            "cell.json", "test.json", "test.npz",
        }  # fmt: skip


def test_the_same_cells_give_the_same_bytes_and_what_is_there_stays(
    data: Path, grid: Callable[..., Path], tmp_path: Path
) -> None:
    write_test_file(data)
    cells = tmp_path / "out" / "cells"
    run(grid("alone", seeds=(0, 1)), data, tmp_path / "out")
    (cells / "half-done").mkdir()
    archives = [tmp_path / name for name in ("a.tar.xz", "b.tar.xz")]
    assert [pack(cells, archive) for archive in archives] == [2, 2]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    mine = cells / "tiny-30-s0-alone" / "test.json"
    mine.write_text("{}")
    assert unpack(archives[0], cells) == 0
    assert mine.read_text() == "{}"
    assert unpack(tmp_path / "nowhere.tar.xz", cells) == 0


@pytest.mark.parametrize("name", ["../evil/cell.json", "a/b/cell.json", "a/run.sh", "/a/cell.json"])
def test_nothing_but_cells_is_unpacked(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.tar.xz"
    with tarfile.open(archive, "w:xz") as opened:
        opened.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(DataError, match="no archive of cells"):
        unpack(archive, tmp_path / "cells")
    assert not (tmp_path / "cells").exists()


def test_a_damaged_archive_is_told(data: Path, grid: Callable[..., Path], tmp_path: Path) -> None:
    archive = tmp_path / "kept.tar.xz"
    with tarfile.open(archive, "w:xz") as opened:
        large = tarfile.TarInfo("a/cell.json")
        large.size = 100_000
        opened.addfile(large, io.BytesIO(bytes(i * i % 251 for i in range(large.size))))
    whole = archive.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + b"damage" + whole[middle + 6 :], b"cut off"):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            unpack(archive, tmp_path / "cells")
    assert not (tmp_path / "cells").exists()
    given = ["bench", str(grid("alone")), "--data", str(data), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*given, "--archive", str(archive)])
    assert ran.exit_code != 0
    assert archive.read_bytes() == b"cut off"  # it is not written over
