"""What was finished is lost by no missing, cut or foreign file: a run is resumed whole, or not."""

from __future__ import annotations

import hashlib
import shutil
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.errors import PgkdError, RunError, TeacherUnavailableError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pgkd.events import Round
    from pgkd.task import Prompt

ROWS = make_rows(10)
FILES = (
    "config.yaml", "environment.json", "task.json", "journal.jsonl", "ledger.sqlite",
    "examples.jsonl", "rejected.jsonl", "label_issues.jsonl", "result.json", "students/best",
    "students/last/student.json", "students/best/head.safetensors",
)  # fmt: skip


class Other(FakeTeacher):
    """A teacher with other words than the first run's."""

    def complete(self, request: Request) -> Reply:
        reply = super().complete(request)
        return Reply(reply.text.replace("a", "o"), reply.model)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds that has ended."""
    return made(tmp_path_factory.mktemp("finished") / "run", FakeTeacher())


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same by another teacher: its requests have the same names, and other answers."""
    return made(tmp_path_factory.mktemp("foreign") / "run", Other())


def made(out: Path, teacher: FakeTeacher) -> Path:
    settings = {
        "student": {"kind": "linear"}, "teacher": {"provider": "fake"},
        "data": {"validation_fraction": 0.2}, "guidance": {"folds": 3, "texts_per_request": 2},
        "pool": {"samples": 6}, "exam": 0, "rounds": 2, "samples": 6, "out": out,
    }  # fmt: skip
    Distiller(Config.parse(settings), teacher=teacher).fit(*ROWS)
    return out


def digests(run: Path, within: str = "students") -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / within).rglob("*"))
        if path.is_file()
    }


def remove(path: Path, other: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path, other: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.write_bytes(b"")


def cut(path: Path, other: Path) -> None:
    if path.is_dir():
        path = path / "head.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path, other: Path) -> None:
    remove(path, other)
    shutil.copytree(other, path) if other.is_dir() else shutil.copy(other, path)


HARMS = {"missing": remove, "empty": empty, "cut": cut, "foreign": swap}


def resumed(run: Path, config: Config) -> tuple[str, FakeTeacher]:
    """What the same command ends with: its error, or nothing; and who was asked."""
    fake = FakeTeacher(lambda request: TeacherUnavailableError("down"))
    try:
        Distiller(config, teacher=fake, out=run).fit(*ROWS)
    except PgkdError as error:
        return str(error), fake
    return "", fake


def check(run: Path, whole: Path, config: Config, harmed: Sequence[str]) -> None:
    """Nothing was asked, and what was finished is as it was, or made anew as it was."""
    before = digests(run)
    told, fake = resumed(run, config)
    assert not fake.requests
    if told:
        assert digests(run) == before
        assert "Traceback" not in told
        assert len(told) < 2000
    else:
        assert digests(run) == digests(whole)
        for name in ("examples.jsonl", "rejected.jsonl", "result.json"):
            assert (run / name).read_text() == (whole / name).read_text()
    assert not (run / ".resuming").exists()
    if "ledger.sqlite" in harmed:
        assert told


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES)
def test_one_file_that_is_gone_or_harmed_loses_nothing(
    name: str, harm: str, finished: Path, foreign: Path, config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    HARMS[harm](run / name, foreign / name)
    check(run, finished, config, [name])


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    "pair",
    list(combinations(("journal.jsonl", "ledger.sqlite", "examples.jsonl", "result.json"), 2)),
    ids="+".join,
)
def test_two_files_that_are_harmed_lose_nothing(
    pair: tuple[str, str], harm: str, finished: Path, foreign: Path, config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    for name in pair:
        HARMS[harm](run / name, foreign / name)
    check(run, finished, config, pair if harm != "foreign" else [])


def test_an_empty_ledger_is_refused_and_says_what_is_missing(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    """The trap: everything was asked anew, and a worse student took the place of the best."""
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "ledger.sqlite").write_bytes(b"")
    told, _ = resumed(run, config)
    assert "ledger.sqlite is without" in told
    assert "journal.jsonl tells of" in told
    assert "Nothing of it was changed" in told
    assert (run / "ledger.sqlite").read_bytes() == b""


def test_a_journal_without_its_last_rounds_is_refused(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if '"round ended"' in line)
    (run / "journal.jsonl").write_text("".join(lines[: first + 1]))
    (run / "result.json").unlink()
    told, _ = resumed(run, config)
    assert "journal.jsonl ends after 1 rounds" in told


def test_what_was_finished_stays_until_what_follows_is_whole(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    """A run is killed while it repeats its rounds: the students and the records are the old."""
    run = tmp_path / "copy"
    shutil.copytree(finished, run)

    class Killed(Hooks):
        def on_round_end(self, finished: Round) -> None:
            if finished.number == 1:
                raise SystemExit("killed")

    with pytest.raises(SystemExit):
        Distiller(config, teacher=FakeTeacher(), out=run, hooks=[Killed()]).fit(*ROWS)
    assert digests(run) == digests(finished)
    for name in ("journal.jsonl", "examples.jsonl", "result.json"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()
    assert resumed(run, config)[0] == ""
    assert digests(run) == digests(finished)


def test_a_stop_while_it_is_repeated_leaves_the_run_as_it_was(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)

    class Stopped(Hooks):
        def on_round_start(self, number: int, asks: Sequence[Prompt]) -> None:
            raise KeyboardInterrupt("ann stopped it")

    with pytest.raises(RunError, match=r"(?s)ann stopped it.*It is as it was"):
        Distiller(config, teacher=FakeTeacher(), out=run, hooks=[Stopped()]).fit(*ROWS)
    assert (run / "journal.jsonl").read_bytes() == (finished / "journal.jsonl").read_bytes()
    assert RunFolder.open(run).read_json("result.json")["stopped_by"] == "rounds"


def test_a_run_that_broke_off_goes_on_where_it_can(config: Config, tmp_path: Path) -> None:
    """Its files agree after any call, so it is resumed, and what it had is settled on the way."""
    whole = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "whole").fit(*ROWS).run_
    for after in range(len(calls_of(whole))):
        fake = FakeTeacher()

        def answer(
            request: Request, fake: FakeTeacher = fake, after: int = after
        ) -> Reply | Exception:
            if len(fake.requests) == after:
                raise SystemExit("cut off")
            return fake.complete(request)

        out = tmp_path / f"cut{after}"
        for teacher in (FakeTeacher(answer), FakeTeacher()):
            try:
                Distiller(config, teacher=teacher, out=out).fit(*ROWS)
            except SystemExit:
                continue
        assert digests(out) == digests(whole.path)


def made_link(folder: Path) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        target = folder / f"thesis-{path.name}"
        shutil.move(path, target)
        path.symlink_to(target)

    return link


@pytest.mark.parametrize("name", [*FILES, ".lock"])
def test_a_link_that_leaves_the_run_is_refused(
    name: str, finished: Path, config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / ".lock").write_text("not to be emptied")
    made_link(tmp_path)(run / name)
    content = {path: path.read_bytes() for path in tmp_path.glob("thesis*") if path.is_file()}
    told, fake = resumed(run, config)
    assert not fake.requests
    read = name not in ("rejected.jsonl", "label_issues.jsonl") and not name.startswith("students")
    assert bool(told) == read  # what is not read is written anew, and the link goes
    assert all(path.read_bytes() == before for path, before in content.items())
