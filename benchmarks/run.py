"""Run a benchmark by its name: `make bench-NAME` calls this. `SPECS` says what each one is.

    python benchmarks/run.py recipes --data-root ../shared/data
    python benchmarks/run.py recipes --data trec6 --seeds 0     # more options go to every command

`quick` and `fetch` get two data sets, where they are missing, from where their authors, or others,
have put them: ``NAME/train.csv.gz`` and ``NAME/test.csv.gz`` with the columns text and label. A
training row whose text is in the test file is left out; what is repeated within a file, runs settle
(`data.on_conflict`). The splits are the official ones of BANKING77 (Casanueva et al., 2020; CC BY
4.0) and of the questions of TREC (Li & Roth, 2002; no licence stated).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from pgkd.files import write_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Row = tuple[str, str]

HERE = Path(__file__).parent
_ROOT = ("--data-root", "$root")
_RECIPES = ("recipes.py", *_ROOT)
_POOL = ("pool.py", *_ROOT, "--seeds", "0", "1", "2", "--test", "--out")
_SETFIT = (
    "--arms",
    "lr",
    "frozen",
    "auto",
    "setfit",
    "--setfit-iterations",
    "5",
    "--setfit-python",
    "$setfit",
)
_SERVE = "$python $teacher --bank $bank/{data}.csv.gz --known $root/{data}/train.csv.gz --wrong"
_STRONG = ("strong.py", *_ROOT, "--judge", "test", "--teacher")
_FOUR = ("banking77", "trec6", "clinc150", "stackoverflow20")

SPECS: dict[str, tuple[tuple[str, ...], ...]] = {
    "fetch": (),
    "quick": (
        ("pgkd", "bench", "$here/quick.yaml", "--data", "$root", "--out", "runs/bench/quick"),
    ),
    "strong": ((*_STRONG, "strong", "--serve", f"{_SERVE} 0"),),
    "weak": ((*_STRONG, "weak", "--serve", f"{_SERVE} .4"),),
    "spending": (
        ("strong.py", *_ROOT, "--bank", "$bank", "--rows", "100", "400", "1000",
         "--out", "$results/spending.json"),
    ),
    "round0": (
        (*_RECIPES, "--judge", "test", "--arms", "alone", "frozen",
         "--data", "banking77", "huffpost41_skew", "agnews"),
    ),
    "recipes": (
        (*_RECIPES, "--judge", "held", "--arms", "lr", "frozen", "auto"),
        (*_RECIPES, "--judge", "test", "--arms", "lr", "frozen", "auto"),
    ),
    "setfit": ((*_RECIPES, "--judge", "test", *_SETFIT),),
    "pool": (
        (*_POOL, "$results/pool_test.jsonl", "--rounds", "20"),
        (*_POOL, "$results/pool_test_held.jsonl", "--teacher", "held", "--data", *_FOUR),
        (*_POOL, "$results/pool_test_full.jsonl", "--teacher", "full", "--data", "trec6"),
    ),
    "imported": (
        ("imported.py", *_ROOT, "--judge", "test"),
        *(
            ("imported.py", *_ROOT, "--rows", "1500", "--wrong", wrong, "--kinds", kind,
             "--arms", "raw", "cleaned", "always")
            for wrong, kind in (("0", "uniform"), (".15", "confusable"))
        ),
    ),
    "labelling": (("labelling.py", *_ROOT, "--out", "$results/labelling.json"),),
    "serving": (
        ("serving.py", "--teacher"),
        ("serving.py", "--dollars"),
        ("exports.py", "int8", *_ROOT),
    ),
    "growth": (("exports.py", "growth"),),
    "server": (("server.py", "--budgets", "384", "768", "3072"),),
    "soak": (("server.py", "--soak", "10"),),
}  # fmt: skip
"""The commands of each benchmark: a script of this folder, or `pgkd`, and its arguments."""

HOST = "https://raw.githubusercontent.com"
CODES = {  # of TREC, written out after Li & Roth's definitions: names are what a teacher reads
    "ABBR": "abbreviation", "DESC": "description", "ENTY": "entity",
    "HUM": "human", "LOC": "location", "NUM": "number",
}  # fmt: skip
LARGEST = 20_000_000  # bytes of a file


def banking(content: str) -> Iterator[Row]:
    """Rows of a file of BANKING77, a CSV."""
    for row in csv.DictReader(io.StringIO(content)):
        yield row["text"], row["category"]


def trec(content: str) -> Iterator[Row]:
    """Rows of a file of TREC: ``CLASS:subclass text``, one a line."""
    for line in content.splitlines():
        code, _, text = line.partition(" ")
        yield text, CODES[code.partition(":")[0]]


class Source(NamedTuple):
    """Where a data set is.

    Attributes:
        train: path of the training file on the host, at one commit.
        test: that of the test file.
        rows: reads the rows of either.
    """

    train: str
    test: str
    rows: Callable[[str], Iterator[Row]]


_POLYAI = "PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data"
SOURCES = {
    "banking77": Source(f"{_POLYAI}/train.csv", f"{_POLYAI}/test.csv", banking),
    "trec6": Source(
        "tmadhuri/TREC-HindiData/15f8c5be9fa04434238bd3c08fb08685b210a7b2/train_5500.label",
        "FreedomIntelligence/qnn/77f549372d4371e7f2d52e77bc18df5096dd4779/data/TREC/TREC_10.label",
        trec,
    ),
}


def main() -> None:
    """Run the commands of a benchmark, one after the other."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    add = parser.add_argument
    add("name", choices=SPECS)
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--bank", type=Path, default=Path("../shared/bank"), help="folder of the texts of an LLM")
    add("--bank-teacher", type=Path, default=Path("../shared/tools/bank_teacher.py"))
    add("--setfit-python", default=".venv-setfit/bin/python")
    args, more = parser.parse_known_args()
    places = {
        "root": args.data_root, "bank": args.bank, "teacher": args.bank_teacher, "here": HERE,
        "results": HERE / "results", "python": sys.executable, "setfit": args.setfit_python,
    }  # fmt: skip
    if args.name in ("fetch", "quick"):
        fetch_missing(args.data_root)
    for command in SPECS[args.name]:
        program, *words = [Template(word).substitute(places) for word in command]
        start = ["-m", "pgkd"] if program == "pgkd" else [str(HERE / program)]
        subprocess.run([sys.executable, *start, *words, *more], check=True)


