"""A folder that `datasets.load_dataset` reads, and the Hugging Face hub shows.

::

    DIR/
      README.md              the data card; its head tells `datasets` the splits and the columns
      data/train.jsonl       a row a line
      data/validation.jsonl

Labels stand in the files as names, so that people and `pgkd distill --train` can read them;
`datasets` makes numbers of a ClassLabel of them. There is no CSV: a text that begins with ``=`` is
a text in JSON, and a formula to a spreadsheet.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgkd.integrations.datasets.card import card_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgkd.integrations.datasets.rows import FinalData, FinalRow
    from pgkd.runs.folder import RunFolder

_SPLITS = {"train": "data/train.jsonl", "validation": "data/validation.jsonl"}
_COLUMNS: dict[str, str | None] = {
    "text": "string",
    "label": None,  # the classes
    "id": "string",
    "source": "string",
    "round": "int64",
    "request": "string",
    "weight": "float64",
    "parents": "strings",
    "why": "strings",
    "confidence": "float64",
    "decision": "string",
    "doubted": "bool",
}


def huggingface_files(run: RunFolder, data: FinalData) -> dict[str, str]:
    """Names and contents of the folder's files."""
    rows = {"train": data.train, "validation": data.validation}
    filled = {split: path for split, path in _SPLITS.items() if rows[split]}
    head = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": path} for split, path in filled.items()],
            }
        ],
        "dataset_info": {"features": list(_features(data.taxonomy.names))},
    }
    lines = {path: _lines(rows[split]) for split, path in filled.items()}
    return {**lines, "README.md": card_of(run, data).markdown(head)}


def _lines(rows: Iterable[FinalRow]) -> str:
    return "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows)


def _features(classes: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The columns as `datasets` has them in a card."""
    names = {str(i): name for i, name in enumerate(classes)}
    for column, kind in _COLUMNS.items():
        if kind is None:
            yield {"name": column, "dtype": {"class_label": {"names": names}}}
        elif kind == "strings":
            yield {"name": column, "sequence": "string"}
        else:
            yield {"name": column, "dtype": kind}
