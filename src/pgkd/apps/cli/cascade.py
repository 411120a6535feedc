"""`pgkd cascade`: what a cascade would give and cost, to choose its threshold by."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgkd.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.config import Config
    from pgkd.tasks.classification.evaluation.cascade import CascadePoint

Option = typer.Option

CallsOption = Annotated[
    Path | None, Option(help="Calls of the cascade; default: cascade.sqlite of the run.")
]
DollarsOption = Annotated[str | None, Option(help="US dollars for the cascade at most.")]
TokensOption = Annotated[int | None, Option(help="Tokens of the cascade at most.")]
MostCallsOption = Annotated[int | None, Option(help="Calls of the cascade at most.")]
AbstainOption = Annotated[
    float | None, Option(min=0, max=1, help="Flag answers that are less probable than this.")
]


def cascade(
    path: Annotated[Path, typer.Argument(help="An export, or a run folder that holds one.")],
    data: Annotated[Path, Option(help="Labelled rows that the run has not seen.")],
    answers: Annotated[
        Path | None, Option(help="File of pgkd label on these rows; default: ask the teacher.")
    ] = None,
    usd_per_call: Annotated[
        float | None, Option(min=0, help="US dollars a text; default: as the ledger tells.")
    ] = None,
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, Option(help="Column of the class.")] = "label",
    config: Annotated[
        Path | None, Option(help="pgkd.yaml of the teacher; default: the run's.")
    ] = None,
    ledger: CallsOption = None,
    budget_usd: DollarsOption = None,
    budget_tokens: TokensOption = None,
    budget_calls: MostCallsOption = None,
    seed: Annotated[int, Option(help="Seed of the intervals.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Accuracy and cost of a cascade by its threshold, on labelled rows.

    The teacher is asked as `pgkd serve --cascade-below` asks it, into the same ledger: run it again
    after it was cut off, and what was answered is not asked again. Rows that are the run's own, to
    train or to validate, are left out.
    """
    from pgkd.apps.cli.judged_rows import left_to_judge
    from pgkd.export.manifest import find_export
    from pgkd.export.predictor import load
    from pgkd.tasks.classification.data.dataset import read_rows
    from pgkd.tasks.classification.evaluation.cascade import cascade_curve

    student = load(find_export(path), threads=None)
    texts, labels = read_rows(data, text_column, label_column, classes=student.classes)
    left, own = left_to_judge(path, data, texts)
    others, labels = [texts[i] for i in left], [labels[i] for i in left]
    if answers is not None:
        given = _read(answers, texts)
        found, paid = [given[i] for i in left], _price_beside(answers)
    else:
        settings = config_of(
            path, config,
            budget_usd=budget_usd, budget_tokens=budget_tokens, budget_calls=budget_calls,
        )  # fmt: skip
        found, paid = _ask(path, others, settings, ledger)
    curve = cascade_curve(
        student.predict_proba(others), labels, student.classes, found,
        usd_per_call=paid if usd_per_call is None else usd_per_call, seed=seed,
    )  # fmt: skip
    _tell(curve, path, data, labels, found, own, as_json=as_json)


def config_of(path: Path, config: Path | None, **budget: Any) -> Config:
    """The settings of a cascade: a file's, or its run's, under another budget where one is given.

    Args:
        path: an export, or a run folder.
        config: a pgkd.yaml; None takes that of the run.
        budget: by the names of the command's options.

    Raises:
        ConfigError: there is neither.
    """
    from pgkd.apps.cli.options import resolve

    config = config or path / "config.yaml"
    if not config.is_file():
        raise ConfigError(f"There is no {config}: give --config, whose teacher is to be asked.")
    return resolve(config, None, **budget)


