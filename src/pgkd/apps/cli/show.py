"""`pgkd show`, `report`, `cost`, `ui` and `retrain`: look into a run, and review it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import (
    clean,
    console,
    format_change,
    print_json,
    print_rows,
)
from pgkd.evaluation import titled

if TYPE_CHECKING:
    from pgkd.runs.retraining import Retrained

_NOT_SHOWN = ("weighted_f1", "ece")
"""What a round's line leaves out of its figures."""


def show(
    run: options.Run,
    round_: int | None = Option(None, "--round", help="Only this round's texts."),
    label: str | None = Option(None, "--class", help="Only this class."),
    examples: int = Option(5, min=0, help="Number of accepted and of rejected texts to show."),
    prompts: bool = Option(False, help="Print the prompts that were sent."),
    as_json: options.Json = False,
) -> None:
    """Show rounds, requests with reasons, accepted and rejected texts, and label issues."""
    from pgkd.runs.files import fitting_together

    folder = pgkd.RunFolder.open(run)
    folder.settings()  # a run that no other command can read fails here, too
    with fitting_together(folder):
        content = _gather(folder, round_, label)
        basis = _describe_basis(folder, content["rounds"])
    if as_json:
        print_json(content)
        return
    _print_overview(content, basis)
    _print_texts(content, examples, folder.task)
    if prompts:
        _print_prompts(folder, round_)


