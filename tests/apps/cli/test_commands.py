"""Every command, as a user runs it, with the teacher that needs no model."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.errors import (
    BudgetExhaustedError,
    ConfigError,
    DataError,
    PgkdError,
    RunError,
    TeacherUnavailableError,
    WeightsError,
)
from pgkd.runs.folder import RunFolder
from pgkd.runs.review import Reviews
from pgkd.teachers.base import Reply, Request
from pgkd.usage.ledger import Ledger
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, per_class: int, start: int = 0) -> Path:
    texts, labels = make_rows(per_class, start=start)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(zip(texts, labels, strict=True))
    return path


def run(*arguments: Any, code: int = 0, stdin: str | None = None) -> str:
    """Standard output of a command; a pgkd error is raised, as `main` would tell it."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.csv", 10)
    write(folder / "test.csv", 6, start=40)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path) -> Path:
    """A finished run of two rounds."""
    distil(data, data / "run")
    return data / "run"


def distil(data: Path, out: Path, *more: Any) -> str:
    return run(
        "distill", "--train", data / "train.csv", "--teacher", "fake", "--student", "linear",
        "--exam", 0, "--rounds", 2, "--samples", 6, "--out", out, *more,
    )  # fmt: skip


def test_the_package_runs_as_a_module() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pgkd", "models", "list", "--json"], capture_output=True, check=True
    )
    assert json.loads(found.stdout)


def test_the_help_of_distill_begins_with_the_basic_options() -> None:
    first, *others = run("distill", "--help").split("Advanced: ")
    assert re.findall(r"│ --(\S+)", first) == [
        "train", "config", "out", "task", "teacher", "teacher-model", "student", "instructions",
        "rounds", "budget-usd", "dry-run", "help",
    ]  # fmt: skip
    assert [part.split()[0] for part in others] == [
        "data",
        "student",
        "teacher",
        "rounds",
        "output",
    ]


def test_distill_shows_round_zero_best_and_last(data: Path, tmp_path: Path) -> None:
    printed = distil(data, tmp_path / "run")
    assert "validation" not in printed.replace("cross-validat", "")
    for part in (
        "Cross-validated on",
        "before the teacher (round 0)",
        "best (round",
        "last (round 2)",
    ):
        assert part in printed


def test_distill_tells_a_program_in_json(data: Path, tmp_path: Path) -> None:
    result = json.loads(distil(data, tmp_path / "run", "--json"))
    assert result["stopped_by"] == "rounds"
    assert [r["round"] for r in result["rounds"]] == [0, 1, 2]
    assert result["rounds"][0]["validation"]["n"] == 40  # few rows: all of them, out of fold


def test_distill_resumes_a_run_and_pays_nothing_twice(data: Path, tmp_path: Path) -> None:
    first = distil(data, tmp_path / "run")
    paid = len(calls_of(RunFolder(tmp_path / "run")))
    again = distil(data, tmp_path / "run")
    resumed = next(RunFolder(tmp_path / "run").read_lines("journal.jsonl"))
    assert (resumed["event"], resumed["replies"]) == ("run resumed", paid)
    assert len(calls_of(RunFolder(tmp_path / "run"))) == paid
    assert first.splitlines()[-12:] == again.splitlines()[-12:]


def test_distill_refuses_to_mix_settings(data: Path, tmp_path: Path) -> None:
    distil(data, tmp_path / "run")
    with pytest.raises(PgkdError, match="samples: 6 then, 7 now"):
        distil(data, tmp_path / "run", "--samples", 7)


