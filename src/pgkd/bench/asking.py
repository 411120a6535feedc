"""Ways to ask that no setting of a run describes: those that PGKD is compared with."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.guidance import Ask, Writing
from pgkd.guidance.allocation import allocate, portions
from pgkd.guidance.asking import shorten
from pgkd.teacher.prompts import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgkd.guidance.base import Assessment
    from pgkd.guidance.mining import MinedRow
    from pgkd.task import Example, Taxonomy
    from pgkd.teacher import Request

ATTRIBUTES = {
    "length": ("a few words", "one sentence", "two sentences", "several sentences"),
    "tone": ("matter-of-fact", "friendly", "annoyed", "worried", "ironic"),
    "style": ("formal", "everyday", "terse, without full sentences", "chatty"),
    "spelling": ("correct", "all in lower case", "with a typo", "with abbreviations"),
}
"""Dimensions of a text and their values, the same for every class (AttrPrompt has a teacher propose
them, and topics of every class besides)."""


class OneGoAsking:
    """All texts in one go, spread evenly over the classes, and nothing shown but a class's name.

    After ZeroGen (Ye et al., EMNLP 2022) and, with attributes drawn for every text, AttrPrompt (Yu
    et al., NeurIPS 2023).

    Args:
        taxonomy: the classes.
        writing: how texts are asked for.
        samples: texts in all.
        per_request: most texts of one request.
        attributes: whether every text is asked for with attributes of its own.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        writing: Writing,
        *,
        samples: int,
        per_request: int,
        attributes: bool,
    ) -> None:
        self._taxonomy = taxonomy
        self._writing = writing
        self._samples = samples
        self._per_request = per_request
        self._attributes = attributes
        self._rng = np.random.default_rng(writing.seed)

    def ask(
        self, number: int, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Ask, ...]:
        """The requests of the only round."""
        order = self._rng.permutation(len(self._taxonomy))
        even = {self._taxonomy.names[i]: 1.0 for i in order}
        cut = portions(allocate(even, {}, self._samples).items(), self._per_request)
        return tuple(
            self._request(f"r{number}-{i:04d}", label, count)
            for i, (label, count) in enumerate(cut, start=1)
        )

    def _request(self, number: str, label: str, count: int) -> Ask:
        user = render(
            "one_go_user", package="pgkd.bench", name=self._taxonomy[label].readable, count=count,
            attributes=self._drawn(count),
        )  # fmt: skip
        prompt = ("one_go_system", user)
        return _ask(self._writing, number, prompt, (label,), count, ("even",))

    def _drawn(self, count: int) -> list[str]:
        """The attributes of so many texts, each text's on a line; no two the same."""
        if not self._attributes:
            return []
        every = list(product(*ATTRIBUTES.values()))
        drawn = self._rng.choice(len(every), size=count, replace=False)
        return [
            "; ".join(f"{name}: {value}" for name, value in zip(ATTRIBUTES, every[i], strict=True))
            for i in drawn
        ]


class EvoAsking:
    """A few rows that the student gets right and wrong; no taxonomy, no report.

    After EvoKD (Liu et al., 2024). The answer may only have classes that a shown row has: it knows
    of no others.

    Args:
        writing: how texts are asked for.
        samples: texts of a round.
        shown: right and wrong rows in the prompt, each so many.
    """

    def __init__(self, writing: Writing, *, samples: int, shown: int) -> None:
        self._writing = writing
        self._samples = samples
        self._n_shown = shown
        self._rng = np.random.default_rng(writing.seed)

    def ask(
        self, number: int, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Ask, ...]:
        """The one request of a round."""
        right = self._draw(assessment.mined.correct)
        wrong = self._draw(assessment.mined.mistakes)
        shown = [row.example for row in (*right, *wrong)]
        user = render(
            "evokd_user", package="pgkd.bench", right=[_told(row) for row in right],
            wrong=[_told(row) for row in wrong], count=self._samples,
        )  # fmt: skip
        labels = tuple(sorted({row.label for row in shown}))
        if not labels:
            return ()
        reasons = ("evokd: the teacher chooses what to write",)
        prompt = ("evokd_system", user)
        ask = _ask(self._writing, f"r{number}-0001", prompt, labels, self._samples, reasons)
        return (replace(ask, shown=tuple(shown)),)

    def _draw(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        drawn = self._rng.choice(len(rows), size=min(self._n_shown, len(rows)), replace=False)
        return [rows[i] for i in sorted(drawn)]


class CountsAsking:
    """As many texts of every class, round by round, as another run has kept.

    Args:
        writing: how texts are asked for.
        counts: texts of every class, by round.
    """

    def __init__(self, writing: Writing, counts: Mapping[int, Mapping[str, int]]) -> None:
        self._writing = writing
        self._counts = counts

    def ask(
        self, number: int, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Ask, ...]:
        """One request a class; what curation has dropped so far is asked for again."""
        missing: Counter[str] = Counter()
        for round_, of_class in self._counts.items():
            missing.update(of_class if round_ <= number else {})
        missing.subtract(text.label for text in written)
        counts = sorted((+missing).items())
        reasons = ("as many as another run has kept",)
        return tuple(
            _ask(
                self._writing,
                f"r{number}-{i:04d}",
                ("rows_system", f'Rows of "{label}".'),
                (label,),
                count,
                reasons,
            )
            for i, (label, count) in enumerate(counts, start=1)
        )


def label_ask(writing: Writing, number: int, rows: Sequence[Example], labels: Sequence[str]) -> Ask:
    """Ask for the classes of these texts, as samples that train like any other."""
    texts = [row.text for row in rows]
    user = render("rows_user", package="pgkd.bench", texts=[shorten(text) for text in texts])
    ask = _ask(
        writing, f"r{number}-0001", ("rows_system", user), tuple(labels), len(rows), ("of a pool",)
    )
    return replace(ask, request=_only_these(ask.request, texts))


def kept_counts(kept: Sequence[Example]) -> dict[int, Counter[str]]:
    """How many texts of every class a run has kept, by round."""
    counts: dict[int, Counter[str]] = {}
    for text in kept:
        if text.origin is not None:
            counts.setdefault(text.origin.round, Counter())[text.label] += 1
    return counts


def _ask(
    writing: Writing,
    number: str,
    prompt: tuple[str, str],
    labels: tuple[str, ...],
    count: int,
    reasons: tuple[str, ...],
) -> Ask:
    """A request with a system prompt, by its template's name, and what the user says."""
    system = render(prompt[0], package="pgkd.bench")
    request = writing.request(number, system, prompt[1], labels, count)
    return Ask(number, request, labels, count, (), reasons)


def _only_these(request: Request, texts: Sequence[str]) -> Request:
    """A request whose samples can only be these texts."""
    schema: dict[str, Any] = deepcopy(request.schema or {})
    item = schema["properties"]["samples"]["items"]
    item["properties"]["text"] = {"type": "string", "enum": list(texts)}
    return replace(request, schema=schema)


def _told(row: MinedRow) -> tuple[str, str, str]:
    return shorten(row.example.text), row.example.label, row.predicted
