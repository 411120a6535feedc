"""The data card: what somebody who was not there should know of the data.

Class and model names are the user's or a teacher's, so they are escaped: a card is rendered where
it is published. The rows themselves are in other files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pgkd.errors import RunError
from pgkd.export.card import plain
from pgkd.integrations.tracking import basename
from pgkd.usage.ledger import known_usd, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pgkd.integrations.datasets.rows import FinalData
    from pgkd.runs.folder import RunFolder

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_SOURCES = {
    "row": "labelled rows of the user",
    "written": "written by the teacher",
    "labelled": "texts of the user that the teacher labelled",
}
_COLUMNS = """\
| column | |
|---|---|
| `text`, `label` | the text and its class |
| `id` | in the run: `train:17` is a row of the file, `r2-0005-1` a text of request 5 in round 2 |
| `source` | `row`, `written` or `labelled`, as above |
| `round`, `request` | which round and request it comes from; null for rows |
| `weight` | in training; a row's is 1 |
| `parents` | ids of the rows that the teacher was shown: leave them on one side of a split |
| `why` | what the text was asked for |
| `confidence` | the teacher's in the label, where it told one |
| `decision` | of a person: `accept`, `relabel` or `edit`; what was rejected is not here |
| `doubted` | the label is doubted, by confident learning or by the teacher |
"""
_LICENCE = """\
None is given here: whoever publishes this folder has to. Two things to look at first.

- The rows are the user's, with whatever rights and personal data are in them.
- Texts and labels of a language model come under the terms of its provider or the licence of its
  weights. Some allow no training of models that compete with theirs, and some ask to be named.\
"""


@dataclass(frozen=True)
class DataCard:
    """What a card tells.

    Attributes:
        name: of the run.
        version: of pgkd.
        data: the rows.
        settings: of the run, as config.yaml has them.
        calls: of the run to the teacher, as `summed` tells them.
        models: that answered.
        class_list: whether the class list trained the student, too.
    """

    name: str
    version: str
    data: FinalData
    settings: Mapping[str, Any]
    calls: Mapping[str, Any]
    models: tuple[str, ...]
    class_list: bool

    def markdown(self, head: Mapping[str, Any]) -> str:
        """The card as README.md.

        Args:
            head: what else its YAML head says.
        """
        rows = len(self.data.train) + len(self.data.validation)
        tags = ["pgkd", *(["synthetic"] if self._counts()["written"] else [])]
        front = {
            "pretty_name": self.name,
            "license": "unknown",
            "task_categories": ["text-classification"],
            "size_categories": [next((name for n, name in _SIZES if rows < n), _LARGEST)],
            "tags": tags,
            **head,
        }
        parts = (
            f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
            f"# {plain(self.name)}",
            "Texts and their classes: what a classifier was trained on that pgkd distilled from a "
            "language model.",
            "## Rows",
            "\n".join(self._sizes()),
            self._classes(),
            "## How it was made",
            "\n\n".join(self._making()),
            "## Columns",
            _COLUMNS.rstrip(),
            "## Licence",
            _LICENCE,
            "## Limits",
            "\n".join(f"- {limit}" for limit in self._limits()),
        )
        return "\n\n".join(parts) + "\n"

    def _counts(self) -> Counter[str]:
        return Counter(row.source for row in self.data.train)

    def _sizes(self) -> Iterator[str]:
        counts = self._counts()
        yield f"- train: {len(self.data.train)}"
        for source, told in _SOURCES.items():
            if counts[source]:
                yield f"    - `{source}`, {told}: {counts[source]}"
        if self.data.validation:
            yield f"- validation: {len(self.data.validation)} labelled rows; none was trained on"
        else:
            n = counts["row"]
            yield f"- validation: none; the rounds were cross-validated on {n} labelled rows"

    def _classes(self) -> str:
        """A table of the classes, with how many rows of each source train them."""
        shown = [source for source in _SOURCES if self._counts()[source]]
        train: Counter[tuple[str, str]] = Counter(
            (row.label, row.source) for row in self.data.train
        )
        validation = Counter(row.label for row in self.data.validation)
        lines: list[Sequence[object]] = [
            ("class", "", *shown, "validation"),
            ("---", "---", *["---:"] * (len(shown) + 1)),
        ]
        for c in self.data.taxonomy:
            cells = [train[c.name, source] for source in shown]
            lines.append((plain(c.name), plain(c.description), *cells, validation[c.name]))
        return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

    def _making(self) -> Iterator[str]:
        best, left_out = self.data.best, self.data.left_out
        later = sum(row.round is not None and row.round > best for row in self.data.train)
        guidance = self.settings.get("guidance") or {}
        yield (
            f"By pgkd {self.version} (performance-guided knowledge distillation, Di Palo et al., "
            "EMNLP 2024): a student is trained, its mistakes are mined, a teacher writes or labels "
            "texts for them, and what is a duplicate, or near a validation row, is dropped. "
            f"Requests: {plain(str(guidance.get('mode', 'targeted')))}. The student of round "
            f"{best} was kept"
            + (f"; {left_out} texts of later rounds are left out" if left_out else "")
            + (f"; {later} texts of later rounds are among these." if later else ".")
        )
        yield self._teacher()
        if self.data.decisions:
            told = ", ".join(f"{n} {plain(kind)}" for kind, n in self.data.decisions.items())
            yield f"People looked at some of it and decided: {told}."
        if self.class_list:
            yield "The names and descriptions of the classes trained the student besides."

    def _teacher(self) -> str:
        calls = self.calls
        if not calls["calls"]:
            return "No teacher was asked."
        provider = plain(", ".join(self.data.teachers))
        models = ", ".join(plain(basename(model)) for model in self.models)
        usd = known_usd(dict(calls))
        return (
            f"Teacher: {provider}" + (f", {models}" if models else "") + f". {calls['calls']} "
            f"calls, {calls['input_tokens']} tokens in, {calls['output_tokens']} out, "
            + ("at an unknown price." if usd is None else f"{usd:.4f} US dollars.")
        )

    def _limits(self) -> Iterator[str]:
        counts = self._counts()
        if counts["written"]:
            yield (
                "A language model wrote part of it, with the biases of its own training: its "
                "people write more alike, and more politely, than people do."
            )
            yield (
                "That a text was written for a class does not make it one of that class. Nobody "
                "has checked those without a `decision`; hence their weight."
            )
        if counts["labelled"]:
            yield "Labels of the source `labelled` are a language model's guesses."
        yield (
            "Written texts go where a student was weak: how many there are of a class says nothing "
            "of how common it is."
        )
        judging = "validation" if self.data.validation else "cross-validated labelled"
        yield (
            f"The {judging} rows chose the round, so a model that is judged on them looks a little "
            "better than it is. Keep other rows for a test."
        )
        doubted = sum(row.doubted for row in self.data.train)
        if doubted:
            yield f"The labels of {doubted} rows are doubted."


def card_of(run: RunFolder, data: FinalData) -> DataCard:
    """The card of the data of a run."""
    with run.ledger_to_read() as ledger:
        calls = list(ledger.calls())
    models = dict.fromkeys(call.reply.model for call in calls if call.reply and call.reply.model)
    tried = list(run.events("class list tried"))
    return DataCard(
        name=run.path.resolve().name,
        version=_version(run),
        data=data,
        settings=run.settings(),
        calls=summed(calls),
        models=tuple(models),
        class_list=bool(tried) and bool(tried[-1].get("used")),
    )


def _version(run: RunFolder) -> str:
    """Of the pgkd that made the run."""
    try:
        return str(run.read_json("environment.json").get("pgkd") or "")
    except RunError:
        return ""