def test_distill_reads_settings_and_options_win(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "pgkd.yaml"
    settings.write_text(
        f"data: {{train: {data / 'train.csv'}}}\nteacher: {{provider: fake}}\n"
        "student: {kind: linear}\nrounds: 7\nsamples: 4\n",
        encoding="utf-8",
    )
    run("distill", "--config", settings, "--rounds", 1, "--out", tmp_path / "run", "--json")
    kept = (tmp_path / "run/config.yaml").read_text()
    assert "rounds: 1\n" in kept
    assert "samples: 4\n" in kept


def test_the_settings_that_a_run_keeps_make_it_again_from_anywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    run(
        "distill", "--train", "train.csv", "--teacher", "fake", "--student", "linear",
        "--rounds", 1, "--samples", 4, "--out", tmp_path / "one", "--instructions", "Be brief.",
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run("distill", "--config", "one/config.yaml", "--out", "two")
    one, two = (calls_of(RunFolder(tmp_path / name)) for name in ("one", "two"))
    written = [call for call in one if call.purpose == "write"]
    assert "About the texts: Be brief." in written[0].request["messages"][0]["content"]
    assert [call.key for call in one] == [call.key for call in two]
    assert (tmp_path / "two/examples.jsonl").read_text() == (
        tmp_path / "one/examples.jsonl"
    ).read_text()


def test_distill_labels_texts_of_a_pool(data: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    words = ("kindly", "nothing", "perhaps", "somewhere", "tomorrow", "whoever")
    lines = [f"{word} {other} number {i}" for i, word in enumerate(words) for other in words[:3]]
    pool.write_text("\n".join(lines) + "\n", encoding="utf-8")
    distil(data, tmp_path / "run", "--unlabelled", pool, "--pool-share", "0.5")
    kept = RunFolder.open(tmp_path / "run").synthetic()
    labelled = [text for text in kept if not text.is_synthetic]
    assert len(labelled) == len(lines)  # a round asks for 32
    assert {text.text for text in labelled} <= set(lines)
    assert any(text.is_synthetic for text in kept)
    shown = run("show", tmp_path / "run")
    assert "labelled 1" in shown  # nobody was examined
    costs = json.loads(run("cost", tmp_path / "run", "--json"))
    assert "label" in json.dumps(costs)


def test_distill_tells_all_that_is_wrong_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("text,label\n,a\nx,\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        run(
            "distill", "--train", tmp_path / "bad.csv", "--teacher", "fake", "--out", tmp_path / "r"
        )
    assert len(caught.value.problems) >= 2
    assert not (tmp_path / "r").exists()


def test_distill_refuses_a_setting_out_of_bounds(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"rounds: .*greater than or equal to 0"):
        run("distill", "--train", data / "train.csv", "--rounds", -1)


def test_evaluate_compares_before_and_after(finished: Path, data: Path) -> None:
    printed = run("evaluate", finished, "--data", data / "test.csv", "--per-class")
    for part in ("(round 0)", "student after", "paired bootstrap", "F1 before", "billing"):
        assert part in printed


def test_evaluate_tells_what_the_label_names_brought_and_what_the_teacher(
    data: Path, tmp_path: Path
) -> None:
    names = ("parcel courier late lost box", "invoice fee refund charge paid",
             "login password email locked reset", "screen battery broken size colour")  # fmt: skip
    rows = [
        f"{word} {i}{word[::-1]},{name}" for name in names for i, word in enumerate(name.split())
    ]
    train = tmp_path / "train.csv"
    train.write_text("\n".join(("text,label", *rows)) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    printed = run(
        "distill", "--train", train, "--teacher", "fake", "--student", "linear",
        "--rounds", 1, "--samples", 4, "--out", out,
    )  # fmt: skip
    assert "before the teacher (round 0)" in printed
    test = tmp_path / "test.csv"
    test.write_text("\n".join(("text,label", *(f"again {row}" for row in rows))), encoding="utf-8")
    shown = run("evaluate", out, "--data", test)
    assert "after minus before" in shown
    report = json.loads(run("evaluate", out, "--data", test, "--json"))
    assert list(report["students"])[:2] == ["before", "after"]
    assert {"accuracy", "macro_f1"} == set(report["after_minus_before"])
    assert "Label names as training data" in run("show", out)
    assert json.loads(run("show", out, "--json"))["label_names"]["used"]


def test_evaluate_in_json_has_intervals_and_the_teacher(finished: Path, data: Path) -> None:
    report = json.loads(
        run("evaluate", finished, "--data", data / "test.csv", "--teacher-rows", 5, "--json")
    )
    after = report["students"]["after"]
    low, high = after["intervals"]["accuracy"]
    assert low <= after["accuracy"] <= high
    assert {"accuracy", "macro_f1"} == set(report["after_minus_before"])
    assert report["teacher"]["n"] == 5
    assert report["rows"] == 24
    labels = [call for call in calls_of(RunFolder(finished)) if call.purpose == "label"]
    assert [call.state for call in labels] == ["replied"] * 5  # paid: kept


def test_evaluate_leaves_out_the_rows_of_the_run(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    """The trap: rows that it was trained on were called rows that it had never seen."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    own = (data / "train.csv").read_text(encoding="utf-8").splitlines()
    other = (data / "test.csv").read_text(encoding="utf-8").splitlines()
    mixed = tmp_path / "mixed.csv"
    same = [line.upper().replace(",BILLING", ",billing") for line in own if ",billing" in line]
    mixed.write_text("\n".join([*other, *same]), encoding="utf-8")
    for path in (folder, folder / "students/best"):
        report = json.loads(run("evaluate", path, "--data", mixed, "--json"))
        assert report["rows"] == 24
        assert sum(report["left_out"].values()) == 10
    printed = run("evaluate", folder, "--data", mixed)
    assert "10 rows of the file are the run's own and are left out" in printed
    kept = (folder / "evaluation.json").read_bytes()
    with pytest.raises(DataError, match=r"40 of 40 rows .* are the run's own .* none is left"):
        run("evaluate", folder, "--data", data / "train.csv")
    assert (folder / "evaluation.json").read_bytes() == kept


def test_predict_one_text(finished: Path) -> None:
    answer = json.loads(run("predict", finished, "refund of the invoice", "--json"))
    assert answer[0]["label"] == "billing"
    assert "billing" in run("predict", finished, "refund of the invoice")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_predict_a_file(finished: Path, data: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"answers.{suffix}"
    run("predict", finished, "--data", data / "test.csv", "--out", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if suffix == "csv" else [json.loads(x) for x in file]
    texts, labels = make_rows(6, start=40)
    assert [row["text"] for row in rows] == texts
    assert sum(r["label"] == g for r, g in zip(rows, labels, strict=True)) > len(labels) / 2


def test_a_predicted_formula_is_no_formula_in_the_csv(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("=cmd()|refund\n", encoding="utf-8")
    out = tmp_path / "answers.csv"
    run("predict", finished, "--data", tmp_path / "texts.txt", "--out", out)
    assert out.read_text(encoding="utf-8").splitlines()[1].startswith("'=cmd()")


@pytest.mark.parametrize("arguments", [[], ["text", "--data", "x.csv"], ["--data", "x.csv"]])
def test_predict_needs_one_text_or_a_file_with_a_place_to_write(
    finished: Path, arguments: list[str]
) -> None:
    with pytest.raises(ConfigError):
        run("predict", finished, *arguments)


def test_predict_as_a_filter(finished: Path, tmp_path: Path) -> None:
    texts = ["refund of the invoice", "courier is late"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    by_file = run("predict", finished, "--data", tmp_path / "texts.txt", "--out", "-")
    lines = run("predict", finished, "--data", "-", "--out", "-", stdin="\n\n".join(texts))
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    filtered = ("predict", finished, "--data", "-", "--data-format", "jsonl", "--out")
    assert run(*filtered, "-", stdin=rows) == lines == by_file
    assert [json.loads(line)["text"] for line in lines.splitlines()] == texts
    run(*filtered, tmp_path / "out.jsonl", stdin=rows)
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == lines
    with pytest.raises(DataError, match="standard input, row 2 is no JSON"):
        run(*filtered, "-", stdin=rows.replace('\n{"', "\n{"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "x.xlsx"], "written as .csv or .jsonl"),
        (["--out", "nowhere/x.csv"], "there is no folder nowhere"),
        (["--out", "x.csv", "--engine", "spark"], 'Unknown engine "spark". Choose from: here, ray'),
        (["--out", "-", "--engine", "ray"], "need files"),
        (["--out", "-", "--restart"], "need files"),
    ],
)
def test_predict_refuses_what_cannot_be_done(
    finished: Path, data: Path, options: list[str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run("predict", finished, "--data", data / "test.csv", *options)


def test_show_tells_rounds_asks_texts_and_prompts(finished: Path) -> None:
    printed = run("show", finished, "--prompts")
    for part in (
        "The teacher's summary of the data", "Rounds", "Requests to the teacher", "error rate",
        "Accepted:", "Rejected:", "[reply]",
    ):  # fmt: skip
        assert part in printed


def test_show_in_json_narrows_to_a_round_and_a_class(finished: Path) -> None:
    found = json.loads(run("show", finished, "--round", 1, "--class", "billing", "--json"))
    assert {line["label"] for line in found["accepted"]} <= {"billing"}
    assert all(line["origin"]["round"] == 1 for line in found["accepted"])
    assert all(ask["round"] == 1 for ask in found["prompts"])


def test_show_does_no_harm_with_a_hostile_text(finished: Path, tmp_path: Path) -> None:
    import shutil

    run_folder = tmp_path / "run"
    shutil.copytree(finished, run_folder)
    hostile = "\x1b]0;owned\x07\x1b[2J [red]markup[/red] \u202ereversed " + "x" * 20_000
    line = {
        "text": hostile, "label": "billing", "id": "r1-1",
        "origin": {"round": 1, "request": "r1-0001", "parents": []},
    }  # fmt: skip
    with (run_folder / "examples.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    printed = run("show", run_folder)
    assert "[red]markup[/red]" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert "x" * 200 not in printed


def test_init_writes_settings_that_run(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "pgkd.yaml"
    run("init", data / "train.csv", "--out", settings)
    assert '- name: "billing"  # 10 rows' in (tmp_path / "classes.yaml").read_text()
    result = run(
        "distill", "--config", settings, "--teacher", "fake", "--student", "linear",
        "--rounds", 1, "--samples", 4, "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert json.loads(result)["rounds"]
    with pytest.raises(ConfigError, match="--force"):
        run("init", data / "train.csv", "--out", settings)


def test_doctor_tells_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path))
    found = json.loads(run("doctor", "--teacher", "fake", "--json"))
    assert found["versions"]["pgkd"]
    assert found["weights"]["all-minilm-l6-v2"] is None
    assert found["teacher"]["answer"]
    assert found["device"] == {"device": "cpu", "precision": "fp32"}
    assert "computes on cpu, in fp32" in run("doctor", "--teacher", "none")
    assert "pgkd models pull" in run("doctor", "--teacher", "local", code=1)


def test_models_list_path_and_pull(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path))
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    listed = json.loads(run("models", "list", "--json"))
    assert {"qwen2.5-coder-1.5b", "all-minilm-l6-v2"} <= {entry["name"] for entry in listed}
    assert "not here" in run("models", "list")
    with pytest.raises(WeightsError, match="pgkd models pull all-minilm-l6-v2"):
        run("models", "path", "all-minilm-l6-v2")
    with pytest.raises(WeightsError, match="PGKD_OFFLINE=1 forbids"):
        run("models", "pull", "all-minilm-l6-v2")
    with pytest.raises(ConfigError, match='Unknown source "moon". Choose from: auto, hub, mirror'):
        run("models", "pull", "--source", "moon")


@pytest.mark.parametrize("command", ["evaluate", "show", "predict"])
def test_a_folder_that_is_no_run_is_refused(command: str, data: Path, tmp_path: Path) -> None:
    needed: dict[str, list[Any]] = {"evaluate": ["--data", data / "test.csv"], "predict": ["a"]}
    with pytest.raises(PgkdError, match="not a run folder"):
        run(command, tmp_path, *needed.get(command, []))


def test_main_tells_an_error_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pgkd.apps.cli import main

    monkeypatch.setattr("sys.argv", ["pgkd", "show", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("pgkd: ")
    assert "Traceback" not in told


def test_cost_sums_calls_by_round_and_purpose(data: Path, tmp_path: Path) -> None:
    distil(data, tmp_path / "run")
    report = json.loads(run("cost", tmp_path / "run", "--json"))
    assert sorted((part["round"], part["purpose"]) for part in report["parts"]) == [
        (0, "glossary"), (1, "write"), (2, "write"),
    ]  # fmt: skip
    calls = calls_of(RunFolder(tmp_path / "run"))
    assert report["total"]["calls"] == len(calls)
    assert report["total"]["output_tokens"] == sum(
        call.reply.output_tokens or 0 for call in calls if call.reply
    )
    assert (report["total"]["usd"], report["total"]["unpriced"]) == ("0", 0)
    assert report["prices"] == ["own machine"]
    assert "tokens in" in run("cost", tmp_path / "run")


def test_cost_tells_what_was_repeated_or_cached_where_anything_was(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite"
    asked = Request((), id="r1-0001")
    with Ledger(path) as ledger:
        ledger.fail(ledger.begin(asked, "openai"), TeacherUnavailableError("down"))
        reply = Reply("text", "m", 1000, 50, cached_tokens=800)
        ledger.finish(ledger.begin(asked, "openai"), reply, Decimal("0.001"), "given")
    total = json.loads(run("cost", path, "--json"))["total"]
    assert (total["calls"], total["failed"], total["retries"]) == (2, 1, 1)
    assert (total["input_tokens"], total["cached_tokens"]) == (1000, 800)
    told = run("cost", path)
    assert "retries" in told
    assert "of them cached" in told
    with Ledger(tmp_path / "plain.sqlite") as ledger:
        ledger.finish(ledger.begin(asked, "openai"), Reply("text", "m", 10, 5))
    told = run("cost", tmp_path / "plain.sqlite")
    assert "tokens in" in told
    assert "retries" not in told
    assert "of them cached" not in told


def test_a_budget_of_no_calls_trains_the_student_alone(data: Path, tmp_path: Path) -> None:
    result = json.loads(distil(data, tmp_path / "run", "--budget-calls", 0, "--json"))
    assert (result["stopped_by"], result["best"]) == ("budget", 0)


def test_a_dry_run_tells_the_cost_and_asks_nothing(data: Path, tmp_path: Path) -> None:
    prices = tmp_path / "pgkd.yaml"
    prices.write_text("teacher: {price_input: 1, price_output: 2}\n", encoding="utf-8")
    options = ("--config", prices, "--dry-run")
    found = json.loads(distil(data, tmp_path / "run", *options, "--json"))
    assert found["calls"] == 3
    assert float(found["usd"]) * 1e6 == found["input_tokens"] + 2 * found["output_tokens"]
    assert "Up to 3 calls" in distil(data, tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def label_file(data: Path, out: Path, *more: Any) -> dict[str, Any]:
    examples = ("--examples", data / "train.csv", "--shots", 1)
    report = run("label", data / "test.csv", *examples, "--teacher", "fake", "--out", out,
                 "--json", *more)  # fmt: skip
    found: dict[str, Any] = json.loads(report)
    return found


def test_label_writes_an_answer_a_text_and_asks_none_twice(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    report = label_file(data, out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = make_rows(6, start=40)
    assert [row["text"] for row in rows] == texts
    assert {row["label"] for row in rows} <= set(labels)
    assert (report["texts"], report["unlabelled"]) == (len(texts), 0)
    label_file(data, out)
    total = json.loads(run("cost", report["ledger"], "--json"))["total"]
    assert total["calls"] == len(set(texts))


def test_label_by_agreement_tells_how_many_agree(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    report = label_file(data, out, "--method", "agree", "--samples", 3)
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {round(answer["confidence"] * 3, 3) for answer in answers} <= {1, 2, 3}
    assert 0 < report["mean_confidence"] <= 1


def test_label_stops_at_its_budget_and_goes_on_with_a_higher_one(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.csv"
    with pytest.raises(BudgetExhaustedError, match="Raise it to continue"):
        label_file(data, out, "--budget-calls", 4)
    assert not out.exists()
    report = label_file(data, out, "--budget-calls", 1000)
    total = json.loads(run("cost", report["ledger"], "--json"))["total"]
    assert total["calls"] == report["texts"]


def test_label_wants_classes_and_a_method_that_there_is(data: Path, tmp_path: Path) -> None:
    common = ("label", data / "test.csv", "--teacher", "fake", "--out", tmp_path / "labels.csv")
    with pytest.raises(ConfigError, match="--classes"):
        run(*common)
    with pytest.raises(ConfigError, match='Unknown method "guess"'):
        run(*common, "--examples", data / "train.csv", "--method", "guess")
    with pytest.raises(ConfigError, match="tells? no|does not tell"):
        run(*common, "--examples", data / "train.csv", "--method", "score")


def test_retrain_keeps_both_students_and_other_commands_take_the_new_one(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    with pytest.raises(RunError, match="pgkd ui"):
        run("retrain", folder.path)
    with pytest.raises(RunError, match="run pgkd retrain"):
        run("predict", folder.path, "a late parcel", "--which", "reviewed")
    Reviews(folder.path).decide(folder.synthetic()[0].id, "reject", "ann")
    printed = run("retrain", folder.path)
    assert "Decisions: 1 reject" in printed
    assert "students/best and students/reviewed" in printed
    told = json.loads(run("retrain", folder.path, "--json"))
    assert told["synthetic"] == len(folder.synthetic()) - 1
    assert run("predict", folder.path, "a late parcel", "--which", "reviewed")
    judged = json.loads(run("evaluate", folder.path, "--data", data / "test.csv", "--json"))
    assert {"after", "reviewed"} <= judged["students"].keys()
    out = tmp_path / "export"
    run("export", folder.path, "--format", "plain", "--which", "reviewed", "--out", out)
    card = (out / "plain" / "README.md").read_text()
    assert f"{told['after']['accuracy']:.3f}" in card
    shown = json.loads(run("report", folder.path, "--json"))
    assert any("reviewed" in basis["students"] for basis in shown["bases"])
