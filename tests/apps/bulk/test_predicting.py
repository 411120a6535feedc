"""Files of any size: the answers, whatever the chunks; resuming; and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.apps.bulk import predicting
from pgkd.apps.bulk.answers import ResumableFile, partial_path
from pgkd.apps.bulk.predicting import (
    BulkJob,
    Source,
    Watcher,
    find_model,
    load_model,
    predict_file,
)
from pgkd.errors import ConfigError, DataError, MissingExtraError, ResumeError, RunError
from tests.apps.bulk.conftest import make_texts, write_lines
from tests.behaviour.test_light import python

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 40)


class Cut(Exception):  # noqa: N818  # no error: what a killed process is in these tests
    pass


class Scissors(Watcher):
    """Stops the work when so many rows are done."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_rows(self, done: int) -> None:
        if done >= self.at:
            raise Cut


class Heard(Watcher):
    def __init__(self) -> None:
        self.read: list[int] = []
        self.started: list[tuple[int, int | None]] = []
        self.done: list[int] = []

    def on_read(self, rows: int) -> None:
        self.read.append(rows)

    def on_start(self, done: int, total: int | None) -> None:
        self.started.append((done, total))

    def on_rows(self, done: int) -> None:
        self.done.append(done)


def classifier(folder: Path) -> Any:
    return load_model(folder)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "texts.txt")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_text_is_answered_in_its_order_as_by_the_model(
    job: BulkJob, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    assert predict_file(replace(job, suffix=suffix), out) == 300
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(x) for x in file]
    texts = make_texts(300)
    model = classifier(job.model)
    expected = model.predict_proba(texts)
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows] == [model.classes[i] for i in expected.argmax(axis=1)]
    found = np.array([float(row["probability"]) for row in rows])
    assert found == pytest.approx(expected.max(axis=1), abs=1e-6)
    assert left_in(tmp_path) == [out.name]


def test_a_chunk_ends_by_rows_or_by_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "CHUNK_CHARACTERS", 100)
    texts = ["a"] * 90 + ["b" * 60] * 3 + ["c"]
    chunks = list(Source(write_lines(tmp_path / "texts.txt", texts)).chunks())
    assert [len(chunk) for chunk in chunks] == [40, 40, 12, 2]
    assert [text for chunk in chunks for text in chunk] == texts


def test_what_was_cut_off_goes_on_where_it_stopped(job: BulkJob, tmp_path: Path) -> None:
    predict_file(job, tmp_path / "whole.csv")
    out, heard = tmp_path / "out.csv", Heard()
    with pytest.raises(Cut):
        predict_file(job, out, watcher=Scissors(120))
    assert left_in(tmp_path) == ["out.csv.partial", "out.csv.partial.journal", "whole.csv"]
    with partial_path(out).open("ab") as file:
        file.write(b"half of a st")
    assert predict_file(job, out, watcher=heard) == 300
    assert heard.started == [(120, 300)]
    assert heard.done == [160, 200, 240, 280, 300]
    assert heard.read[-1] == 300
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert left_in(tmp_path) == ["out.csv", "whole.csv"]


def test_rows_that_never_reached_the_disk_are_done_again(job: BulkJob, tmp_path: Path) -> None:
    """As after a power cut: the journal knows of more than the file holds."""
    predict_file(job, tmp_path / "whole.csv")
    out, heard = tmp_path / "out.csv", Heard()
    with pytest.raises(Cut):
        predict_file(job, out, watcher=Scissors(120))
    size = partial_path(out).stat().st_size
    with partial_path(out).open("r+b") as file:
        file.truncate(size - 1)
    predict_file(job, out, watcher=heard)
    assert heard.started == [(80, 300)]
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def cut_off(job: BulkJob, out: Path) -> None:
    with pytest.raises(Cut):
        predict_file(job, out, watcher=Scissors(80))


