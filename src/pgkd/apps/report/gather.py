"""From a run folder to what a report shows. It writes nothing, and asks no teacher."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pgkd.apps.report.content import About, Confusions, Content
from pgkd.apps.report.judged import bases_of, class_lines, confusions_of
from pgkd.apps.report.projection import map_of
from pgkd.apps.report.records import Records, read_records
from pgkd.apps.report.samples import SUSPECTS, prompts_of, suspects_of, texts_of
from pgkd.apps.report.spending import money_of, round_lines, speed_of
from pgkd.apps.report.verdict import verdict_of
from pgkd.runs.files import fitting_together

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder

_WEIGHTS = {"encoder": "encoder", "static": "embeddings"}
"""The setting that names the weights of a kind of student."""


def gather(run: RunFolder) -> Content:
    """All that a report shows. What a run does not tell is left out, and never guessed.

    Raises:
        RunError: a file of the run is damaged.
    """
    records = read_records(run)
    with fitting_together(run):
        return _content(run, records)


def _content(run: RunFolder, records: Records) -> Content:
    bases = bases_of(run, records)
    money, texts = money_of(records), texts_of(records)
    return Content(
        about=about_of(run, records),
        verdict=verdict_of(records, bases, money, texts),
        exam=exam_of(records),
        bases=bases,
        rounds=round_lines(records),
        classes=class_lines(bases[0], records) if bases else (),
        confusions=confusions_of(bases[0]) if bases else Confusions(),
        money=money,
        texts=texts,
        prompts=prompts_of(records),
        suspects=suspects_of(records),
        more_suspects=len(records.suspects[SUSPECTS:]),
        speed=speed_of(records),
        map=map_of(run, records, seed=int(records.config.get("seed") or 0)),
    )


def exam_of(records: Records) -> tuple[tuple[str, str], ...]:
    """What the teacher has shown, as the journal notes it and result.json repeats it."""
    found = records.event("teacher examined")
    if not found:
        return ()
    lines = [
        (title, _share(found[part]))
        for part, title in (
            ("rows", "Labelled rows of the user, right"),
            ("own_texts", "Its own texts, read without their class, right"),
        )
        if found.get(part)
    ]
    return (*lines, ("What it means", str(found["verdict"])))


def _share(part: dict[str, Any]) -> str:
    low, high = part["interval"]
    return f"{part['right']:,} of {part['asked']:,} (95% interval {low:.0%} to {high:.0%})"


def about_of(run: RunFolder, records: Records) -> About:
    """Which run it is."""
    ended = records.event("run ended")
    teacher, student = (records.config.get(part) or {} for part in ("teacher", "student"))
    weights = student.get(_WEIGHTS.get(str(student.get("kind")), ""))
    guidance = records.config.get("guidance") or {}
    task = records.task
    return About(
        name=run.path.resolve().name,
        started=str(records.journal[0].get("time", "")) if records.journal else "",
        ended=str(ended.get("time", "")),
        teacher=_named(teacher.get("provider"), teacher.get("model")),
        student=_named(student.get("kind"), weights),
        classes=len(task["classes"]),
        train=len(task["train"]),
        validation=len(task["validation"]),
        planned=int(records.config.get("rounds") or 0),
        best=records.best,
        stopped_by=str(ended.get("stopped_by", "")),
        detail=str(ended.get("detail", "")),
        description=str(
            guidance.get("instructions")
            or records.event("task described").get("description")
            or records.event("glossary written").get("about", "")
        ),
        warnings=tuple(map(str, task["warnings"])),
        settings=_settings(records.config),
        versions={name: str(value) for name, value in records.versions.items() if value},
    )


def _named(kind: object, model: object) -> str:
    """A kind and its model; of a path the last part, for where it lay concerns nobody."""
    return ", ".join(_placeless(part) for part in (kind, model) if part)


def _placeless(value: object) -> str:
    path = PurePath(str(value))
    return path.name if path.is_absolute() else str(value)


def _settings(config: dict[str, Any], above: str = "") -> dict[str, str]:
    """Settings by dotted names; of a path the last part."""
    found: dict[str, str] = {}
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            found |= _settings(value, f"{name}.")
        elif value is not None:
            found[name] = _placeless(value)
    return found
