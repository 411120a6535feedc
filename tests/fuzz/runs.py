"""A fuzz of run folders: every file harmed in every way, and every command that reads it.

`make fuzz-runs` runs all cells; `test_runs` runs some of them with every `make test`. A cell has to
end with an answer or a sentence, and no byte of a finished student may have changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.errors import PgkdError
from pgkd.files import system_error
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from pgkd.text import printable
from tests.conftest import make_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 10  # that a cell may compute
_BUSY = 6  # times as long it may take, where others use the machine
_LONGEST = 2000  # characters of a sentence
_HUGE = 1 << 30  # bytes; the file has a hole, and takes no room
_DEEP = 100_000
_ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
_COLUMNS = ("text", "label")

FILES = (
    "config.yaml", "environment.json", "task.json", "journal.jsonl", "ledger.sqlite",
    "examples.jsonl", "rejected.jsonl", "label_issues.jsonl", "reviews.jsonl", "result.json",
    "evaluation.json", "reviewed.json", "control.json", ".lock", "students/best",
    "students/best/student.json", "students/best/head.safetensors",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a cell runs.

    Attributes:
        run: the harmed run, in a folder of runs with a sound one beside it.
        rows: what the run was trained on.
        test: other rows.
        out: a folder for what a command writes.
    """

    run: Path
    rows: Path
    test: Path
    out: Path


