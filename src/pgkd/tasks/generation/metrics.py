"""Comparing an output with the expected one, and what is wrong with it.

A metric names the parts of an output that it can tell apart, such as the fields of a JSON object.
They are the cells in which mistakes are counted and new rows are asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from pgkd.data.json_fields import dump, read_fields
from pgkd.data.queries import run_query
from pgkd.errors import ConfigError
from pgkd.tasks.generation.config import MetricConfig
from pgkd.text import chrf, text_key

WHOLE = "output"
"""The part of an output that has no others."""
_FIGURES = {"sqlite": "execution_accuracy", "regex": "match_rate", "chrf": "chrf",
            "python": "score"}  # fmt: skip
_CACHED = 50_000  # scores: intervals ask for each a thousand times
_CLAUSES = re.compile(
    r"\b(where|join|group by|having|order by|limit|distinct|union|intersect|except|"
    r"not in|count|sum|avg|min|max)\b|\(\s*(?:select)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class OutputScore:
    """How good an output is.

    Attributes:
        value: from 0 to 1.
        reason: what kind of fault it has; empty where it has none.
        wrong: the parts at fault.
        fields: JSON fields that are right, of the output, and expected.
    """

    value: float
    reason: str = ""
    wrong: tuple[str, ...] = ()
    fields: tuple[int, int, int] = (0, 0, 0)


class OutputMetric:
    """Scores outputs as the settings say."""

    def __init__(self, config: MetricConfig) -> None:
        self.config = config
        compare: Callable[[str, str, str], OutputScore] = getattr(self, f"_{config.kind}")
        self.score = lru_cache(_CACHED)(compare)
        """Scores an output by an input, the expected output, and the output. Raises `ConfigError`
        where the user's function fails."""

    def parts(self, output: str) -> tuple[str, ...]:
        """The parts of an expected output: JSON fields as paths, SQL clauses, named groups."""
        found: Iterable[str] = ()
        if self.config.kind == "json":
            with suppress(ValueError):
                found = read_fields(output)
        elif self.config.kind == "sqlite":
            clauses = _CLAUSES.findall(" ".join(output.split()))
            found = [clause.casefold() or "nested select" for clause in clauses]
        elif self.config.kind == "regex":
            found = [name for name, value in (self._groups(output) or {}).items() if value]
        return tuple(dict.fromkeys(found)) or ("select" if self.config.kind == "sqlite" else WHOLE,)

    def check(self, text: str, output: str) -> None:
        """Refuse an expected output that cannot be right: no JSON, no query that runs, no match.

        Raises:
            ValueError: says why.
        """
        if (found := self.score(text, output, output)).value <= 0:
            raise ValueError(found.reason or "the output scores 0 against itself")

    def figures(self, scores: Sequence[OutputScore]) -> dict[str, float]:
        """Figures of n outputs by name, the most important first; NaN where n is 0."""
        name = _FIGURES.get(self.config.kind, "exact_match")
        found = {name: sum(s.value for s in scores) / len(scores) if scores else math.nan}
        if self.config.kind == "json":
            hits, given, expected = (sum(score.fields[i] for score in scores) for i in range(3))
            found["field_f1"] = 2 * hits / max(1, given + expected)
        return found

    def _exact(self, text: str, expected: str, output: str) -> OutputScore:
        """The same text; case, spaces and what cannot be seen make no difference."""
        if text_key(expected) == text_key(output):
            return OutputScore(1.0)
        return OutputScore(0.0, "other text" if output.strip() else "empty", (WHOLE,))

    def _json(self, text: str, expected: str, output: str) -> OutputScore:
        """Equal objects, whatever the order of their fields."""
        try:
            right, given = read_fields(expected), read_fields(output)
        except ValueError:
            known = self.parts(expected) if output != expected else ()
            return OutputScore(0.0, "invalid JSON", known, (0, 0, len(known)))
        missing = [name for name in right if name not in given]
        extra = [name for name in given if name not in right]
        other = [n for n in right if n in given and dump(right[n]) != dump(given[n])]
        counts = (len(right) - len(missing) - len(other), len(given), len(right))
        if not (wrong := (*missing, *other, *extra)):
            return OutputScore(1.0, fields=counts)
        reason = "wrong value" if other else "missing field" if missing else "extra field"
        return OutputScore(0.0, reason, wrong, counts)

    def _sqlite(self, text: str, expected: str, output: str) -> OutputScore:
        """The same rows; their order counts where the expected query has an ORDER BY."""
        parts = self.parts(expected)
        try:
            given = self._rows(output)
        except ValueError as error:
            return OutputScore(0.0, str(error), parts)
        right = given if output == expected else self._rows(expected)
        if "order by" not in parts:
            right, given = sorted(right), sorted(given)
        if right == given:
            return OutputScore(1.0)
        other = tuple(sorted(set(parts) ^ set(self.parts(output))))
        return OutputScore(0.0, "other clauses" if other else "other rows", other or parts)

    def _rows(self, query: str) -> list[str]:
        path, limits = Path(str(self.config.database)), self.config
        return run_query(path, query, seconds=limits.seconds, rows=limits.rows)

    def _regex(self, text: str, expected: str, output: str) -> OutputScore:
        """The whole output matches, and its named groups are those of the expected output."""
        given, right = self._groups(output), self._groups(expected) or {}
        if given is None:
            return OutputScore(0.0, "no match", self.parts(expected))
        wrong = tuple(name for name in given if given[name] != right.get(name))
        return OutputScore(0.0, "other group", wrong) if wrong else OutputScore(1.0)

    def _groups(self, output: str) -> dict[str, str | None] | None:
        found = self.config.pattern and self.config.pattern.fullmatch(output)
        return found.groupdict() if found else None

    def _chrf(self, text: str, expected: str, output: str) -> OutputScore:
        """Similar characters; see `pgkd.text.chrf`."""
        value = chrf(expected, output)
        return OutputScore(1.0) if value > 1 - 1e-9 else OutputScore(value, "other text", (WHOLE,))

    def _python(self, text: str, expected: str, output: str) -> OutputScore:
        """A function of the user's own, imported when the first output is scored."""
        module, _, name = str(self.config.function).partition(":")
        try:
            found = getattr(import_module(module), name)(text, expected, output)
            value, reason = found if isinstance(found, tuple) else (found, "other text")
            value = float(value)
        except Exception as error:
            raise ConfigError(f"metric.function {self.config.function} failed: {error}") from error
        if not 0 <= value <= 1:
            raise ConfigError(f"metric.function {self.config.function} gave {value}, not 0 to 1.")
        return OutputScore(value, str(reason), (WHOLE,)) if value < 1 else OutputScore(1.0)
