"""`pgkd init`: write a commented pgkd.yaml for a file of labelled rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from pgkd.tasks.classification.data.dataset import Dataset

Option = typer.Option

_TEMPLATE = """\
# Settings of `pgkd distill`. Every one is optional; what is commented out shows the default.
# Paths are relative to this file.

data:
  train: {train}
  text_column: {text_column}
  label_column: {label_column}
  # validation: validation.csv     # used as it is; default: a fifth of 1,000 rows and more
  # unlabelled: unlabelled.csv     # texts without labels: the teacher labels those worth it
  classes: {classes}
  # limit: 1000                    # use so many rows, drawn at random
  # on_conflict: error             # or drop: rows that contradict each other

student:
  kind: encoder                    # or linear: TF-IDF and logistic regression
  # encoder: all-minilm-l6-v2      # a name of `pgkd models list`, a hub name or a folder
  # recipe: auto                   # or frozen (seconds), or finetune (minutes): see docs
  # device: auto                   # a GPU where there is one; or cpu, cuda, cuda:1, mps

teacher:
  provider: local                  # or openai, anthropic, bedrock: keys come from the environment
  # model: null                    # local: path of a GGUF file; the others: name of the model
  # base_url: null                 # openai: http://localhost:11434/v1 for Ollama, and so on
  # threads: null                  # local: CPU threads; fewer can be faster on a busy machine

guidance:
  mode: targeted                   # or paper: the paper's one prompt a round
  # instructions: ""               # who writes these texts, to whom; else the teacher says it
  # glossary: auto                 # what each class covers: by the teacher, off, or a file

# class_list: true                 # train on class names too, where cross-validation finds gain
# written_weight: auto             # of a synthetic text, a row weighs 1; auto: cross-validated
# exam: 64                         # rows that the teacher labels before anything else
# texts_per_class: auto            # texts in all: 20 a class, or fewer for a small teacher
# rounds: 3                        # at most; the stop rule may end the run before
# samples: auto                    # texts asked for a round; auto: they double
# patience: 2
# seed: 0
"""

_CLASSES_HEAD = """\
# The classes. A description helps the teacher most where names mislead or classes are alike.
# A class may be listed that no row has yet: the teacher writes for it.
"""


def init(
    data: Annotated[Path, typer.Argument(help="Labelled rows: CSV, TSV, JSONL, Parquet, .gz.")],
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, Option(help="Column of the class.")] = "label",
    out: Annotated[Path, Option(help="File to write.")] = Path("pgkd.yaml"),
    force: Annotated[bool, Option(help="Replace files that are there.")] = False,
) -> None:
    """Write pgkd.yaml and classes.yaml for a file of labelled rows, after checking them."""
    from pgkd.apps.cli.console import console
    from pgkd.apps.cli.options import check_writable
    from pgkd.files import write_whole
    from pgkd.tasks.classification.data.dataset import load_dataset
    from pgkd.yamls import quoted

    if out.is_dir():
        raise ConfigError(f"{out} is a folder: give a file, such as {out / 'pgkd.yaml'}.")
    classes = out.with_name("classes.yaml")
    for path in (out, classes):
        if path.exists() and not force:
            raise ConfigError(f"{path} is there already. Use --force to replace it, or --out.")
    check_writable(out)
    task = load_dataset(
        train=data, text_column=text_column, label_column=label_column, on_conflict="drop"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(classes, _classes_yaml(task))
    write_whole(
        out,
        _TEMPLATE.format(
            train=_relative(data, out.parent),
            text_column=quoted(text_column),
            label_column=quoted(label_column),
            classes=classes.name,
        ),
    )
    shell = console()
    for warning in task.warnings:
        shell.print(f"warning: {warning}")
    rows = len(task.train) + len(task.validation)
    shell.print(f"{rows} rows, {len(task.taxonomy)} classes.")
    shell.print(
        f"Wrote {out} and {classes}. Describe the classes, then: pgkd distill --config {out}"
    )


def _classes_yaml(task: Dataset) -> str:
    """The class list, each with its number of rows as a comment and an empty description."""
    from pgkd.yamls import quoted

    counts = Counter(row.label for row in (*task.train, *task.validation))
    lines = [
        f"- name: {quoted(name)}  # {counts[name]} rows\n  description: ''\n"
        for name in task.taxonomy.names
    ]
    return _CLASSES_HEAD + "".join(lines)


def _relative(path: Path, folder: Path) -> str:
    import os

    from pgkd.yamls import quoted

    return quoted(os.path.relpath(path, folder or "."))
