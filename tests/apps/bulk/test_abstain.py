"""Answers that are flagged as unsure: the column, and what a resumed file makes of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.apps.bulk import predicting
from pgkd.apps.bulk.predicting import BulkJob, predict_file, predict_stream
from pgkd.errors import ConfigError, ResumeError
from tests.apps.bulk.conftest import make_texts
from tests.apps.bulk.test_predicting import Scissors, classifier, cut_off

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 40)


@pytest.fixture
def unsure(job: BulkJob) -> BulkJob:
    """Half of the answers are below its threshold, and one is just at it."""
    sure = classifier(job.model).predict_proba(make_texts(300)).max(axis=1)
    return replace(job, abstain_below=float(np.sort(sure)[150]))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_answers_below_the_threshold_are_flagged(
    unsure: BulkJob, tmp_path: Path, suffix: str
) -> None:
    job, out = replace(unsure, suffix=suffix), tmp_path / f"out{suffix}"
    predict_file(job, out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(x) for x in file]
    sure = classifier(job.model).predict_proba(make_texts(300)).max(axis=1)
    said: dict[Any, bool] = {"true": True, "false": False, True: True, False: False}
    assert list(rows[0]) == ["text", "label", "probability", "abstain"]
    assert [said[row["abstain"]] for row in rows] == [p < job.abstain_below for p in sure]
    assert 0 < sum(said[row["abstain"]] for row in rows) <= 150


def test_the_other_columns_are_those_of_a_file_without_it(unsure: BulkJob, tmp_path: Path) -> None:
    found = []
    for job, name in ((unsure, "a.csv"), (replace(unsure, abstain_below=None), "b.csv")):
        predict_file(job, tmp_path / name)
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            found.append(list(csv.reader(file)))
    assert [row[:3] for row in found[0]] == found[1]


def test_no_answer_is_below_nothing_and_the_column_is_still_there(
    job: BulkJob, tmp_path: Path
) -> None:
    predict_file(replace(job, abstain_below=0.0), tmp_path / "out.csv")
    header, *lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert header == "text,label,probability,abstain"
    assert all(line.endswith(",false") for line in lines)


def test_a_stream_flags_as_a_file_does(unsure: BulkJob, tmp_path: Path) -> None:
    job, target = replace(unsure, suffix=".jsonl"), io.BytesIO()
    predict_file(job, tmp_path / "out.jsonl")
    with job.source.path.open("rb") as texts:
        predict_stream(job, texts, target)
    assert target.getvalue() == (tmp_path / "out.jsonl").read_bytes()


def test_a_file_that_was_cut_off_goes_on_with_its_own_threshold_only(
    unsure: BulkJob, tmp_path: Path
) -> None:
    predict_file(unsure, tmp_path / "whole.csv")
    out = tmp_path / "out.csv"
    cut_off(unsure, out)
    below = unsure.abstain_below
    for other in (None, 0.25):
        with pytest.raises(ResumeError, match=f"  - abstain below: {below} then, {other} now"):
            predict_file(replace(unsure, abstain_below=other), out)
    predict_file(unsure, out)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_file_begun_without_the_column_gets_none_later(job: BulkJob, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    cut_off(job, out)
    with pytest.raises(ResumeError, match=r"abstain below: None then, 0\.5 now"):
        predict_file(replace(job, abstain_below=0.5), out, watcher=Scissors(1))


@pytest.mark.parametrize("below", [-0.1, 70, float("nan")])
def test_what_is_no_probability_is_refused(job: BulkJob, below: float) -> None:
    with pytest.raises(ConfigError, match="give a probability from 0 to 1"):
        replace(job, abstain_below=below)
