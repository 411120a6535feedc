"""A folder that Argilla 2 reads: ``rg.Dataset.from_disk(DIR)``.

::

    DIR/
      .argilla/dataset.json    its name
      .argilla/settings.json   one text field, one question with the classes, metadata to filter by
      records.json             a record a text

The layout is that of Argilla 2.8.0. Labels are suggestions: a response belongs to a user of the
server, and whoever reviews there has not said anything yet.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pgkd.export.card import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgkd.integrations.datasets.rows import FinalData, FinalRow
    from pgkd.runs.folder import RunFolder

_GUIDELINES = (
    "Does the text belong to the class that is suggested? Of a text whose source is 'row' the "
    "class is from the labelled rows; else a language model has written the text, or given the "
    "label."
)
_METADATA = {
    "split": "terms",
    "source": "terms",
    "decision": "terms",
    "doubted": "terms",
    "round": "integer",
    "weight": "float",
}
_NAME = re.compile(r"[^a-zA-Z0-9_ -]+")
_LONGEST_NAME = 200  # characters; a server refuses more, as of the next
_LONGEST_GUIDELINES = 10_000
_LEAST_VISIBLE = 3  # options that Argilla may hide the others behind


def argilla_files(run: RunFolder, data: FinalData) -> dict[str, str]:
    """Names and contents of the folder's files."""
    name = _NAME.sub("-", run.path.resolve().name).strip("-_ ")[:_LONGEST_NAME] or "pgkd"
    teacher = ", ".join(data.teachers)
    dataset = {"name": name, "status": "draft", "allow_extra_metadata": False}
    records = [
        _record(row, split, teacher)
        for split, rows in (("train", data.train), ("validation", data.validation))
        for row in rows
    ]
    return {
        ".argilla/dataset.json": _json({**dataset, "guidelines": _guidelines(data)}),
        ".argilla/settings.json": _json(_settings(data)),
        "records.json": _json(records),
    }


def _guidelines(data: FinalData) -> str:
    """What to do, and what the classes mean, as far as a server takes it."""
    described = [
        f"- {plain(c.name)}: {plain(c.description)}" for c in data.taxonomy if c.description
    ]
    return "\n".join((_GUIDELINES, "", *described)).strip()[:_LONGEST_GUIDELINES]


def _settings(data: FinalData) -> dict[str, Any]:
    """One text, one question."""
    options = [{"value": c.name, "text": c.readable} for c in data.taxonomy]
    question = {
        "name": "label",
        "title": "Class",
        "description": None,
        "required": True,
        "settings": {
            "type": "label_selection",
            "options": options,
            "visible_options": len(options) if len(options) >= _LEAST_VISIBLE else None,
        },
    }
    field = {
        "name": "text",
        "title": "Text",
        "required": True,
        "settings": {"type": "text", "use_markdown": False},  # it is untrusted
    }
    return {
        "guidelines": _guidelines(data),
        "questions": [question],
        "fields": [field],
        "vectors": [],
        "metadata": list(_metadata()),
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _metadata() -> Iterator[Mapping[str, Any]]:
    for name, kind in _METADATA.items():
        yield {
            "name": name,
            "title": name.capitalize(),
            "type": kind,
            "visible_for_annotators": True,
            "settings": {"type": kind, "visible_for_annotators": True},
        }


def _record(row: FinalRow, split: str, teacher: str) -> dict[str, Any]:
    told = {
        "split": split,
        "source": row.source,
        "decision": row.decision,
        "doubted": "yes" if row.doubted else "no",
        "round": row.round,
        "weight": row.weight,
    }
    whose = "labelled rows" if row.source == "row" else f"teacher {teacher}".strip()
    agent = "a reviewer" if row.decision else whose
    return {
        "id": row.id,
        "fields": {"text": row.text},
        "metadata": {name: value for name, value in told.items() if value is not None},
        "suggestions": {"label": {"value": row.label, "score": row.confidence, "agent": agent}},
        "responses": {},
        "vectors": {},
        "_server_id": None,
    }


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