def _gather(folder: pgkd.RunFolder, number: int | None, label: str | None) -> dict[str, Any]:
    """All of a run that matches, as plain data; an interrupted run gives what it has."""
    journal = list(folder.read_lines("journal.jsonl"))

    def events(*names: str) -> list[dict[str, Any]]:
        return [line for line in journal if line["event"] in names]

    def select(name: str, test: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        return [line for line in folder.read_lines(name) if test(line)]

    def matches(request: str, name: str | None) -> bool:
        in_round = number is None or request.startswith(f"r{number}-")
        return in_round and (label is None or name == label)

    described = events("task described", "glossary written")[:1]
    return {
        "label_names": next(iter(events("label names tried")), None),
        "description": next(
            (str(line.get("description") or line.get("about") or "") for line in described), None
        ),
        "rounds": events("round ended"),
        "prompts": [
            {"round": line["round"], **ask}
            for line in events("round started")
            for ask in line["prompts"]
            if matches(ask["id"], _label_of(ask) or label)
        ],
        "accepted": select(
            "examples.jsonl", lambda x: matches(x["origin"]["request"], x.get("label"))
        ),
        "rejected": select("rejected.jsonl", lambda x: matches(x["request"], x.get("label"))),
        "label_issues": select("label_issues.jsonl", lambda x: label in (None, x.get("label"))),
    }


def _describe_basis(folder: pgkd.RunFolder, rounds: list[dict[str, Any]]) -> str:
    """The rows that the figures of the rounds are of."""
    if not rounds or folder.read_json("task.json")["validation"]:
        return "on the validation rows"
    return f"cross-validated on {rounds[-1]['validation']['n']} labelled rows"


def _print_overview(content: dict[str, Any], basis: str) -> None:
    from pgkd.apps.cli.progress import format_label_names

    shell = console()
    if tried := content["label_names"]:
        shell.print(format_label_names(_format_loss(tried), used=tried["used"]))
    if description := content["description"]:
        shell.print(
            "The teacher's summary of the data (guidance.instructions replaces it): ",
            clean(description), sep="",
        )  # fmt: skip
    figures = content["rounds"][0]["validation"] if content["rounds"] else {}
    shown = [n for n, v in figures.items() if isinstance(v, float) and n not in _NOT_SHOWN]
    titles = [titled(name) for name in shown]
    header = ("round", "accepted", "weight", *titles, "loss change", "")
    rounds = [
        (
            str(line["round"]),
            f"{line['accepted']} of {line['asked']}",
            _format_weights(line),
            *(f"{line['validation'][name]:.3f}" for name in shown),
            _format_loss(line) if line["round"] else "",
            "new best" if line["keep"] else "",
        )
        for line in content["rounds"]
    ]
    print_rows(f"Rounds ({basis})", header, rounds)
    requests = [
        (
            ask["id"],
            _label_of(ask) or "the teacher's choice",
            str(ask["count"]),
            "; ".join(ask.get("reasons", ())),
        )
        for ask in content["prompts"]
    ]
    if requests:
        print_rows("Requests to the teacher", ("request", "for", "texts", "why"), requests)


def _label_of(ask: dict[str, Any]) -> str | None:
    """The label or other cell that a request is for; None where the teacher chooses."""
    labels = ask.get("labels", "all")
    return ask.get("cell") if labels == "all" else str(labels[0])


def _format_loss(line: dict[str, Any]) -> str:
    error = line.get("loss_change_standard_error") or 0.0
    return format_change(line.get("loss_change", 0.0), error)


def _format_weights(line: dict[str, Any]) -> str:
    """The weights of synthetic texts, and of texts that the teacher labelled."""
    written, labelled = line.get("synthetic_weight"), line.get("labelled_weight")
    parts = [f"{written:g}"] if written else []
    return "; ".join(parts + ([f"labelled {labelled:.2g}"] if labelled else []))


def _print_texts(content: dict[str, Any], n: int, task: pgkd.Task) -> None:
    shell = console()
    kept, dropped, label_issues = (
        content[name] for name in ("accepted", "rejected", "label_issues")
    )
    shell.print(f"\nAccepted: {len(kept)} texts" + (", the last ones:" if n and kept else ""))
    for line in kept[-n:] if n else ():
        shell.print(
            "  ", clean(task.example(line).output, 80), " │ ", clean(line["text"], 160), sep=""
        )
    shell.print(f"\nRejected: {len(dropped)}")
    for reason, count in Counter(line["reason"] for line in dropped).most_common():
        shell.print(f"  {count:4d}  {reason}")
        for line in [line for line in dropped if line["reason"] == reason][: min(n, 2)]:
            text = line.get("text") or line.get("raw") or ""
            shell.print("        ", clean(str(text), 120), sep="")
            shell.print("          ", clean(line.get("detail", ""), 140), sep="")
    if not label_issues:
        return
    shell.print(f"\nPossible label issues: {len(label_issues)} (all in label_issues.jsonl)")
    for line in label_issues[:n]:
        other = f", looks like {line['suggested']}" if "suggested" in line else ""
        issue = f"  {line['id']}: labelled {line['label']}{other} ({line.get('by', '')}) │ "
        shell.print(clean(issue), " ", clean(line["text"], 110), sep="")


def _print_prompts(folder: pgkd.RunFolder, number: int | None) -> None:
    shell = console()

    def print_part(title: str, text: str) -> None:
        shell.print(f"[{title}]")
        shell.print("\n".join(clean(line).plain for line in text.splitlines()))

    with folder.ledger_to_read() as ledger:
        for call in ledger.calls():
            if number is not None and call.round != number:
                continue
            shell.rule(f"{call.id} ({call.state})", align="left")
            for message in call.request["messages"]:
                print_part(message["role"], message["content"])
            print_part(
                "reply", call.reply.text if call.reply else f"{call.error_kind}: {call.error}"
            )


def report(
    run: options.Run,
    out: Path | None = Option(None, help="File to write; default: RUN/report.html."),
    open_: bool = Option(False, "--open", help="Open it in the browser."),
    as_json: bool = Option(False, "--json", help="Print the content as JSON, and write no file."),
) -> None:
    """Write one HTML file that shows what a run gained, wrote and cost."""
    from pgkd.apps.report import gather, write_report

    folder = pgkd.RunFolder.open(run)
    if as_json:
        print_json(gather(folder).to_json())
        return
    with console(stderr=True).status("reading the run"):
        written = write_report(folder, out)
    console().print(f"Report: {written}")
    if open_:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())


_COLUMNS = {
    "calls": "calls", "retries": "retries", "failed": "failed", "lost": "lost", "cached": "cached",
    "input_tokens": "tokens in", "cached_tokens": "of them cached", "output_tokens": "tokens out",
}  # fmt: skip
_IF_ANY = ("retries", "cached_tokens")  # columns that are shown only if not empty


