"""`pgkd init` and `pgkd distill`: from a file of labelled rows to a run."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import typer
from typer import Argument, Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, print_json
from pgkd.apps.cli.options import DATA, OUTPUT, ROUNDS, STUDENT, TEACHER, advanced
from pgkd.errors import ConfigError

_EXIT_CODES = {"teacher failed": 1, "nothing usable": 1, "interrupted": 130}
"""Exit codes of runs that did not end as they should, so that a script stops."""

_TEMPLATE = """\
# Settings of `pgkd distill`. All are optional; those commented out show the default.
# Paths are relative to this file.

data:
  train: {train}
  text_column: {text_column}
  label_column: {label_column}
  # validation: validation.csv     # used as it is; default: a fifth of 1,000 rows or more
  # unlabelled: unlabelled.csv     # texts without labels: the teacher labels the useful ones
  classes: {classes}
  # limit: 1000                    # use so many rows, drawn at random
  # on_conflict: error             # or drop: rows that contradict each other

student:
  kind: encoder                    # or linear: TF-IDF and logistic regression
  # encoder: all-minilm-l6-v2      # a name from `pgkd models list`, a hub name or a folder
  # recipe: auto                   # or frozen (seconds), or finetune (minutes): see docs
  # device: auto                   # a GPU if there is one; or cpu, cuda, cuda:1, mps

teacher:
  provider: local                  # or openai, anthropic, bedrock: keys come from the environment
  # model: null                    # local: path of a GGUF file; the others: name of the model
  # base_url: null                 # openai: http://localhost:11434/v1 for Ollama, and so on
  # threads: null                  # local: CPU threads; fewer can be faster on a busy machine

guidance:
  mode: targeted                   # or paper: the paper's one prompt per round
  # instructions: ""               # who writes these texts, to whom; empty: the teacher describes
  # glossary: auto                 # what each class covers: by the teacher, off, or a file

# label_names: true                 # train on label names too, where cross-validation shows a gain
# synthetic_weight: auto             # of a synthetic text, a row's is 1; auto: cross-validated
# exam: 64                         # rows that the teacher labels before anything else
# texts_per_class: auto            # texts in all: 20 per class, or fewer for a small teacher
# rounds: 3                        # at most; the stop rule may end the run earlier
# samples: auto                    # texts requested per round; auto: they double
# patience: 2
# seed: 0
"""

_OTHER_TEMPLATE = """\
# Settings of `pgkd distill`. Paths are relative to this file. All others: the reference.

task: {task}

data:
  train: {train}
  # validation: validation.csv     # used as it is; default: a fifth of 1,000 rows or more
  # limit: 1000                    # use so many rows, drawn at random

teacher:
  provider: local                  # or openai, anthropic, bedrock: keys come from the environment
  # model: null                    # local: path of a GGUF file; the others: name of the model

# guidance:
#   instructions: ""               # who writes these texts, to whom