def _missing(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _empty(path: Path) -> None:
    _replace(path, b"")


def _cut(path: Path) -> None:
    if path.is_dir():
        return _cut(path / "head.safetensors")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return None


def _random_bytes(path: Path) -> None:
    _replace(path, random.Random(0).randbytes(5000) + b"\n")


def _no_utf8(path: Path) -> None:
    _replace(path, b'{"event": "\xff\xfe", "text": "\xc3"}\n')


def _other_type(path: Path) -> None:
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        turned = [json.dumps({key: [0] for key in json.loads(line)}) for line in lines]
        _replace(path, "\n".join([*turned, "[1]", ""]).encode())
    elif path.suffix == ".json":
        found = json.loads(path.read_text(encoding="utf-8"))
        _replace(path, json.dumps(dict.fromkeys(found, 7)).encode())
    else:
        _replace(path, b"teacher: [1]\nstudent: 7\nrounds: many\ncuration: {near_duplicate: x}\n")


def _no_object(path: Path) -> None:
    _replace(path, b"[1, 2]\n")


def _missing_keys(path: Path) -> None:
    _replace(path, b"{}\n" if path.suffix != ".jsonl" else b'{"event": "round ended"}\n')


def _folder(path: Path) -> None:
    _missing(path)
    path.mkdir()


def _nested(path: Path) -> None:
    deep = b"[" * _DEEP + b"]" * _DEEP
    _replace(path, b'{"event": ' + deep + b', "a": ' + deep + b"}\n")


def _aliases(path: Path) -> None:
    _replace(path, _ALIASES.encode())


def _huge(path: Path) -> None:
    file = path / "student.json" if path.is_dir() else path
    os.truncate(file, _HUGE)


def _pipe(path: Path) -> None:
    _missing(path)
    os.mkfifo(path)


def _link_out(path: Path) -> None:
    target = path.parents[len(path.parts) - 1 - path.parts.index("runs")] / "elsewhere"
    shutil.move(path, target)
    path.symlink_to(target)


def _link_in_a_circle(path: Path) -> None:
    _missing(path)
    path.symlink_to(path.name)


def _replace(path: Path, content: bytes) -> None:
    _missing(path)
    path.write_bytes(content)


HARMS: dict[str, Callable[[Path], object]] = {
    "missing": _missing, "empty": _empty, "cut": _cut, "random bytes": _random_bytes,
    "no UTF-8": _no_utf8, "other types": _other_type, "no object": _no_object,
    "missing keys": _missing_keys, "a folder": _folder, "nested": _nested, "aliases": _aliases,
    "huge": _huge, "a pipe": _pipe, "a link out": _link_out,
    "a link in a circle": _link_in_a_circle,
}  # fmt: skip


def _distill(place: Place) -> list[str]:
    return [
        "distill", "--train", str(place.rows), "--teacher", "fake", "--student", "linear",
        "--rounds", "1", "--samples", "6", "--out", str(place.run),
    ]  # fmt: skip


COMMANDS: dict[str, Callable[[Place], list[str]]] = {
    "show": lambda place: ["show", str(place.run), "--prompts"],
    "report": lambda place: ["report", str(place.run), "--json"],
    "cost": lambda place: ["cost", str(place.run)],
    "predict": lambda place: ["predict", str(place.run), "the parcel is late"],
    "evaluate": lambda place: ["evaluate", str(place.run), "--data", str(place.test)],
    "export": lambda place: ["export", str(place.run), "--out", str(place.out / "export")],
    "dataset": lambda place: ["dataset", str(place.run), "--out", str(place.out / "data")],
    "retrain": lambda place: ["retrain", str(place.run)],
    "distill": _distill,
}
UI = "ui"


@dataclass(frozen=True)
class Cell:
    """A file, what is done to it, and a command."""

    file: str
    harm: str
    command: str

    def __str__(self) -> str:
        return f"{self.file}, {self.harm}: {self.command}"


def cells() -> list[Cell]:
    """All of them, in an order of their own."""
    return [
        Cell(file, harm, command)
        for file in FILES
        for harm in HARMS
        for command in (*COMMANDS, UI)
        if _makes_sense(file, harm)
    ]


def _makes_sense(file: str, harm: str) -> bool:
    if harm == "other types":
        return Path(file).suffix in (".json", ".jsonl", ".yaml")
    return harm != "aliases" or file == "config.yaml"


def make_pristine(folder: Path) -> None:
    """A finished run with an evaluation and decisions, and rows to run the commands on."""
    for name, count, start in (("rows.csv", 10, 0), ("test.csv", 4, 40)):
        texts, labels = make_rows(count, start=start)
        lines = [f'"{text}",{label}' for text, label in zip(texts, labels, strict=True)]
        content = "\n".join([",".join(_COLUMNS), *lines, ""])
        (folder / name).write_text(content, encoding="utf-8")
    place = Place(folder / "runs" / "bad", folder / "rows.csv", folder / "test.csv", folder)
    for command in (_distill(place), COMMANDS["evaluate"](place)):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    run = _open(place.run)
    Reviews(run.path, run.dataset().taxonomy.names).decide(run.synthetic()[0].id, "accept", "ann")
    retrain(run)
    run.write_json("control.json", {"signal": "go", "by": "ann", "time": ""})
    shutil.copytree(place.run, folder / "runs" / "good")


def _open(path: Path) -> Any:
    from pgkd.runs.folder import RunFolder

    return RunFolder.open(path)


class CellError(AssertionError):
    """A cell did not end as it has to."""


def run_cell(cell: Cell, pristine: Path, work: Path) -> str:
    """How a cell ended: ``"answer"``, or the sentence that it ended with.

    Raises:
        CellError: it ended in another way, or has changed a student.
    """
    shutil.copytree(pristine, work, symlinks=True)
    place = Place(work / "runs" / "bad", work / "rows.csv", work / "test.csv", work / "out")
    place.out.mkdir()
    HARMS[cell.harm](place.run / cell.file)
    before = _students(place.run, cell.file)
    with _within(SECONDS, cell):
        told = _ui(work / "runs") if cell.command == UI else _command(cell, place)
    if _students(place.run, cell.file) != before:
        raise CellError(f"{cell}: a student has changed")
    return told


def _command(cell: Cell, place: Place) -> str:
    done = CliRunner().invoke(app, COMMANDS[cell.command](place))
    error = done.exception
    if error is None or isinstance(error, SystemExit):
        if done.exit_code not in (0, 1):
            raise CellError(f"{cell}: exit status {done.exit_code}: {done.output}")
        return "answer"
    if not isinstance(error, PgkdError | OSError):
        raise CellError(f"{cell}: {error!r:.500}") from error
    told = system_error(error) if isinstance(error, OSError) else str(error)
    if not told.strip() or len(told) > _LONGEST or printable(told) != told:
        raise CellError(f"{cell}: {told[:500]!r} is no sentence")
    return told


def _ui(runs: Path) -> str:
    """The pages of the web UI: that of all runs has to be there, whatever one of them is like."""
    from starlette.testclient import TestClient

    from pgkd.apps.server.process import Limits
    from pgkd.apps.ui.app import make_app

    with TestClient(
        make_app(runs, "token", ("testserver",), "ann", Limits()), raise_server_exceptions=False
    ) as client:
        client.get("/?token=token")
        pages = {
            path: client.get(path)
            for path in ("/", "/now", *(f"/runs/bad{end}" for end in ("", "/review", "/retrain")))
        }
    told = {path: page.status_code for path, page in pages.items()}
    if pages["/"].status_code != 200 or "good" not in pages["/"].text:
        raise CellError(f"ui: / answers {told['/']}")
    if set(told.values()) - {200, 422}:
        raise CellError(f"ui: {told}")
    return "answer" if set(told.values()) == {200} else "sentence"


class _TooSlowError(BaseException):
    """No `except Exception` holds it up."""


@contextmanager
def _within(seconds: float, cell: Cell) -> Iterator[None]:
    """End what computes for so long, and what waits for ever: on a busy machine all take longer."""

    def end(number: int, frame: object) -> None:
        raise _TooSlowError(f"{cell}: not done after {seconds:g} s")

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, _BUSY * seconds),
    }
    before = {number: signal.signal(number, end) for number, _ in timers.values()}
    for timer, (_, most) in timers.items():
        signal.setitimer(timer, most)
    try:
        yield
    except _TooSlowError as error:
        raise CellError(str(error)) from None
    finally:
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def _students(run: Path, harmed: str) -> dict[str, str]:
    """Digests of the students' files, but for the harmed ones."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "students").rglob("*"))
        for name in [path.relative_to(run).as_posix()]
        if not name.startswith((harmed, "students/reviewed")) and path.is_file()
    }


def main() -> None:
    """Run every cell, or those that a word given is part of; print those that did not end well."""
    words = sys.argv[1:]
    failed: list[str] = []
    endings: Counter[str] = Counter()
    slowest = (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        pristine = Path(folder) / "pristine"
        pristine.mkdir()
        make_pristine(pristine)
        chosen = [c for c in cells() if not words or any(word in str(c) for word in words)]
        for number, cell in enumerate(chosen, start=1):
            begun = time.process_time()
            work = Path(folder) / "work"
            try:
                told = run_cell(cell, pristine, work)
                endings["answer" if told == "answer" else "sentence"] += 1
            except CellError as error:
                failed.append(str(error))
                print(error, flush=True)
            shutil.rmtree(work, ignore_errors=True)
            slowest = max(slowest, (time.process_time() - begun, str(cell)))
            if number % 100 == 0:
                print(f"{number} of {len(chosen)} cells, {len(failed)} failed", flush=True)
    print(f"{dict(endings)}, {len(failed)} failed")
    print(f"most to compute, {slowest[0]:.1f} s: {slowest[1]}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
