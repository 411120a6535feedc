"""From a run folder to the content of a report. It writes nothing and calls no teacher.

What an old or interrupted run lacks is empty in the report, and never guessed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np

from pgkd.apps.report.content import (
    KEPT,
    About,
    Confusions,
    Content,
    LabelIssue,
    Mistake,
    Money,
    RoundLine,
    ShownPrompt,
    Snippet,
    Speed,
    Text,
    Texts,
)
from pgkd.apps.report.map import make_map
from pgkd.apps.report.page import one_line
from pgkd.apps.report.students import (
    compare_cells,
    compare_confusions,
    evaluation_sets,
    make_verdict,
)
from pgkd.runs.files import fitting_together
from pgkd.runs.folder import RunFolder
from pgkd.runs.resume import flat_settings
from pgkd.usage.ledger import FROM_CACHE, Call, by_round_and_purpose, known_usd, round_of, summed
from pgkd.usage.prices import OwnMachine

_ISSUES = 100
_KEPT, _DROPPED = 500, 300  # texts that are shown
_OUTPUT = 60  # characters of an output beside its text
_TEXT, _PROMPT = 400, 6000  # characters of a text, of a message
_WRITE_PROMPTS = 4
_LABELLING = "label"  # in a round: texts of the pool; outside: rows of `pgkd evaluate`
_OF_A_ROUND = ("write", "repair", _LABELLING)
_WEIGHTS = {"encoder": "encoder", "static": "embeddings"}
"""The setting that names the weights of a kind of student."""
_NO_TASK: dict[str, Any] = {"classes": [], "train": [], "validation": [], "warnings": []}

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Records:
    """The files of a run, apart from its students."""

    config: dict[str, Any]  # as it stands: an older version may have written it
    task: dict[str, Any]
    versions: dict[str, Any]
    journal: list[dict[str, Any]]
    rounds: list[dict[str, Any]]  # events of the rounds that have ended
    best: int | None  # round of the best student; None where no round has ended
    accepted: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    label_issues: list[dict[str, Any]]  # rows whose label may be wrong
    evaluation: dict[str, Any] | None  # the last result of `pgkd evaluate`
    calls: list[Call] | None  # None where the run has no ledger

    def event(self, name: str) -> dict[str, Any]:
        """The last event of this name; empty where there is none."""
        return next((line for line in reversed(self.journal) if line["event"] == name), {})

    def requests(self) -> list[dict[str, Any]]:
        """Every request for texts, with its reasons."""
        started = [line for line in self.journal if line["event"] == "round started"]
        return [request for line in started for request in line["prompts"]]


def read_records(run: RunFolder) -> Records:
    """Read the files of a run.

    Raises:
        RunError: a file is damaged.
    """

    def optional(name: str) -> dict[str, Any] | None:
        return run.read_json(name) if os.path.lexists(run.path / name) else None

    with fitting_together(run):
        journal = list(run.read_lines("journal.jsonl"))
        rounds = [line for line in journal if line["event"] == "round ended"]
        return Records(
            config=run.settings(),
            task={**_NO_TASK, **(optional("task.json") or {})},
            versions=optional("environment.json") or {},
            journal=journal,
            rounds=rounds,
            best=next((line["round"] for line in reversed(rounds) if line["keep"]), None),
            accepted=list(run.read_lines("examples.jsonl")),
            rejected=list(run.read_lines("rejected.jsonl")),
            label_issues=list(run.read_lines("label_issues.jsonl")),
            evaluation=optional("evaluation.json"),
            calls=_read_calls(run),
        )


def _read_calls(run: RunFolder) -> list[Call] | None:
    if not os.path.lexists(run.ledger_path):
        return None
    with run.ledger_to_read() as ledger:
        return list(ledger.calls())


def gather(run: RunFolder) -> Content:
    """Everything that a report shows of a run.

    Args:
        run: the run; it may be running, or have been cut off.

    Raises:
        RunError: a file of the run is damaged.
    """
    records = read_records(run)
    with fitting_together(run):
        bases = evaluation_sets(run, records)
        money, texts = sum_costs(records), list_texts(run, records)
        return Content(
            about=describe_run(run, records),
            verdict=make_verdict(records, bases, money, texts),
            exam=_exam(records),
            bases=bases,
            rounds=list_rounds(records),
            cells=compare_cells(bases, records),
            mistakes=_mistakes(run, records),
            confusions=compare_confusions(bases[0]) if bases else Confusions(),
            money=money,
            texts=texts,
            prompts=_prompts(records),
            label_issues=_label_issues(records),
            more_label_issues=len(records.label_issues[_ISSUES:]),
            speed=_speed(records),
            map=make_map(run, records, seed=int(records.config.get("seed") or 0)),
        )


def describe_run(run: RunFolder, records: Records) -> About:
    """Which run it is."""
    ended, config, task = records.event("run ended"), records.config, records.task
    teacher, student, guidance = (
        config.get(part) or {} for part in ("teacher", "student", "guidance")
    )
    kind = student.get("kind")
    names = (_WEIGHTS.get(str(kind)),) if kind else ("encoder", "model")
    weights = next((student[name] for name in names if name and student.get(name)), None)
    description = (
        guidance.get("instructions")
        or records.event("task described").get("description")
        or records.event("glossary written").get("about", "")
    )
    return About(
        name=run.path.resolve().name,
        started=str(records.journal[0].get("time", "")) if records.journal else "",
        ended=str(ended.get("time", "")),
        teacher=_join(teacher.get("provider"), teacher.get("model")),
        student=_join(kind, weights),
        classes=len(task["classes"]),
        train=len(task["train"]),
        validation=len(task["validation"]),
        planned=int(config.get("rounds") or 0),
        best=records.best,
        stopped_by=str(ended.get("stopped_by", "")),
        detail=str(ended.get("detail", "")),
        description=str(description),
        warnings=tuple(map(str, task["warnings"])),
        settings={
            name: _basename(value)
            for name, value in flat_settings(config).items()
            if value is not None
        },
        versions={name: str(value) for name, value in records.versions.items() if value},
    )


def _join(kind: object, model: object) -> str:
    return ", ".join(_basename(part) for part in (kind, model) if part)


def _basename(value: object) -> str:
    """The last part of an absolute path: a report does not show where files lie."""
    path = PurePath(str(value))
    return path.name if path.is_absolute() else str(value)


def _exam(records: Records) -> tuple[tuple[str, str], ...]:
    """How well the teacher did in its exam, as the journal and result.json have it."""
    found = records.event("teacher examined")
    if not found:
        return ()

    def share(part: dict[str, Any]) -> str:
        low, high = part["interval"]
        return f"{part['right']:,} of {part['asked']:,} (95% interval {low:.0%} to {high:.0%})"

    titles = {
        "rows": "Labelled rows, correct",
        "own_texts": "Its own texts, classified blind, correct",
    }
    shares = [(title, share(found[part])) for part, title in titles.items() if found.get(part)]
    return (*shares, ("Conclusion", str(found["verdict"])))


def sum_costs(records: Records) -> Money:
    """The calls of a run by round and purpose; an unknown price stays unknown."""
    if records.calls is None:
        return Money(recorded=False)

    def usd(sums: dict[str, Any]) -> str | None:
        known = known_usd(sums)
        return None if known is None else str(known)

    total = summed(records.calls)
    return Money(
        recorded=True,
        parts=tuple(
            {**part, "known_usd": usd(part)} for part in by_round_and_purpose(records.calls)
        ),
        total=total,
        usd=usd(total),
        free=_is_free(records.calls),
        sources=tuple(sorted({call.price_source for call in records.calls if call.price_source})),
    )


def _is_free(calls: Iterable[Call]) -> bool:
    return {call.price_source for call in calls if call.reply} == {OwnMachine().source}


def list_rounds(records: Records) -> tuple[RoundLine, ...]:
    """Every round that has ended, with its costs."""
    calls = [call for call in records.calls or () if call.purpose != _LABELLING or call.round]

    def costs(part: Iterable[Call]) -> tuple[int, str | None]:
        sums = summed(part)
        known = records.calls is not None and not sums["unpriced"]
        return sums["input_tokens"] + sums["output_tokens"], sums["usd"] if known else None

    def make(line: dict[str, Any]) -> RoundLine:
        number = line["round"]
        tokens, usd = costs(c for c in calls if c.round == number and c.purpose in _OF_A_ROUND)
        total_tokens, total_usd = costs(c for c in calls if c.round <= number)
        return RoundLine(
            number=number,
            **{name: line[name] for name in ("asked", "accepted", "synthetic", "keep")},
            weight=line.get("synthetic_weight"),
            figures={
                name: float(value)
                for name, value in line["validation"].items()
                if isinstance(value, int | float) and name != "n"
            },
            loss_change=line.get("loss_change", 0.0),
            loss_error=line.get("loss_change_standard_error"),
            tokens=tokens,
            usd=usd,
            total_tokens=total_tokens,
            total_usd=total_usd,
        )

    return tuple(map(make, records.rounds))


def _speed(records: Records) -> Speed:
    """Of the student as `pgkd evaluate` measured it, of the teacher by its calls that label."""
    calls = [
        call
        for call in records.calls or ()
        if call.purpose == _LABELLING and call.reply is not None and call.price_source != FROM_CACHE
    ]
    seconds = [call.reply.seconds for call in calls if call.reply and call.reply.seconds > 0]
    costs = [call.cost for call in calls if call.cost is not None]
    all_known = bool(calls) and len(costs) == len(calls)
    return Speed(
        student=(records.evaluation or {}).get("timing"),
        teacher_calls=len(seconds),
        teacher_median=float(np.median(seconds)) if seconds else None,
        teacher_p95=float(np.percentile(seconds, 95)) if seconds else None,
        teacher_usd=float(sum(costs) / len(costs) * 1_000_000) if all_known else None,
        teacher_free=_is_free(calls),
    )


def spread(items: Sequence[_Item], n: int) -> list[_Item]:
    """At most `n` items, evenly spaced, in order."""
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def _mistakes(run: RunFolder, records: Records) -> tuple[Mistake, ...]:
    """What the best student gets wrong, as its round tells it."""
    lines = next((r.get("mistakes", ()) for r in records.rounds if r["round"] == records.best), ())
    return tuple(
        Mistake(
            Snippet.of(line.get("text"), _TEXT),
            Snippet.of(line.get("expected"), _TEXT),
            Snippet.of(_as_text(run, line.get("answer")), _TEXT),
        )
        for line in lines[:_ISSUES]
    )


def _as_text(run: RunFolder, answer: object) -> str:
    """An answer as its kind of task shows it; the journal may have been edited."""
    if isinstance(answer, dict):
        with suppress(KeyError, TypeError, ValueError):
            return run.task.output(answer)
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def list_texts(run: RunFolder, records: Records) -> Texts:
    """Counts of all texts, and some of them, spread over the run and over the reasons."""
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for line in records.rejected:
        by_reason.setdefault(str(line["reason"]), []).append(line)
    each = _DROPPED // max(1, len(by_reason))
    shown = [
        Text(
            round=example.origin.round if example.origin else 0,
            label=one_line(example.output, _OUTPUT),
            outcome=KEPT,
            text=Snippet.of(" | ".join(example.texts), _TEXT),
            detail=Snippet("", 0),
        )
        for example in map(run.task.example, spread(records.accepted, _KEPT))
    ]
    shown += [
        Text(
            round=round_of(str(line.get("request", ""))),
            label=str(line.get("label") or ""),
            outcome=reason,
            text=Snippet.of(line.get("text") or line.get("raw"), _TEXT),
            detail=Snippet.of(line.get("detail"), _TEXT),
        )
        for reason, lines in by_reason.items()
        for line in spread(lines, each)
    ]
    counts = {reason: len(lines) for reason, lines in by_reason.items()}
    return Texts(
        accepted=len(records.accepted),
        rejected=len(records.rejected),
        reasons=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        shown=tuple(sorted(shown, key=lambda text: text.round)),
    )


def _prompts(records: Records) -> tuple[ShownPrompt, ...]:
    """One call of every purpose; of those that request texts, one each of several rounds."""
    firsts: dict[str, dict[int, Call]] = {}
    for call in records.calls or ():
        firsts.setdefault(call.purpose, {}).setdefault(call.round, call)
    reasons = {request["id"]: tuple(request.get("reasons", ())) for request in records.requests()}
    calls = [
        call
        for purpose, by_round in firsts.items()
        for call in spread(list(by_round.values()), _WRITE_PROMPTS if purpose == "write" else 1)
    ]

    def make(call: Call) -> ShownPrompt:
        failed = f"{call.error_kind}: {call.error}" if call.error_kind else ""
        return ShownPrompt(
            id=call.id,
            purpose=call.purpose,
            round=call.round,
            reasons=reasons.get(call.id, ()),
            messages=tuple(
                (str(message["role"]), Snippet.of(message["content"], _PROMPT))
                for message in call.request["messages"]
            ),
            reply=Snippet.of(call.reply.text if call.reply else failed, _PROMPT),
            state=call.state,
        )

    return tuple(make(call) for call in sorted(calls, key=lambda call: call.n))


def _label_issues(records: Records) -> tuple[LabelIssue, ...]:
    """The first rows whose label may be wrong."""
    return tuple(
        LabelIssue(
            id=str(line["id"]),
            label=str(line.get("label", "")),
            suggested=str(line.get("suggested", "")),
            by=str(line.get("by", "")),
            round=int(line.get("round") or round_of(str(line.get("request", "")))),
            text=Snippet.of(line["text"], _TEXT),
        )
        for line in records.label_issues[:_ISSUES]
    )
