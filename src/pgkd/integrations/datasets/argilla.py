"""A folder that Argilla 2 reads: ``rg.Dataset.from_disk(DIR)``.

::

    DIR/
      .argilla/dataset.json    its name
      .argilla/settings.json   one text field, one question with the classes, metadata to filter by
      records.json             a record a text

The layout is that of Argilla 2.8.0. Labels are suggestions: a response belongs to a user of the
server, and no reviewer there has given one yet.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pgkd.export.card import plain
from pgkd.integrations.datasets.rows import FinalData, FinalRow
from pgkd.runs.folder import RunFolder

_GUIDELINES = (
    "Does the text belong to the suggested class? If its source is 'row', the class comes from the "
    "labelled rows; otherwise a language model wrote the text or assigned the label."
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
_NAME_LIMIT = 200  # characters; a server refuses more, also for guidelines
_GUIDELINES_LIMIT = 10_000
_LEAST_VISIBLE = 3  # options that Argilla may hide the others behind


def argilla_files(run: RunFolder, data: FinalData) -> dict[str, str]:
    """Names and contents of the folder's files."""
    name = _NAME.sub("-", run.path.resolve().name).strip("-_ ")[:_NAME_LIMIT] or "pgkd"
    described = [
        f"- {plain(c.name)}: {plain(c.description)}" for c in data.taxonomy if c.description
    ]
    guidelines = "\n".join((_GUIDELINES, "", *described)).strip()[:_GUIDELINES_LIMIT]
    dataset = {
        "name": name,
        "status": "draft",
        "allow_extra_metadata": False,
        "guidelines": guidelines,
    }
    teacher = ", ".join(data.teachers)
    splits = {"train": data.train, "validation": data.validation}
    contents = {
        ".argilla/dataset.json": dataset,
        ".argilla/settings.json": _settings(data, guidelines),
        "records.json": [
            _record(row, split, teacher) for split, rows in splits.items() for row in rows
        ],
    }
    return {
        path: json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        for path, content in contents.items()
    }


def _settings(data: FinalData, guidelines: str) -> dict[str, Any]:
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
    metadata = [
        {
            "name": name,
            "title": name.capitalize(),
            "type": kind,
            "visible_for_annotators": True,
            "settings": {"type": kind, "visible_for_annotators": True},
        }
        for name, kind in _METADATA.items()
    ]
    return {
        "guidelines": guidelines,
        "questions": [question],
        "fields": [field],
        "vectors": [],
        "metadata": metadata,
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _record(row: FinalRow, split: str, teacher: str) -> dict[str, Any]:
    metadata = {
        "split": split,
        "source": row.source,
        "decision": row.decision,
        "doubted": "yes" if row.doubted else "no",
        "round": row.round,
        "weight": row.weight,
    }
    agent = "labelled rows" if row.source == "row" else f"teacher {teacher}".strip()
    suggestion = {
        "value": row.label,
        "score": row.confidence,
        "agent": "a reviewer" if row.decision else agent,
    }
    return {
        "id": row.id,
        "fields": {"text": row.text},
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "suggestions": {"label": suggestion},
        "responses": {},
        "vectors": {},
        "_server_id": None,
    }
