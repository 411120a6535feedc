"""`pgkd show`: look into a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder

Option = typer.Option


def show(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    round_: Annotated[int | None, Option("--round", help="Only this round's texts.")] = None,
    label: Annotated[str | None, Option("--class", help="Only this class.")] = None,
    examples: Annotated[int, Option(min=0, help="Texts to show, kept and dropped each.")] = 5,
    prompts: Annotated[bool, Option(help="Print the prompts that were sent.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the rounds, what was asked and why, what was kept and dropped, and doubtful labels."""
    from pgkd.apps.cli.console import print_json
    from pgkd.runs.files import fitting_together
    from pgkd.runs.folder import RunFolder

    folder = RunFolder.open(run)
    folder.settings()  # a run that no other command can read is told of here, too
    with fitting_together(folder):
        content = _gather(folder, round_, label)
        judged_on = _judged_on(folder, content["rounds"])
    if as_json:
        print_json(content)
        return
    _class_list(content["class_list"])
    _description(content["description"])
    _rounds(content["rounds"], judged_on)
    _asks(content["asks"])
    _texts("Kept", content["kept"], examples)
    _dropped(content["dropped"], examples)
    _suspects(content["suspects"], examples)
    if prompts:
        _prompts(folder, round_)


def _gather(folder: RunFolder, number: int | None, label: str | None) -> dict[str, Any]:
    """All of a run that matches, as plain data; a run that was cut short has what it has."""
    journal = list(folder.read_lines("journal.jsonl"))

    def fits(request: str, name: str | None) -> bool:
        in_round = number is None or request.startswith(f"r{number}-")
        return in_round and (label is None or name == label)

    asks = [
        {"round": line["round"], **ask}
        for line in journal
        if line["event"] == "round started"
        for ask in line["asks"]
        if fits(ask["id"], label if ask["labels"] == "all" else ask["labels"][0])
    ]
    tried = [line for line in journal if line["event"] == "class list tried"]
    described = [
        str(line.get("description") or line.get("about") or "")
        for line in journal
        if line["event"] in ("task described", "glossary written")
    ]
    return {
        "class_list": tried[0] if tried else None,
        "description": described[0] if described else None,
        "rounds": [line for line in journal if line["event"] == "round ended"],
        "asks": asks,
        "kept": [
            line
            for line in folder.read_lines("examples.jsonl")
            if fits(line["origin"]["request"], line["label"])
        ],
        "dropped": [
            line
            for line in folder.read_lines("dropped.jsonl")
            if fits(line["request"], line.get("label"))
        ],
        "suspects": [
            line
            for line in folder.read_lines("suspects.jsonl")
            if label is None or line["label"] == label
        ],
    }


def _class_list(tried: dict[str, Any] | None) -> None:
    from pgkd.apps.cli.console import console

    if tried:
        change = tried.get("loss_change", 0.0)
        error = tried.get("loss_change_standard_error") or 0.0
        console().print(
            f"The class list as training texts: cross-validated log loss "
            f"{change:+.3f} ± {error:.3f}, {'used' if tried['used'] else 'not used'}."
        )


def _description(description: str | None) -> None:
    from pgkd.apps.cli.console import clean, console

    if description:
        told = "What the teacher takes the task for (guidance.instructions replaces it): "
        console().print(told, clean(description), sep="")


def _judged_on(folder: RunFolder, rounds: list[dict[str, Any]]) -> str:
    """Which rows the figures of the rounds are of, in words."""
    if not rounds or folder.read_json("task.json")["validation"]:
        return "on the validation rows"
    return f"cross-validated on {rounds[-1]['validation']['n']} labelled rows"


def _rounds(rounds: list[dict[str, Any]], judged_on: str) -> None:
    from pgkd.apps.cli.console import print_rows

    rows = []
    for line in rounds:
        metrics = line["validation"]
        change = line.get("loss_change", 0.0)
        error = line.get("loss_change_standard_error") or 0.0
        rows.append(
            (
                str(line["round"]),
                f"{line['kept']} of {line['asked']}",
                _weights(line),
                f"{metrics['accuracy']:.3f}",
                f"{metrics['macro_f1']:.3f}",
                f"{metrics['log_loss']:.3f}",
                f"{change:+.3f} ± {error:.3f}" if line["round"] else "",
                "kept" if line["keep"] else "",
            )
        )
    figures = ("accuracy", "macro F1", "log loss", "loss change")
    header = ("round", "texts kept", "weight", *figures, "student")
    print_rows(f"Rounds ({judged_on})", header, rows)


def _weights(line: dict[str, Any]) -> str:
    """What written texts weigh in a round, and those of the pool that the teacher labelled."""
    written, labelled = line.get("written_weight"), line.get("labelled_weight")
    told = [f"{written:g}"] if written else []
    return "; ".join(told + ([f"labelled {labelled:.2g}"] if labelled else []))


def _asks(asks: list[dict[str, Any]]) -> None:
    from pgkd.apps.cli.console import print_rows

    if not asks:
        return
    rows = [
        (
            ask["id"],
            "the teacher's choice" if ask["labels"] == "all" else ask["labels"][0],
            str(ask["count"]),
            "; ".join(ask.get("reasons", ())),
        )
        for ask in asks
    ]
    print_rows("Asked of the teacher", ("request", "class", "texts", "why"), rows)


def _texts(title: str, texts: list[dict[str, Any]], n: int) -> None:
    from pgkd.apps.cli.console import clean, console

    shell = console()
    shell.print(f"\n{title}: {len(texts)} texts" + (", the last ones:" if n and texts else ""))
    for line in texts[-n:] if n else ():
        shell.print("  ", clean(line["label"]), " │ ", clean(line["text"], 160), sep="")


def _dropped(dropped: list[dict[str, Any]], n: int) -> None:
    from pgkd.apps.cli.console import clean, console

    shell = console()
    reasons = Counter(line["reason"] for line in dropped)
    shell.print(f"\nDropped: {len(dropped)}")
    for reason, count in reasons.most_common():
        shell.print(f"  {count:4d}  {reason}")
        for line in [line for line in dropped if line["reason"] == reason][: min(n, 2)]:
            text = line.get("text") or line.get("raw") or ""
            shell.print("        ", clean(str(text), 120), sep="")
            shell.print("          ", clean(line.get("detail", ""), 140), sep="")


def _suspects(suspects: list[dict[str, Any]], n: int) -> None:
    from pgkd.apps.cli.console import clean, console

    if not suspects:
        return
    shell = console()
    shell.print(f"\nRows whose label is doubtful: {len(suspects)} (all in suspects.jsonl)")
    for line in suspects[:n]:
        other = f", rather {line['suggested']}" if "suggested" in line else ""
        doubt = f"  {line['id']}: {line['label']}{other} ({line.get('by', '')}) │ "
        shell.print(clean(doubt), " ", clean(line["text"], 110), sep="")


def _prompts(folder: RunFolder, number: int | None) -> None:
    from pgkd.apps.cli.console import console

    shell = console()
    with folder.ledger_to_read() as ledger:
        for call in ledger.calls():
            if number is not None and call.round != number:
                continue
            shell.rule(f"{call.id} ({call.state})", align="left")
            for message in call.request["messages"]:
                shell.print(f"[{message['role']}]")
                shell.print(_multiline(message["content"]))
            answer = call.reply.text if call.reply else f"{call.error_kind}: {call.error}"
            shell.print("[reply]")
            shell.print(_multiline(answer))


def _multiline(text: str) -> str:
    from pgkd.apps.cli.console import clean

    return "\n".join(clean(line).plain for line in text.splitlines())
