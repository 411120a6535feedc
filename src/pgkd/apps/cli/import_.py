"""`pgkd import`: from the log of an LLM that classifies to labelled rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from pgkd.apps.cli import options
from pgkd.apps.cli.console import clean, console, print_json
from pgkd.errors import ConfigError, DataError
from pgkd.text import shown, text_key

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOLD = 20  # classes that are printed


def import_logs(
    logs: list[Path] = Argument(help="JSONL, JSON, CSV or Parquet; of a batch, both files."),
    out: Path = Option(Path("labelled.csv"), help="CSV or JSONL file of labelled rows to write."),
    classes: Path | None = Option(None, help="The classes: YAML list, or a text file, one a line."),
    template: str | None = Option(None, help='Of the prompts: "Classify this: {text}".'),
    text_field: str | None = Option(None, help="Column of the text, or its name among inputs."),
    answer_field: str | None = Option(None, help="Column of the answer, or field of JSON answers."),
    labelled: Path | None = Option(None, help="Rows with right labels, to judge the answers by."),
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    student: str = Option("encoder", help="Finds doubtful answers: encoder, static, linear, none."),
    seed: int = Option(0, help="Seed of its cross-validation."),
    as_json: options.Json = False,
) -> None:
    """Make labelled rows of the logged calls of an LLM, and say how good its answers are.

    Reads requests and responses of OpenAI and Anthropic, their batches and fine-tuning files,
    exports of Langfuse and LangSmith, and tables of texts and answers.
    """
    from pgkd.apps.bulk.answers import check_out, write_answers
    from pgkd.tasks.classification.data import imported
    from pgkd.tasks.classification.data.logs import Unusable, read_logs, reasons_of

    options.check_choice("student", student, ("encoder", "static", "linear", "none"))
    if check_out(out).resolve() in [path.resolve() for path in logs]:
        raise ConfigError(f"{out} is one of the logs: give another --out.")
    names = _read_classes(classes) if classes else None
    right = _right_labels(labelled, text_column, label_column) if labelled else {}
    found = imported.Template.parse(template) if template else None
    log = read_logs(logs, text_field, answer_field)
    found = found or imported.find_template(call.text for call in log.calls)
    calls, off_template = imported.find_texts(log.calls, found)
    field = imported.find_field((call.answer for call in calls), answer_field)
    if answer_field not in (None, field) and "text and answer" not in log.formats:
        raise ConfigError(f"No record and no answer has a field '{shown(answer_field)}'.")
    answered, off_list = imported.find_labels(calls, names, field)
    rows, repeated, agreement = imported.without_repeats(answered)
    rejected = [*log.rejected, *off_template, *off_list, *repeated]
    if len({row.answer for row in rows}) < 2:
        raise DataError(
            f"{len(rows)} usable answers, and not of two classes; the template is '{found}':",
            [f"{reason}: {n}" for reason, n in reasons_of(rejected).items()],
        )
    verdict: dict[str, Any] = {
        "formats": dict(log.formats),
        "unreadable": list(log.problems.sentences()),
        "template": str(found),
        "answer_field": field,
        "tokens": log.tokens,
        "repeated_texts": len(agreement),
        "agrees_with_itself": round(sum(agreement) / len(agreement), 4) if agreement else None,
    }
    kept = rows
    if student != "none":
        console(stderr=True).print(f"cross-validating a student on {len(rows)} rows")
        judged = imported.judge(rows, student, seed)
        verdict["student_agrees"] = _agreement(judged.predicted, [row.answer for row in rows])
        verdict["doubtful"] = int(judged.doubtful.sum())
        verdict["doubtful_left_out"] = judged.pays
        if judged.pays:
            reason = "doubtful by confident learning"
            pairs = list(zip(rows, judged.doubtful, strict=True))
            kept = [row for row, doubt in pairs if not doubt]
            rejected += [Unusable.of(row, reason) for row, doubt in pairs if doubt]
    if labelled:
        known = [i for i, row in enumerate(rows) if text_key(row.text) in right]
        gold = [right[text_key(rows[i].text)] for i in known]
        verdict["labelled_texts"] = len(known)
        verdict["accuracy"] = _agreement([rows[i].answer for i in known], gold)
        if student != "none":
            verdict["student_accuracy"] = _agreement([judged.predicted[i] for i in known], gold)
    rejects = out.with_name(f"{out.stem}.rejected{out.suffix}")
    write_answers(out, ("text", "label", "origin"), kept)
    write_answers(rejects, ("origin", "reason", "text", "answer"), rejected)
    verdict |= {
        "classes": dict(Counter(row.answer for row in kept).most_common()),
        "rows": len(kept),
        "rejected": reasons_of(rejected),
        "out": str(out),
        "rejected_out": str(rejects),
    }
    print_json(verdict) if as_json else _print_verdict(verdict, rows[0].text)


def _read_classes(path: Path) -> Sequence[str]:
    from pgkd.files import read_text
    from pgkd.tasks.classification.data.examples import Taxonomy, read_taxonomy

    if path.suffix.lower() in (".yaml", ".yml"):
        return read_taxonomy(path).names
    lines = read_text(path, DataError).lstrip("\ufeff").splitlines()
    return Taxonomy.from_names(line.strip() for line in lines if line.strip()).names


def _right_labels(path: Path, text_column: str, label_column: str) -> dict[str, str]:
    from pgkd.tasks.classification.data.dataset import read_rows

    texts, labels = read_rows(path, text_column, label_column)
    return dict(zip(map(text_key, texts), labels, strict=True))


def _agreement(given: Sequence[str], right: Sequence[str]) -> float | None:
    same = sum(one == other for one, other in zip(given, right, strict=True))
    return round(same / len(given), 4) if given else None


def _print_verdict(verdict: dict[str, Any], example: str) -> None:
    shell = console()
    for problem in verdict["unreadable"]:
        shell.print(f"warning: {problem}")
    formats = ", ".join(f"{n} of {kind}" for kind, n in verdict["formats"].items())
    shell.print(f"records: {formats}")
    shell.print(f"template: {clean(verdict['template'])}")
    shell.print(f"for example: {clean(example, 90)}")
    if verdict["answer_field"]:
        shell.print(f"class: the field {clean(verdict['answer_field'])} of the answer")
    if (share := verdict["agrees_with_itself"]) is not None:
        n = verdict["repeated_texts"]
        shell.print(f"the LLM agrees with itself: {share:.3f}, on {n} texts that it had repeatedly")
    if (share := verdict.get("student_agrees")) is not None:
        shell.print(f"a student agrees with the LLM: {share:.3f}, cross-validated")
    if (n := verdict.get("doubtful")) and not verdict["doubtful_left_out"]:
        shell.print(f"{n} answers are doubtful; a student agrees no better without them: kept")
    if n := verdict.get("labelled_texts"):
        shell.print(f"the LLM is right: {verdict['accuracy']:.3f}, on {n} labelled rows")
        if (share := verdict.get("student_accuracy")) is not None:
            shell.print(f"a student of its answers is right: {share:.3f}, on the same rows")
    elif n == 0:
        shell.print("warning: no labelled row has its text in the log")
    if verdict["tokens"]:
        shell.print(f"these calls took {verdict['tokens']:,} tokens; a student takes none")
    shell.print(f"{verdict['rows']} rows of {len(verdict['classes'])} classes:")
    for name, n in list(verdict["classes"].items())[:_TOLD]:
        shell.print(f"  {n:6}  {clean(name, 90)}")
    if (more := len(verdict["classes"]) - _TOLD) > 0:
        shell.print(f"          and {more} more")
    shell.print(f"{sum(verdict['rejected'].values())} left out, see {verdict['rejected_out']}:")
    for reason, n in verdict["rejected"].items():
        shell.print(f"  {n:6}  {reason}")
    shell.print('If the text is not what varies: --template "Classify this: {text}"')
    shell.print(f"Wrote {verdict['out']}. Next: pgkd init {verdict['out']}")