def cost(
    run: Path = Argument(help="Run folder, or the ledger of pgkd label."),
    as_json: options.Json = False,
) -> None:
    """Sum the calls of a run by round and purpose: tokens and US dollars.

    Unknown prices stay unknown: `unpriced` counts the replies without one.
    """
    from pgkd.usage.ledger import Ledger, by_round_and_purpose, known_usd, summed

    is_ledger = run.exists() and not run.is_dir()
    with Ledger.to_read(run) if is_ledger else pgkd.RunFolder.open(run).ledger_to_read() as ledger:
        calls = list(ledger.calls())
    parts, total = by_round_and_purpose(calls), summed(calls)
    if as_json:
        sources = sorted({call.price_source for call in calls if call.price_source})
        print_json({"run": str(run), "parts": parts, "total": total, "prices": sources})
        return
    shown = [name for name in _COLUMNS if total[name] or name not in _IF_ANY]
    rows = []
    for line in (*parts, {"round": "all", "purpose": "", **total}):
        usd = known_usd(line)
        cells = (line[name] for name in ("round", "purpose", *shown))
        rows.append((*map(str, cells), "unknown" if usd is None else f"{usd:.4f}"))
    header = ("round", "purpose", *(_COLUMNS[name] for name in shown), "US $")
    print_rows(f"Calls to the teacher, {run}", header, rows)
    if total["unpriced"]:
        console().print(
            f"{total['unpriced']} replies have no known price and are not in the sum: set "
            "teacher.price_input and teacher.price_output."
        )
    if total["lost"]:
        console().print(
            "Lost calls were in flight when the run was interrupted, or are out in a batch; they "
            "may be charged."
        )


def ui(
    path: Path = Argument(Path("runs"), help="Run folder, or a folder of runs."),
    port: int = Option(0, min=0, max=65535, help="Port; 0 takes a free one."),
    host: str = Option("127.0.0.1", help="Loopback address."),
    who: str = Option("", help="Your name in the journal of decisions; default: your user name."),
) -> None:
    """Open a page to watch runs, review their texts and start new ones, until Ctrl-C.

    It prints an address with a secret in it. Only this machine can reach it.
    """
    from pgkd.apps.ui import open_ui

    open_ui(path, host=host, port=port, who=who)


def retrain(run: options.Run, as_json: options.Json = False) -> None:
    """Retrain a student with the review decisions of `pgkd ui`; the previous one stays.

    No teacher is asked.
    """
    from pgkd.runs.retraining import retrain as train

    folder = pgkd.RunFolder.open(run)
    options.check_writable(run / "students")
    with console(stderr=True).status("retraining"):
        result = train(folder)
    if as_json:
        print_json({"run": str(run), **result.to_json()})
    else:
        _print_retrained(folder, result)


def _print_retrained(run: pgkd.RunFolder, result: Retrained) -> None:
    from pgkd.apps.cli.progress import describe_rows, figure_names, format_figures

    shell = console()
    decisions = ", ".join(f"{count} {kind}" for kind, count in result.decisions.items())
    weight = result.after.synthetic_weight
    others = "" if weight is None else f", the others {weight:.0%} of one"
    shell.print(
        f"Decisions: {decisions}. Trained on {result.rows} labelled rows and {result.synthetic} "
        f"synthetic texts: {result.human_verified} human-verified ones count as a row{others}."
    )
    students = {"the run's best student": result.before, "retrained": result.after}
    print_rows(
        describe_rows(result.after),
        ("", *figure_names(result.after)),
        [(name, *format_figures(evaluation)) for name, evaluation in students.items()],
    )
    verdict = result.verdict
    outcome = "would accept it" if verdict.keep else "would reject it: it is worse"
    change = format_change(verdict.change, verdict.standard_error)
    shell.print(f"Loss {change}; the stop rule {outcome}.")
    shell.print(f"Both are saved: students/best and students/reviewed of {run.path}.")
    shell.print(f"Next: pgkd export {run.path} --which reviewed")
