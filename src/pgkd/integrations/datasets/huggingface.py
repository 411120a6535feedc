"""A folder that `datasets.load_dataset` reads, and the Hugging Face hub shows.

::

    DIR/
      README.md              the data card; its head tells `datasets` the splits and the columns
      data/train.jsonl       a row a line
      data/validation.jsonl

Labels are names in the files, so that people and `pgkd distill --train` can read them; `datasets`
turns them into numbers of a ClassLabel. There is no CSV: a text that begins with ``=`` is a text in
JSON, and a formula in a spreadsheet.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from pgkd.errors import RunError
from pgkd.export.card import plain
from pgkd.integrations.datasets.rows import FinalData
from pgkd.integrations.tracking import basename
from pgkd.runs.folder import RunFolder
from pgkd.usage.ledger import known_usd, summed

_SIZES = {"n<1K": 1_000, "1K<n<10K": 10_000, "10K<n<100K": 100_000, "100K<n<1M": 10**6}
_LARGEST = "1M<n<10M"
_COLUMNS = {
    "text": "string",
    "label": "classes",
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
_MEANINGS = {
    "row": "labelled rows of the user",
    "synthetic": "written by the teacher",
    "labelled": "texts of the user that the teacher labelled",
}


def huggingface_files(run: RunFolder, data: FinalData) -> dict[str, str]:
    """Names and contents of the folder's files."""
    splits = {"train": data.train, "validation": data.validation}
    paths = {split: f"data/{split}.jsonl" for split, rows in splits.items() if rows}
    lines = {
        path: "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in splits[split])
        for split, path in paths.items()
    }
    return {**lines, "README.md": _card(run, data, paths)}


def _card(run: RunFolder, data: FinalData, paths: dict[str, str]) -> str:
    """The data card: what others should know of the data.

    Names of classes and models are the user's or a teacher's, so they are escaped: a card is
    rendered where it is published. The rows themselves are in other files.
    """
    name, n = run.path.resolve().name, len(data.train) + len(data.validation)
    counts: Counter[str] = Counter(row.source for row in data.train)
    data_files = [{"split": split, "path": path} for split, path in paths.items()]
    head = {
        "pretty_name": name,
        "license": "unknown",
        "task_categories": ["text-classification"],
        "size_categories": [next((size for size, most in _SIZES.items() if n < most), _LARGEST)],
        "tags": ["pgkd", "synthetic"] if counts["synthetic"] else ["pgkd"],
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": list(_features(data.taxonomy.names))},
    }
    with run.ledger_to_read() as ledger:
        calls = list(ledger.calls())
    models = dict.fromkeys(call.reply.model for call in calls if call.reply and call.reply.model)
    sums = summed(calls)
    tried = list(run.events("label names tried"))
    # Markdown, in which `plain` escapes what is untrusted.
    pages = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    pages.filters["plain"] = plain
    template = (files("pgkd.integrations.datasets") / "card.md.j2").read_text(encoding="utf-8")
    return pages.from_string(template).render(
        head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        name=name,
        version=_version(run),
        data=data,
        counts=counts,
        meanings=_MEANINGS,
        sources=[source for source in _MEANINGS if counts[source]],
        train=Counter((row.label, row.source) for row in data.train),
        validation=Counter(row.label for row in data.validation),
        later=sum(row.round is not None and row.round > data.best for row in data.train),
        doubted=sum(row.doubted for row in data.train),
        mode=str((run.settings().get("guidance") or {}).get("mode", "targeted")),
        calls=sums,
        models=[basename(model) for model in models],
        usd=known_usd(sums),
        label_names=bool(tried) and bool(tried[-1].get("used")),
    )


def _version(run: RunFolder) -> str:
    """The version of pgkd that made the run."""
    try:
        return str(run.read_json("environment.json").get("pgkd") or "")
    except RunError:
        return ""


def _features(classes: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The columns as `datasets` has them in a card."""
    names = {str(i): name for i, name in enumerate(classes)}
    for column, kind in _COLUMNS.items():
        if kind == "classes":
            yield {"name": column, "dtype": {"class_label": {"names": names}}}
        elif kind == "strings":
            yield {"name": column, "sequence": "string"}
        else:
            yield {"name": column, "dtype": kind}