def fetch_missing(root: Path) -> None:
    """Fetch the data sets of `quick` that are not there."""
    for name, source in SOURCES.items():
        if (root / name / "train.csv.gz").is_file():
            print(f"{name} is there.")
            continue
        try:
            counts = fetch(source, root / name)
        except (OSError, ValueError, KeyError) as error:
            sys.exit(
                f"{name} could not be fetched: {error!r}. Put train.csv.gz and test.csv.gz, with "
                f"columns text and label, into {root / name}, or set DATA to where they are."
            )
        print(f"{name}: {counts[0]} rows to train on, {counts[1]} to test on.")


def fetch(source: Source, folder: Path) -> tuple[int, int]:
    """Write a data set; returns the number of its training and test rows.

    Raises:
        OSError: the host cannot be reached, or has no such file.
        ValueError: a file is too large, or not what it should be.
        KeyError: so is a row.
    """
    test = list(source.rows(download(source.test)))
    seen = {text for text, _ in test}
    train = [row for row in source.rows(download(source.train)) if row[0] not in seen]
    if not train or not test:
        raise ValueError("a file has no rows")

    def write(new: Path) -> None:
        for name, rows in (("train", train), ("test", test)):
            with gzip.open(new / f"{name}.csv.gz", "wt", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "label"), *rows])

    folder.parent.mkdir(parents=True, exist_ok=True)
    write_anew(folder, write)
    return len(train), len(test)


def download(path: str) -> str:
    """A file of the host; ``BENCH_DATA_HOST`` names a mirror of it."""
    host = os.environ.get("BENCH_DATA_HOST", HOST).rstrip("/")
    with urllib.request.urlopen(f"{host}/{path}", timeout=60) as answer:
        content = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path} is larger than {LARGEST} bytes")
    return str(content.decode("utf-8", errors="replace"))


if __name__ == "__main__":
    main()
