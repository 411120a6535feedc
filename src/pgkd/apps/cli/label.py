"""`pgkd label`: let the teacher itself classify a file of texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.config import Config
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.prompts.labelling import Labelled

Option = typer.Option
_COLUMNS = ("text", "label", "confidence")


def label(
    data: Annotated[Path, typer.Argument(help="File of texts.")],
    out: Annotated[Path, Option(help="CSV or JSONL file to write.")],
    classes: Annotated[
        Path | None, Option(help="YAML list of the classes; default: those of --examples.")
    ] = None,
    examples: Annotated[
        Path | None, Option(help="Labelled rows to show with every text (few-shot).")
    ] = None,
    shots: Annotated[int, Option(min=0, help="Rows shown of each class.")] = 1,
    method: Annotated[
        str, Option(help="auto, score (of all classes), answer, or agree (of several answers).")
    ] = "auto",
    samples: Annotated[int, Option(min=2, max=50, help="agree: answers for each text.")] = 5,
    calibrate: Annotated[
        bool, Option(help="score: take off what the model prefers whatever the text is.")
    ] = True,
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, Option(help="Column of the class in --examples.")] = "label",
    config: Annotated[Path | None, Option(help="pgkd.yaml, for its teacher and budget.")] = None,
    teacher: Annotated[str | None, Option(help="Provider: local, openai, anthropic, ...")] = None,
    teacher_model: Annotated[str | None, Option(help="Model name or GGUF path.")] = None,
    base_url: Annotated[str | None, Option(help="Endpoint of the provider.")] = None,
    cache: Annotated[
        str | None, Option(help="Replies that other runs paid for: auto, on, off, read, refresh.")
    ] = None,
    concurrency: Annotated[int | None, Option(help="Calls to the teacher at once.")] = None,
    budget_usd: Annotated[str | None, Option(help="US dollars for the teacher at most.")] = None,
    budget_tokens: Annotated[int | None, Option(help="Tokens of the teacher at most.")] = None,
    budget_calls: Annotated[int | None, Option(help="Calls to the teacher at most.")] = None,
    seed: Annotated[int | None, Option(help="Seed of the requests and of the rows shown.")] = None,
    threads: Annotated[int | None, Option(help="CPU threads of a local teacher.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Classify texts by the teacher, with its confidence; every reply is kept beside the answers.

    Run it again after it was cut off, or with more texts: what was answered is not asked again.
    """
    from pgkd.apps.bulk.answers import check_out
    from pgkd.apps.cli.options import resolve
    from pgkd.data.reading import read_texts
    from pgkd.tasks.classification.prompts.labelling import METHODS

    if method not in METHODS:
        raise ConfigError(f"There is no method '{method}'. There are: {', '.join(METHODS)}.")
    settings = resolve(
        config, threads, teacher=teacher, teacher_model=teacher_model, base_url=base_url,
        cache=cache, concurrency=concurrency, budget_usd=budget_usd, budget_tokens=budget_tokens,
        budget_calls=budget_calls, seed=seed,
    )  # fmt: skip
    check_out(out)
    columns = text_column, label_column
    taxonomy, shown = _task(
        classes or settings.data.classes, examples, columns, shots, settings.seed
    )
    texts = read_texts(data, text_column)
    how = {"method": method, "samples": samples, "calibrate": calibrate, "examples": shown}
    found = _label(settings, texts, taxonomy, out, how)
    _write(out, texts, found)
    _end(out, found, as_json=as_json)


def ledger_of(out: Path) -> Path:
    """The ledger of a file of labels: beside it, with the same name."""
    return out.with_name(f"{out.name}.ledger.sqlite")


def _task(
    classes: Path | None,
    examples: Path | None,
    columns: tuple[str, str],
    shots: int,
    seed: int,
) -> tuple[Taxonomy, list[LabelledText]]:
    """The classes, and the rows that every request shows."""
    from pgkd.tasks.classification.data.dataset import draw_per_class, read_rows
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy, read_taxonomy

    taxonomy = read_taxonomy(classes) if classes else None
    if examples is None:
        if taxonomy is None:
            raise ConfigError("Give --classes (a YAML list) or --examples (labelled rows).")
        return taxonomy, []
    known = taxonomy.names if taxonomy else None
    texts, labels = read_rows(examples, *columns, classes=known)
    drawn = draw_per_class(labels, shots, seed)
    shown = [LabelledText(texts[i], labels[i], f"{examples.name} row {i + 1}") for i in drawn]
    return taxonomy or Taxonomy.from_names(sorted(set(labels))), shown


def _label(
    settings: Config,
    texts: Sequence[str],
    taxonomy: Taxonomy,
    out: Path,
    how: dict[str, Any],
) -> list[Labelled]:
    from rich.progress import Progress

    from pgkd.apps.cli.console import console
    from pgkd.tasks.classification.assembly import employed, teacher_of
    from pgkd.tasks.classification.prompts.labelling import label_texts
    from pgkd.usage.ledger import Ledger

    shell = console(stderr=True)
    with (
        Ledger(ledger_of(out)) as ledger,
        teacher_of(settings) as teacher,
        Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress,
    ):
        bar = progress.add_task("the teacher classifies", total=len(texts))
        return label_texts(
            employed(settings, teacher, ledger),
            texts,
            taxonomy,
            **how,
            seed=settings.seed,
            on_reply=lambda _: progress.advance(bar),
            needs_some=True,
        )


def _write(out: Path, texts: Sequence[str], found: Sequence[Labelled]) -> None:
    from pgkd.apps.bulk.answers import write_answers

    rows = (
        (text, answer.label, None if answer.confidence is None else round(answer.confidence, 6))
        for text, answer in zip(texts, found, strict=True)
    )
    write_answers(out, _COLUMNS, rows)


def _end(out: Path, found: Sequence[Labelled], *, as_json: bool) -> None:
    """Tell what came of it; where no text has a label, a script must not go on."""
    _tell(out, found, as_json=as_json)
    if all(answer.label is None for answer in found):
        raise typer.Exit(1)


def _tell(out: Path, found: Sequence[Labelled], *, as_json: bool) -> None:
    from pgkd.apps.cli.console import console, print_json

    unlabelled = sum(answer.label is None for answer in found)
    sure = [answer.confidence for answer in found if answer.confidence is not None]
    mean = round(sum(sure) / len(sure), 4) if sure else None
    if as_json:
        print_json(
            {
                "out": str(out),
                "ledger": str(ledger_of(out)),
                "texts": len(found),
                "unlabelled": unlabelled,
                "mean_confidence": mean,
            }
        )
        return
    shell = console(stderr=True)
    shell.print(f"{len(found) - unlabelled} of {len(found)} texts labelled into {out}")
    if unlabelled:
        shell.print(f"{unlabelled} have no label: the answer was no class, or the text was refused")
    shell.print(
        "mean confidence: " + ("not told by this teacher" if mean is None else f"{mean:.3f}")
    )
    shell.print(f"what it cost: pgkd cost {ledger_of(out)}")
