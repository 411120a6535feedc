"""`pgkd predict --abstain-below`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.errors import ResumeError
from tests.apps.cli.test_commands import run as command
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "refund of the invoice"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "run"
    Distiller(teacher="fake", student={"kind": "linear"}, rounds=0, out=str(folder)).fit(
        *make_rows(10)
    )
    return folder


def one(run: Path, *options: Any, text: str = TEXT) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("predict", run, text, "--json", *options))
    return found


def test_the_answer_to_one_text_says_in_words_that_it_is_unsure(run: Path) -> None:
    of_all = "invoice parcel password battery"  # of each class a word
    printed = command("predict", run, of_all, "--abstain-below", 1)
    probability = one(run, text=of_all)[0]["probability"]
    assert f"Unsure: abstain, for {probability} is below 1." in printed
    for options in ([], ["--abstain-below", 0]):
        assert "nsure" not in command("predict", run, TEXT, *options)


def test_json_of_one_text_flags_its_answer_where_it_is_asked_to(run: Path) -> None:
    plain = one(run)
    assert all("abstain" not in candidate for candidate in plain)
    for below, unsure in ((1, True), (0, False)):
        first, *others = one(run, "--abstain-below", below)
        assert first == {**plain[0], "abstain": unsure}
        assert others == plain[1:]


def test_files_and_streams_are_flagged(run: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(f"{TEXT}\nqwxz\n", encoding="utf-8")
    given = ("predict", run, "--data", tmp_path / "texts.txt", "--out")
    # The second text has no word that was trained on: its answer is a guess.
    sure, guess = (json.loads(line)["probability"] for line in command(*given, "-").splitlines())
    below = ("--abstain-below", (sure + guess) / 2)
    lines = command(*given, "-", *below)
    assert [json.loads(line)["abstain"] for line in lines.splitlines()] == [False, True]
    command(*given, tmp_path / "out.jsonl", *below)
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == lines
    command(*given, tmp_path / "out.csv", *below)
    table = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "text,label,probability,abstain"
    assert [line.rpartition(",")[2] for line in table[1:]] == ["false", "true"]


def test_the_threshold_of_a_file_cannot_change_on_the_way(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise InterruptedError

    (tmp_path / "texts.txt").write_text(f"{TEXT}\n", encoding="utf-8")
    given = ("predict", run, "--data", tmp_path / "texts.txt", "--out", tmp_path / "out.csv")
    with monkeypatch.context() as patched:
        patched.setattr("pgkd.apps.bulk.predicting.load_model", killed)
        with pytest.raises(InterruptedError):
            command(*given, "--abstain-below", 0.5)
    with pytest.raises(ResumeError, match=r"abstain below: 0\.5 then, None now"):
        command(*given)
    command(*given, "--abstain-below", 0.5)
    assert (tmp_path / "out.csv").is_file()


@pytest.mark.parametrize("below", ["-0.1", "1.1", "half"])
def test_what_is_no_probability_is_refused(run: Path, below: str) -> None:
    command("predict", run, TEXT, "--abstain-below", below, code=2)