def _ask(
    path: Path, texts: Sequence[str], config: Config, ledger: Path | None
) -> tuple[list[str | None], float | None]:
    """The teacher's classes, and what a call costs."""
    from rich.progress import Progress

    from pgkd.apps.cli.console import console
    from pgkd.apps.server.cascade import cascade_of
    from pgkd.apps.server.desk import metered
    from pgkd.tasks.classification.prompts.labelling import label_texts

    made = cascade_of(path, 1.0, config, ledger=ledger, seconds=config.teacher.longest)
    shell = console(stderr=True)
    with (
        metered(made) as teacher,
        Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress,
    ):
        bar = progress.add_task("the teacher classifies", total=len(texts))
        # One by one, as the server asks: it cannot know the mean over texts that are yet to come.
        found = label_texts(
            teacher, texts, made.taxonomy, calibrate=False, seed=config.seed,
            on_reply=lambda _: progress.advance(bar), needs_some=True,
        )  # fmt: skip
    return [answer.label for answer in found], _price(made.ledger)


def _read(path: Path, texts: Sequence[str]) -> list[str | None]:
    """The labels of a file that `pgkd label` wrote, row by row.

    Raises:
        DataError: it is of other rows.
    """
    from pgkd.data.problems import Problems
    from pgkd.data.reading import open_table, raise_unusable

    problems, columns = Problems(), ("text", "label")
    with open_table(path, columns, problems) as table:
        rows = list(table.cells(*columns)) if table.has(columns, path, problems) else []
    raise_unusable(path, problems)
    for (number, text, _), expected in zip(rows, texts, strict=False):
        if str(text).strip() != expected:
            raise DataError(f"{path}, row {number}, is not about the text of that row of --data.")
    if len(rows) != len(texts):
        raise DataError(f"{path} has {len(rows)} rows, and --data {len(texts)}.")
    return [str(label) if label else None for _, _, label in rows]


def _price_beside(answers: Path) -> float | None:
    from pgkd.apps.cli.label import ledger_of

    ledger = ledger_of(answers)
    return _price(ledger) if ledger.is_file() else None


def _price(path: Path) -> float | None:
    """Mean US dollars of the calls that were answered and priced; None where none was."""
    from pgkd.usage.ledger import Ledger
    from pgkd.usage.sums import answered, summed

    with Ledger.to_read(path) as ledger:
        total = summed(ledger.calls())
    priced = answered(total) - total["unpriced"]
    return float(Decimal(total["usd"]) / priced) if priced else None


def _tell(
    curve: Sequence[CascadePoint],
    path: Path,
    data: Path,
    labels: Sequence[str],
    answers: Sequence[str | None],
    own: dict[str, int] | None,
    *,
    as_json: bool,
) -> None:
    from pgkd.apps.cli.console import console, print_json, print_rows

    unanswered = sum(answer is None for answer in answers)
    right = sum(a == label for a, label in zip(answers, labels, strict=True))
    if as_json:
        print_json(
            {
                "export": str(path),
                "data": str(data),
                "rows": len(labels),
                **({} if own is None else {"left_out": own}),
                "teacher": {"accuracy": right / len(labels), "unanswered": unanswered},
                "curve": [point.to_json() for point in curve],
            }
        )
        return
    header = ("below", "to the teacher", "accuracy", "gain", "of what is kept", "US $ per 1,000")
    title = f"Cascade on {len(labels)} rows of {data}, 95% intervals"
    print_rows(title, header, [_row(point) for point in curve])
    shell = console()
    if left_out := sum((own or {}).values()):
        shell.print(f"{left_out} rows of the file are the run's own and are left out.")
    shell.print(f"The teacher alone: {right / len(labels):.3f}; {unanswered} rows unanswered.")
    shell.print(
        "'Of what is kept' is the student's accuracy where it answers: what --abstain-below gives."
    )


def _row(point: CascadePoint) -> tuple[str, ...]:
    low, high = point.interval
    least, most = point.gain_interval
    return (
        f"{point.below:.4g}",
        f"{point.sent:.1%}",
        f"{point.accuracy:.3f} [{low:.3f}, {high:.3f}]",
        f"{point.gain:+.3f} [{least:+.3f}, {most:+.3f}]",
        "–" if point.kept_accuracy is None else f"{point.kept_accuracy:.3f}",
        "unknown" if point.usd_per_1000 is None else f"{point.usd_per_1000:.4f}",
    )