# rounds: 3                        # at most; the stop rule may end the run earlier
# seed: 0
"""

_CLASSES_HEAD = """\
# The classes. A description helps the teacher most where names mislead or classes are alike.
# A class without rows may be listed, too: the teacher writes texts for it.
"""


def init(
    data: Path = Argument(help="Labelled rows: CSV, TSV, JSONL, Parquet, .gz."),
    task: str | None = Option(None, help="Kind of task; default: what the columns look like."),
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    out: Path = Option(Path("pgkd.yaml"), help="File to write."),
    force: bool = Option(False, help="Replace existing files."),
) -> None:
    """Write pgkd.yaml and classes.yaml for a file of labelled rows, after checking them."""
    from pgkd.config import quoted
    from pgkd.files import write_whole
    from pgkd.tasks.classification.data.dataset import load_dataset

    if out.is_dir():
        raise ConfigError(f"{out} is a folder: give a file, such as {out / 'pgkd.yaml'}.")
    classes = out.with_name("classes.yaml")
    kind = task or find_kind(data)
    for path in (out, classes) if kind == "classification" else (out,):
        if path.exists() and not force:
            raise ConfigError(f"{path} already exists. Use --force to replace it, or --out.")
    options.check_writable(out)
    if kind != "classification":
        _init_other(kind, data, out)
        return
    dataset = load_dataset(
        train=data, text_column=text_column, label_column=label_column, on_conflict="drop"
    )
    rows = Counter(row.label for row in (*dataset.train, *dataset.validation))
    entries = (
        f"- name: {quoted(name)}  # {rows[name]} rows\n  description: ''\n"
        for name in dataset.taxonomy.names
    )
    settings = _TEMPLATE.format(
        train=quoted(os.path.relpath(data, out.parent)),
        text_column=quoted(text_column),
        label_column=quoted(label_column),
        classes=classes.name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(classes, _CLASSES_HEAD + "".join(entries))
    write_whole(out, settings)
    shell = console()
    for warning in dataset.warnings:
        shell.print(f"warning: {warning}")
    shell.print(f"{rows.total()} rows, {len(dataset.taxonomy)} classes.")
    shell.print(
        f"Wrote {out} and {classes}. Describe the classes, then: pgkd distill --config {out}"
    )


def find_kind(data: Path) -> str:
    """The kind of task that a file looks like, by its first rows; classification where unsure."""
    from itertools import islice

    from pgkd.data.cells import Problems
    from pgkd.data.reading import open_table
    from pgkd.tasks import DEFAULT, make_task, tasks

    with open_table(data, (), Problems()) as table:
        rows = [record for _, record in islice(table.records, 50)]
        columns = table.columns
    others = [name for name in tasks() if name != DEFAULT]
    return next((n for n in others if make_task(n).recognises(columns, rows)), DEFAULT)


def _init_other(kind: str, data: Path, out: Path) -> None:
    """Check the rows of another kind of task than classification, and write its settings."""
    from pgkd.config import quoted
    from pgkd.files import write_whole

    config = pgkd.Config.parse({"task": kind, "data": {"train": data, "on_conflict": "drop"}})
    dataset = pgkd.Distiller(config).load()
    out.parent.mkdir(parents=True, exist_ok=True)
    train = quoted(os.path.relpath(data, out.parent))
    write_whole(out, _OTHER_TEMPLATE.format(task=kind, train=train))
    shell = console()
    for warning in dataset.warnings:
        shell.print(f"warning: {warning}")
    shell.print(f"{_describe_rows(dataset)}. They look like the task '{kind}': else give --task.")
    shell.print(f"Wrote {out}. Next: pgkd distill --config {out}")


def distill(
    train: Path | None = Option(None, help="Labelled rows."),
    config: Path | None = Option(None, help="Settings, as `pgkd init` writes them."),
    out: Path | None = Option(None, help="Run folder; an existing run is resumed."),
    task: str | None = Option(None, help="Kind of task; default: classification."),
    teacher: options.Teacher = None,
    teacher_model: options.TeacherModel = None,
    student: str | None = Option(None, help="encoder, static or linear."),
    instructions: str | None = Option(
        None, help="What else the teacher should know, e.g. who writes the texts."
    ),
    rounds: int | None = Option(None, help="Maximum number of rounds."),
    budget_usd: options.BudgetUsd = None,
    dry_run: bool = Option(False, "--dry-run", help="Estimate the cost, and stop."),
    validation: Path | None = advanced(DATA, "Validation rows, used as they are."),
    unlabelled: Path | None = advanced(DATA, "Texts without labels; the teacher labels some."),
    text_column: str | None = advanced(DATA, "Column of the text."),
    label_column: str | None = advanced(DATA, "Column of the class."),
    classes: Path | None = advanced(DATA, "YAML list of the classes."),
    limit: int | None = advanced(DATA, "Use so many rows, drawn at random."),
    on_conflict: str | None = advanced(DATA, "Contradicting rows: error or drop."),
    encoder: str | None = advanced(STUDENT, "Encoder: name, hub name or folder."),
    recipe: str | None = advanced(STUDENT, "Encoder: auto, frozen or finetune."),
    label_names: bool | None = advanced(
        STUDENT, "Train on the label names too, where it helps (default)."
    ),
    synthetic_weight: str | None = advanced(
        STUDENT, "Weight of a synthetic text (a row's is 1), or auto."
    ),
    seed: int | None = advanced(STUDENT, "Seed of everything random."),
    threads: int | None = advanced(STUDENT, "CPU threads of student and teacher."),
    mode: str | None = advanced(TEACHER, "targeted or paper."),
    base_url: options.BaseUrl = None,
    cache: options.Cache = None,
    concurrency: options.Concurrency = None,
    batch: bool | None = advanced(
        TEACHER, "Send each round as a batch: half the price, up to a day."
    ),
    budget_tokens: options.BudgetTokens = None,
    budget_calls: options.BudgetCalls = None,
    exam: int | None = advanced(ROUNDS, "Rows that the teacher labels before it writes; 0: none."),
    texts_per_class: str | None = advanced(ROUNDS, "Synthetic texts per class in all, or auto."),
    samples: str | None = advanced(ROUNDS, "Texts requested per round, or auto."),
    pool_share: str | None = advanced(ROUNDS, "Share of rounds that label texts, or auto."),
    patience: int | None = advanced(ROUNDS, "Rounds without a better loss before it stops."),
    track: list[str] | None = advanced(OUTPUT, "Log to mlflow, wandb, otel, ..."),
    report: bool = advanced(OUTPUT, "Write report.html at the end.", "--report", default=False),
    as_json: bool = advanced(OUTPUT, "Print the result as JSON.", "--json", default=False),
) -> None:
    """Distil a teacher into a student; an existing run in --out is resumed."""
    given = locals()  # before any other name is bound
    given = {name: given[name] for name in options.SETTINGS}
    settings = options.load_config(config, threads, **given)
    _distill(settings, dry_run=dry_run, as_json=as_json, report=report)


def _distill(settings: pgkd.Config, *, dry_run: bool, as_json: bool, report: bool) -> None:
    from pgkd.apps.cli.progress import RunDisplay, format_estimate

    if report:
        from pgkd.apps.report import check_available

        check_available()  # before hours of work, not after
    shell = console(stderr=True)
    display = RunDisplay(shell)
    distiller = pgkd.Distiller(settings, hooks=[display])
    task = distiller.load()
    for warning in task.warnings:
        shell.print(f"warning: {warning}")
    choices = distiller.task.choices(task)
    shell.print(
        _describe_rows(task)
        + (f", {len(choices)} classes" if choices else "")
        + f"; {settings.task}, teacher {settings.teacher.provider}"
    )
    if dry_run:
        estimate = distiller.estimate(task)
        if as_json:
            print_json(estimate.to_json())
        else:
            console().print(format_estimate(estimate))
        return
    with display:
        distiller.fit_dataset(task)
    run, outcome = distiller.run_, distiller.outcome_
    if as_json:
        print_json({"run": str(run.path), **run.read_json("result.json")})
    else:
        display.print_summary(run.path, outcome)
    if report:
        from pgkd.apps.report import write_report

        shell.print(f"Report: {write_report(run)}")
    if code := _EXIT_CODES.get(outcome.stopped_by):
        raise typer.Exit(code)


def _describe_rows(task: pgkd.Dataset) -> str:
    if task.validation:
        return f"{len(task.train)} training and {len(task.validation)} validation rows"
    return f"{len(task.train)} labelled rows, cross-validated"
