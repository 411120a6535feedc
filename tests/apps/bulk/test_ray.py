"""`--engine ray`: Ray itself, on this machine. `make test-ray` runs this."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgkd.apps.bulk.predicting import BulkJob, Source, Watcher, predict_file
from pgkd.errors import DataError, StudentError
from tests.apps.bulk.conftest import make_texts, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="the extra 'ray' is not installed; `make test-ray` installs it and runs this",
    ),
    pytest.mark.filterwarnings("default"),  # Ray's own
]
ROWS = 9000  # three chunks: in Ray's workers their size is what it is


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests: starting takes longer than they do."""
    from pgkd.apps.bulk.ray_engine import connected

    with connected():
        yield


@pytest.fixture
def long(job: BulkJob, tmp_path: Path) -> BulkJob:
    return replace(job, source=Source(write_lines(tmp_path / "long.txt", make_texts(ROWS))))


class Cut(Watcher):
    def on_rows(self, done: int) -> None:
        raise InterruptedError


@pytest.mark.parametrize("abstain_below", [None, 0.5])
def test_the_answers_are_those_of_one_process_in_the_same_order(
    long: BulkJob, tmp_path: Path, abstain_below: float | None
) -> None:
    long = replace(long, abstain_below=abstain_below)
    assert predict_file(long, tmp_path / "here.csv") == ROWS
    assert predict_file(long, tmp_path / "ray.csv", engine="ray") == ROWS
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def test_what_was_cut_off_goes_on_where_it_stopped(long: BulkJob, tmp_path: Path) -> None:
    predict_file(long, tmp_path / "here.csv")
    with pytest.raises(InterruptedError):
        predict_file(long, tmp_path / "ray.csv", engine="ray", watcher=Cut())
    started: list[int] = []

    class Heard(Watcher):
        def on_start(self, done: int, total: int | None) -> None:
            started.append(done)

    predict_file(long, tmp_path / "ray.csv", engine="ray", watcher=Heard())
    assert started == [4096]
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def test_an_error_of_another_process_is_told_as_it_was(long: BulkJob, tmp_path: Path) -> None:
    class Vandal(Watcher):
        def on_start(self, done: int, total: int | None) -> None:
            long.source.path.write_bytes(b"fine\n\xff\n")

    with pytest.raises(DataError, match="line 2: byte 1 is not UTF-8"):
        predict_file(long, tmp_path / "ray.csv", engine="ray", watcher=Vandal())


def test_a_model_that_cannot_be_loaded_is_told_before_ray_starts(
    job: BulkJob, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "student.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StudentError, match="is not a saved student"):
        predict_file(replace(job, model=broken), tmp_path / "ray.csv", engine="ray")
