"""Files and folders are there whole, or not at all."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from filelock import Timeout

from pgkd.errors import RunError
from pgkd.files import copy_folder, held, system_error, write_anew, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_many_may_write_one_file_at_once(tmp_path: Path) -> None:
    path, texts, raised = tmp_path / "file", [c * 100_000 for c in "abcd"], []

    def write(text: str) -> None:
        try:
            for _ in range(100):
                write_whole(path, text, alone=False)
        except OSError as error:
            raised.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_text() in texts
    assert raised == []
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file", "text")
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    write_anew(folder, lambda new: (new / "weights").write_text("old"))

    def fail(new: Path) -> None:
        (new / "weights").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_anew(folder, fail)
    assert (folder / "weights").read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["student"]


def test_a_copy_shares_what_is_shared_and_nothing_else(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    (source / "head").write_text("trained here")
    (tmp_path / "cached").write_text("pretrained")
    (source / "encoder").hardlink_to(tmp_path / "cached")
    copy_folder(source, copy)
    assert (copy / "encoder").samefile(tmp_path / "cached")
    assert not (copy / "head").samefile(source / "head")


def test_what_is_held_is_refused_to_others_until_it_is_let_go(tmp_path: Path) -> None:
    lock, taken = tmp_path / ".lock", RunError("Another process has it.")
    with held(lock, taken):
        with pytest.raises(RunError, match="Another process has it"), held(lock, taken):
            pytest.fail("two held it at once")
        with pytest.raises(RunError, match="Another process has it"), held(lock, taken):
            pytest.fail("a refusal let go of it")
    with held(lock, taken):
        pass


def test_what_is_held_is_let_go_where_the_work_fails(tmp_path: Path) -> None:
    """And the error is the work's own, even where that waited for a lock in vain."""
    lock, taken = tmp_path / ".lock", RunError("Another process has it.")
    with pytest.raises(Timeout, match="elsewhere"), held(lock, taken):
        raise Timeout("elsewhere")
    with held(lock, taken):
        pass


def test_whatever_stands_in_the_place_of_a_folder_makes_way(tmp_path: Path) -> None:
    """A pipe is not waited at, and a link goes without what it leads to."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text").write_text("irreplaceable")
    folder = tmp_path / "student"
    os.mkfifo(folder)
    write_anew(folder, lambda new: (new / "weights").write_text("new"))
    assert (folder / "weights").read_text() == "new"
    for name in ("link", ".link.partial", ".link.old"):
        (tmp_path / name).symlink_to("thesis")
    write_anew(tmp_path / "link", lambda new: (new / "weights").write_text("new"))
    assert (tmp_path / "link/weights").read_text() == "new"
    assert (tmp_path / "thesis/text").read_text() == "irreplaceable"


def test_a_lock_that_is_a_link_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("irreplaceable")
    (tmp_path / ".lock").symlink_to("thesis")
    with pytest.raises(OSError, match="no regular file"), held(tmp_path / ".lock", RunError("no")):
        pass
    assert (tmp_path / "thesis").read_text() == "irreplaceable"


def test_a_full_disk_names_the_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *how: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.open", full)
    with pytest.raises(OSError, match="No space left") as found:
        write_whole(tmp_path / "file", "text")
    told = system_error(found.value)
    assert told.startswith(f"{tmp_path / 'file'}: No space left on device. Make room")
