"""`pgkd label`: let the teacher itself classify a file of texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, print_json, progress_bar
from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.prompts.labelling import Labelled


def label(
    data: Path = Argument(help="File of texts."),
    out: Path = Option(help="CSV or JSONL file to write."),
    classes: Path | None = Option(
        None, help="YAML list of the classes; default: those of --examples."
    ),
    examples: Path | None = Option(None, help="Labelled rows to show with every text (few-shot)."),
    shots: int = Option(1, min=0, help="Rows shown per class."),
    method: str = Option(
        "auto", help="auto, score (of all classes), answer, or agree (of several answers)."
    ),
    samples: int = Option(5, min=2, max=50, help="agree: answers per text."),
    calibrate: bool = Option(
        True, help="score: subtract what the model prefers whatever the text is."
    ),
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    config: Path | None = Option(None, help="pgkd.yaml, for its teacher and budget."),
    teacher: options.Teacher = None,
    teacher_model: options.TeacherModel = None,
    base_url: options.BaseUrl = None,
    cache: options.Cache = None,
    concurrency: options.Concurrency = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    budget_calls: options.BudgetCalls = None,
    seed: int | None = Option(None, help="Seed of the requests and of the rows shown."),
    threads: int | None = Option(None, help="CPU threads of a local teacher."),
    as_json: options.Json = False,
) -> None:
    """Classify texts by the teacher, with its confidence; replies are saved beside the answers.

    Run it again after an interruption, or with more texts: no text is paid for twice.
    """
    from pgkd.apps.bulk.answers import check_out, write_answers
    from pgkd.data.reading import read_texts
    from pgkd.tasks.classification.prompts.labelling import METHODS, label_texts
    from pgkd.teachers import teacher_from
    from pgkd.usage import metered_teacher
    from pgkd.usage.ledger import Ledger

    options.check_choice("method", method, METHODS)
    settings = options.load_config(
        config, threads, teacher=teacher, teacher_model=teacher_model, base_url=base_url,
        cache=cache, concurrency=concurrency, budget_usd=budget_usd, budget_tokens=budget_tokens,
        budget_calls=budget_calls, seed=seed,
    )  # fmt: skip
    check_out(out)
    columns = text_column, label_column
    taxonomy, shown = _read_classes(
        classes or settings.data.classes, examples, columns, shots, settings.seed
    )
    texts = read_texts(data, text_column)
    with (
        Ledger(ledger_path(out)) as ledger,
        teacher_from(settings) as opened,
        progress_bar("the teacher classifies", len(texts)) as advance,
    ):
        answers = label_texts(
            metered_teacher(settings, opened, ledger), texts, taxonomy,
            method=method,  # type: ignore[arg-type]  # checked above
            samples=samples, calibrate=calibrate, examples=shown, seed=settings.seed,
            on_reply=advance, needs_some=True,
        )  # fmt: skip
    rows = (
        (text, answer.label, None if answer.confidence is None else round(answer.confidence, 6))
        for text, answer in zip(texts, answers, strict=True)
    )
    write_answers(out, ("text", "label", "confidence"), rows)
    _print_summary(out, answers, as_json=as_json)
    if all(answer.label is None for answer in answers):  # a script must not continue
        raise typer.Exit(1)


def ledger_path(out: Path) -> Path:
    """The ledger of a file of labels: beside it, with the same name."""
    return out.with_name(f"{out.name}.ledger.sqlite")


def _read_classes(
    classes: Path | None, examples: Path | None, columns: tuple[str, str], shots: int, seed: int
) -> tuple[pgkd.Taxonomy, list[pgkd.LabelledText]]:
    """The classes, and the rows that every request shows."""
    from pgkd.tasks.classification.data.dataset import draw_per_class, read_rows
    from pgkd.tasks.classification.data.examples import read_taxonomy

    taxonomy = read_taxonomy(classes) if classes else None
    if examples is None:
        if taxonomy is None:
            raise ConfigError("Give --classes (a YAML list) or --examples (labelled rows).")
        return taxonomy, []
    known = taxonomy.names if taxonomy else None
    texts, labels = read_rows(examples, *columns, classes=known)
    drawn = draw_per_class(labels, shots, seed)
    shown = [pgkd.LabelledText(texts[i], labels[i], f"{examples.name} row {i + 1}") for i in drawn]
    return taxonomy or pgkd.Taxonomy.from_names(sorted(set(labels))), shown


def _print_summary(out: Path, answers: Sequence[Labelled], *, as_json: bool) -> None:
    unlabelled = sum(answer.label is None for answer in answers)
    confidences = [answer.confidence for answer in answers if answer.confidence is not None]
    mean = round(sum(confidences) / len(confidences), 4) if confidences else None
    if as_json:
        summary: dict[str, Any] = {
            "out": str(out),
            "ledger": str(ledger_path(out)),
            "texts": len(answers),
            "unlabelled": unlabelled,
            "mean_confidence": mean,
        }
        print_json(summary)
        return
    shell = console(stderr=True)
    shell.print(f"{len(answers) - unlabelled} of {len(answers)} texts labelled into {out}")
    if unlabelled:
        shell.print(f"{unlabelled} have no label: the answer was no class, or a refusal")
    shell.print(
        f"mean confidence: {'not given by this teacher' if mean is None else f'{mean:.3f}'}"
    )
    shell.print(f"cost: pgkd cost {ledger_path(out)}")
