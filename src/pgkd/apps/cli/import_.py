"""`pgkd import`: from the log of an LLM that classifies to labelled rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from pgkd.apps.cli import options
from pgkd.apps.cli.console import clean, console, print_json
from pgkd.errors import DataError
from pgkd.text import text_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.data.imported import Row
    from pgkd.tasks.classification.data.logs import Log

_TOLD = 20  # classes that are printed
_FROZEN: dict[str, dict[str, Any]] = {"encoder": {"recipe": "frozen"}}  # minutes, not hours


def import_logs(
    logs: list[Path] = Argument(help="Logs: JSONL, JSON, CSV, Parquet, .gz; of batches, both."),
    out: Path = Option(
        Path("labelled.csv"), help="CSV or JSONL file of texts and labels to write."
    ),
    classes: Path | None = Option(
        None, help="The classes, one a line or as YAML list; others are rejected."
    ),
    template: str | None = Option(None, help='Of the prompts, such as "Classify this: {text}".'),
    text_field: str | None = Option(None, help="Column, or field of a JSON prompt, of the text."),
    answer_field: str | None = Option(
        None, help="Column of the answer, or field of a JSON answer that holds the class."
    ),
    labelled: Path | None = Option(None, help="Rows with right labels, to judge the LLM by."),
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    student: str = Option("encoder", help="Judges the rows: encoder, static, linear, or none."),
    seed: int = Option(0, help="Seed of the cross-validation."),
    as_json: options.Json = False,
) -> None:
    """Turn the logged calls of an LLM into labelled rows, and say how good its answers are.

    Reads requests and responses of OpenAI and Anthropic, their batches and fine-tuning files,
    exports of Langfuse and LangSmith, and tables of texts and answers.
    """
    from pgkd.apps.bulk.answers import check_out, write_answers
    from pgkd.tasks.classification.data import imported
    from pgkd.tasks.classification.data.logs import read_logs, reasons_of

    options.check_choice("student", student, ("encoder", "static", "linear", "none"))
    check_out(out)
    names = _read_classes(classes) if classes else None
    given = imported.Template.parse(template) if template else None
    log = read_logs(logs, text_field=text_field, answer_field=answer_field)
    found = given or imported.find_template(call.prompt for call in log.calls)
    calls, rejected = imported.find_texts(log.calls, found)
    json_field = imported.find_field((call.answer for call in calls), answer_field)
    answered, off_list = imported.find_labels(calls, names, json_field)
    rows, repeated, repeats = imported.without_repeats(answered)
    rejected = [*log.rejected, *rejected, *off_list, *repeated]
    counts = Counter(row.label for row in rows)
    if len(counts) < 2:
        raise DataError(
            f"{len(rows)} usable answers of {len(counts)} class: at least two classes are needed. "
            f"The template is '{found}'; left out:",
            [f"{reason}: {n}" for reason, n in reasons_of(rejected).items()],
        )
    write_answers(out, ("text", "label", "origin"), rows)
    rejects = out.with_name(f"{out.stem}.rejected{out.suffix}")
    told = [(each.origin, each.reason, each.text, each.answer) for each in rejected]
    write_answers(rejects, ("origin", "reason", "text", "answer"), told)
    verdict: dict[str, Any] = {
        "out": str(out),
        "rejected_out": str(rejects),
        "records": log.records,
        "formats": dict(log.formats),
        "unreadable": list(log.problems.sentences()),
        "template": str(found),
        "answer_field": json_field,
        "rows": len(rows),
        "classes": dict(counts.most_common()),
        "rejected": reasons_of(rejected),
        "repeated_texts": repeats.texts,
        "agreement_with_itself": repeats.agreement,
        "tokens": {model: list(n) for model, n in log.tokens.items()},
        "usd": _cost(log),
    }
    if student != "none":
        judged = _judge(rows, student, seed)
        verdict["student"] = student
        verdict["student_agreement"] = _share(judged, [row.label for row in rows])
    if labelled:
        right = _right_labels(labelled, text_column, label_column)
        known = [i for i, row in enumerate(rows) if text_key(row.text) in right]
        gold = [right[text_key(rows[i].text)] for i in known]
        verdict["labelled_texts"] = len(known)
        verdict["accuracy"] = _share([rows[i].label for i in known], gold)
        if student != "none":
            verdict["student_accuracy"] = _share([judged[i] for i in known], gold)
    if as_json:
        print_json(verdict)
    else:
        _print_verdict(verdict, rows)


def _read_classes(path: Path) -> list[str]:
    from pgkd.files import read_text
    from pgkd.tasks.classification.data.examples import Taxonomy, read_taxonomy

    if path.suffix.lower() in (".yaml", ".yml"):
        return list(read_taxonomy(path).names)
    lines = (line.strip() for line in read_text(path, DataError).lstrip("\ufeff").splitlines())
    return list(Taxonomy.from_names(line for line in lines if line).names)


def _right_labels(path: Path, text_column: str, label_column: str) -> dict[str, str]:
    from pgkd.tasks.classification.data.dataset import read_rows

    texts, labels = read_rows(path, text_column, label_column)
    return {text_key(text): label for text, label in zip(texts, labels, strict=True)}


def _judge(rows: Sequence[Row], kind: str, seed: int) -> list[str]:
    """What students say of each row that were trained on the other folds."""
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.feedback.cross_validation import out_of_fold
    from pgkd.tasks.classification.students import make_student
    from pgkd.tasks.common.folds import stratified_folds

    texts, labels = [row.text for row in rows], [row.label for row in rows]
    names = sorted(set(labels))
    student = make_student(kind, names, seed=seed, **_FROZEN.get(kind, {}))
    student.tune(texts, labels, seed=seed)
    real = [LabelledText(row.text, row.label, row.origin) for row in rows]
    folds = stratified_folds(labels, min(5, len(rows)), seed)
    found = out_of_fold(student, real, [], folds).probabilities
    return [names[i] for i in found.argmax(axis=1)]


def _share(given: Sequence[str], right: Sequence[str]) -> float | None:
    same = [one == other for one, other in zip(given, right, strict=True)]
    return round(sum(same) / len(same), 4) if same else None


def _cost(log: Log) -> float | None:
    """What the calls cost by the price list, in US dollars; None where a price is not known."""
    from pgkd.usage.prices import ListedPrices

    costs = [
        ListedPrices("anthropic" if "claude" in model else "openai").cost(model, *counts)
        for model, counts in log.tokens.items()
    ]
    known = [cost for cost in costs if cost is not None]
    return round(float(sum(known)), 4) if known and len(known) == len(costs) else None


def _print_verdict(verdict: dict[str, Any], rows: Sequence[Row]) -> None:
    shell = console()
    formats = ", ".join(f"{kind}: {n}" for kind, n in verdict["formats"].items())
    shell.print(f"{verdict['records']} records ({formats})")
    for problem in verdict["unreadable"]:
        shell.print(f"warning: {problem}")
    shell.print(clean(f"template: {verdict['template']}"))
    shell.print(clean(f"for example: {rows[0].text}", 100))
    if verdict["answer_field"]:
        shell.print(clean(f"class: field '{verdict['answer_field']}' of the answer"))
    shell.print(f"{verdict['rows']} texts of {len(verdict['classes'])} classes:")
    for name, n in list(verdict["classes"].items())[:_TOLD]:
        shell.print(f"  {n:6}  {clean(name, 90)}")
    if (more := len(verdict["classes"]) - _TOLD) > 0:
        shell.print(f"          and {more} more")
    shell.print("left out:" if verdict["rejected"] else "nothing left out")
    for reason, n in verdict["rejected"].items():
        shell.print(f"  {n:6}  {reason}")
    if verdict["agreement_with_itself"] is not None:
        shell.print(
            f"The LLM agrees with itself: {verdict['agreement_with_itself']:.3f} "
            f"({verdict['repeated_texts']} texts answered more than once). Nobody can agree more."
        )
    if (agreement := verdict.get("student_agreement")) is not None:
        shell.print(f"A student agrees with the LLM: {agreement:.3f} (cross-validated)")
    if "labelled_texts" in verdict:
        _print_accuracy(verdict, shell)
    if verdict["tokens"]:
        tokens = sum(sum(n) for n in verdict["tokens"].values())
        cost = (
            "at a price that is not known" if verdict["usd"] is None else f"${verdict['usd']:.4g}"
        )
        shell.print(f"These calls took {tokens:,} tokens, {cost}; a student needs none.")
    shell.print(f"Wrote {verdict['out']} and {verdict['rejected_out']}. If the template is wrong:")
    shell.print('  --template "Classify this: {text}"')
    shell.print(f"Next: pgkd init {verdict['out']}")


def _print_accuracy(verdict: dict[str, Any], shell: Any) -> None:
    n = verdict["labelled_texts"]
    if not n:
        shell.print("warning: none of the labelled rows has its text in the log")
        return
    told = f"On {n} labelled rows the LLM is right: {verdict['accuracy']:.3f}"
    if "student_accuracy" in verdict:
        told += f"; a student trained on its answers: {verdict['student_accuracy']:.3f}"
    shell.print(told)
