"""What `make bench-quick` fetches, from a folder in the host's place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgkd.tasks.classification.data.dataset import read_rows

ROOT = Path(__file__).parents[3]
TREC_TRAIN = "DESC:def What is an atom ?\nHUM:ind Who killed Gandhi ?\nNUM:date When did it end ?\n"
TREC_TEST = "DESC:def What is an atom ?\nLOC:city Where is Milan ?\n"
BANKING_TRAIN = 'text,category\n"I wait, still",card_arrival\nWhere from?,country_support\n'
BANKING_TEST = "text,category\nHow do I find it?,card_arrival\n"


def fetch(host: Path, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", "fetch", "--data-root", to],
        env={**os.environ, "BENCH_DATA_HOST": host.as_uri()}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Path:
    trec = "tmadhuri/TREC-HindiData/15f8c5be9fa04434238bd3c08fb08685b210a7b2"
    qnn = "FreedomIntelligence/qnn/77f549372d4371e7f2d52e77bc18df5096dd4779/data/TREC"
    bank = "PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data"
    files = {
        f"{trec}/train_5500.label": TREC_TRAIN, f"{qnn}/TREC_10.label": TREC_TEST,
        f"{bank}/train.csv": BANKING_TRAIN, f"{bank}/test.csv": BANKING_TEST,
    }  # fmt: skip
    for name, content in files.items():
        path = tmp_path / "host" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path / "host"


def test_what_it_writes_is_read_as_a_data_set(host: Path, tmp_path: Path) -> None:
    done = fetch(host, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    trec = tmp_path / "data" / "trec6"
    assert read_rows(trec / "test.csv.gz", "text", "label") == (
        ["What is an atom ?", "Where is Milan ?"], ["description", "location"],
    )  # fmt: skip
    banking = tmp_path / "data" / "banking77"
    assert read_rows(banking / "train.csv.gz", "text", "label") == (
        ["I wait, still", "Where from?"], ["card_arrival", "country_support"],
    )  # fmt: skip


def test_a_test_text_trains_nothing(host: Path, tmp_path: Path) -> None:
    assert "trec6: 2 rows to train on, 2 to test on.\n" in fetch(host, tmp_path / "data").stdout
    texts, _ = read_rows(tmp_path / "data" / "trec6" / "train.csv.gz", "text", "label")
    assert texts == ["Who killed Gandhi ?", "When did it end ?"]


def test_what_is_there_is_not_fetched_again(host: Path, tmp_path: Path) -> None:
    fetch(host, tmp_path / "data")
    again = fetch(tmp_path / "nowhere", tmp_path / "data")
    assert again.stdout == "banking77 is there.\ntrec6 is there.\n"


def test_without_the_host_it_says_what_to_do_and_leaves_nothing(tmp_path: Path) -> None:
    done = fetch(tmp_path / "nowhere", tmp_path / "data")
    assert done.returncode == 1
    assert "banking77 could not be fetched" in done.stderr
    assert "or set DATA to where they are" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_page_in_place_of_the_file_is_no_data_set(host: Path, tmp_path: Path) -> None:
    for path in host.rglob("*.csv"):
        path.write_text("<html>busy</html>\n", encoding="utf-8")
    assert fetch(host, tmp_path / "data").returncode == 1
    assert not (tmp_path / "data").exists()