def test_other_texts_are_refused_with_the_difference(job: BulkJob, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    cut_off(job, out)
    held = partial_path(out).read_bytes()
    write_lines(job.source.path, [*make_texts(299), "another"])
    with pytest.raises(ResumeError, match=r"80 rows are done:\n  - digest: '\w{64}' then") as told:
        predict_file(job, out)
    assert "rows:" not in str(told.value)  # as many as before
    assert partial_path(out).read_bytes() == held
    assert predict_file(job, out, restart=True) == 300
    assert out.read_text(encoding="utf-8").splitlines()[-1].startswith("another,")


def test_another_model_or_version_is_refused_and_where_files_lie_is_not(
    job: BulkJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    cut_off(job, out)
    shutil.copytree(job.model, tmp_path / "model")
    shutil.copy(job.source.path, tmp_path / "moved.txt")
    moved = BulkJob(Source(tmp_path / "moved.txt"), tmp_path / "model", ".csv")
    cut_off(moved, out)
    with monkeypatch.context() as patched:
        patched.setattr("pgkd.__version__", "9")
        with pytest.raises(ResumeError, match="pgkd: '.*' then, '9' now"):
            predict_file(moved, out)
    with (tmp_path / "model" / "student.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(ResumeError, match="  - model: "):
        predict_file(moved, out)
    assert predict_file(job, out) == 300


def test_a_damaged_journal_is_refused(job: BulkJob, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    cut_off(job, out)
    (tmp_path / "out.csv.partial.journal").write_text("{oops\n", encoding="utf-8")
    with pytest.raises(ResumeError, match=r"is damaged.*--restart"):
        predict_file(job, out)


def test_a_file_that_another_process_writes_is_refused(job: BulkJob, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with (
        ResumableFile.open(out, {}, 1, restart=False),
        pytest.raises(ResumeError, match="Another process is writing"),
    ):
        predict_file(job, out)


def test_texts_that_change_meanwhile_are_refused(job: BulkJob, tmp_path: Path) -> None:
    class Writer(Watcher):
        def on_start(self, done: int, total: int | None) -> None:
            with job.source.path.open("a", encoding="utf-8") as file:
                file.write("one more\n")

    with pytest.raises(DataError, match="has changed while it was read"):
        predict_file(job, tmp_path / "out.csv", watcher=Writer())
    assert not (tmp_path / "out.csv").exists()


def test_all_that_is_wrong_with_the_rows_is_told_before_the_first_is_classified(
    job: BulkJob, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": "x"})] * 100
    lines[50], lines[90] = "{oops", '{"text": 3}'
    write_lines(path, lines)
    with pytest.raises(DataError, match="row 51 is no JSON") as told:
        predict_file(replace(job, source=Source(path)), tmp_path / "out.csv")
    assert "row 91 has no text but a value of type int" in str(told.value)
    assert left_in(tmp_path) == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", "\n\n", "has no rows"),
        ("a.csv", "text\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "body\nx\n", "has no column 'text'; it has 'body'"),
        ("a.csv", 'text\nfine\n"open\n', "row 2: unexpected end of data"),
        ("a.doc", "x", "no format that pgkd reads"),
    ],
)
def test_files_without_texts_are_refused(
    job: BulkJob, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        predict_file(replace(job, source=Source(tmp_path / name)), tmp_path / "out.csv")


def test_the_texts_are_not_overwritten(job: BulkJob, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds the texts"):
        predict_file(job, job.source.path)


def test_a_full_disk_is_told_and_loses_nothing(
    job: BulkJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_file(job, tmp_path / "whole.csv")
    out = tmp_path / "out.csv"

    class FullDisk(Watcher):
        def on_rows(self, done: int) -> None:
            if done == 80:
                monkeypatch.setattr("os.fsync", fails)

    def fails(number: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResumeError, match=r"No space left.*resumes after row 80"):
        predict_file(job, out, watcher=FullDisk())
    monkeypatch.undo()
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 40)
    predict_file(job, out)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_ray_is_an_extra(job: BulkJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pgkd\[ray\]'"):
        predict_file(job, tmp_path / "out.csv", engine="ray")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        find_model(tmp_path)


# Each life of the work is a process that ends at its n-th visit to the file system.
LIVES = """
import os, random, signal, sys, time
from pathlib import Path
from pgkd.apps.bulk import BulkJob, Source, predicting, predict_file
predicting.CHUNK_ROWS = 40
model, data, folder = map(Path, sys.argv[1:])
job = BulkJob(Source(data), model, ".csv")
predict_file(job, folder / "whole.csv")
whole = (folder / "whole.csv").read_bytes()

def live(out, moment=None, seconds=None):
    child = os.fork()
    if child == 0:
        seen = 0
        def visit(event, arguments):
            nonlocal seen
            if event not in ("open", "os.rename", "os.remove", "os.truncate"):
                return
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(visit)
        predict_file(job, out)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0

killed = 0
while not live(folder / f"{killed}.csv", moment=killed + 1):
    killed += 1
for i in range(killed):
    assert live(folder / f"{i}.csv")
    assert (folder / f"{i}.csv").read_bytes() == whole, i
rng, out = random.Random(0), folder / "random.csv"
for _ in range(8):
    live(out, seconds=rng.uniform(0, 0.05))
assert live(out)
assert out.read_bytes() == whole
print(killed, sorted(path.name for path in folder.iterdir() if path.suffix != ".csv"))
"""


def test_a_process_killed_at_any_visit_to_the_file_system_goes_on(
    job: BulkJob, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    killed, left = python(LIVES, str(job.model), str(job.source.path), str(folder)).split(" ", 1)
    assert int(killed) > 20  # two visits for each of eight chunks, and some before and after
    assert left == "[]"


# The peak of the resident memory, above what it is before the first row, in MB.
MEMORY = """
import sys
from pathlib import Path
from pgkd.apps.bulk import BulkJob, Source, predicting, predict_file
from pgkd.errors import DataError

class Model:
    def answers(self, texts):
        return [{"label": "a", "probability": 0.5} for _ in texts]

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

predicting.load_model = lambda folder: Model()
model, data, out = map(Path, sys.argv[1:])
predict_file(BulkJob(Source(data.with_name("one" + "".join(data.suffixes))), model, ".jsonl"), out)
before = peak()
try:
    predict_file(BulkJob(Source(data), model, ".jsonl"), out)
    told = ""
except DataError as error:
    told = str(error).splitlines()[1]
print(f"{peak() - before:.1f}", told)
"""


def write_rows(path: Path, texts: Iterator[str]) -> None:
    """A file of many rows, without holding them."""
    import gzip

    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([("text", pyarrow.string())])
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            for text in texts:
                writer.write_table(pyarrow.table({"text": [text + str(i) for i in range(1000)]}))
        return
    with gzip.open(path, "wt", 1) if path.suffix == ".gz" else path.open("w") as file:
        if path.suffixes[0] == ".csv":
            file.write("text\n")
        for text in texts:
            row = json.dumps({"text": text}) if path.suffixes[0] == ".jsonl" else text
            file.write(f"{row}\n" * 1000)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("name", "size", "most"),
    [("big.csv", 48, 24), ("big.jsonl.gz", 48, 24), ("big.parquet", 96, 60)],
)
def test_the_memory_does_not_grow_with_the_file(
    model: Path, tmp_path: Path, name: str, size: int, most: int
) -> None:
    """The trap: a file that is read as a whole takes its size and more."""
    write_rows(tmp_path / name, (f"{i} {'word ' * 400}" for i in range(size // 2)))
    write_rows(tmp_path / name.replace("big", "one"), iter(["text"]))
    risen, *told = python(
        MEMORY, str(model), str(tmp_path / name), str(tmp_path / "out.jsonl")
    ).split(" ", 1)
    assert not any(told)
    assert (tmp_path / "out.jsonl").stat().st_size > size * 1_000_000
    assert float(risen) < most


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", ["big.csv", "big.txt", "big.jsonl"])
def test_an_endless_line_is_refused_and_not_swallowed(
    model: Path, tmp_path: Path, name: str
) -> None:
    write_rows(tmp_path / name.replace("big", "one"), iter(["text"]))
    with (tmp_path / name).open("w", encoding="utf-8") as file:
        file.write("text\nfine\n" if name == "big.csv" else '{"text": "fine"}\n')
        for _ in range(48):
            file.write("word " * 200_000)
    risen, told = python(
        MEMORY, str(model), str(tmp_path / name), str(tmp_path / "out.jsonl")
    ).split(" ", 1)
    assert " 2: longer than 4,194,304 characters" in told
    assert float(risen) < 24
