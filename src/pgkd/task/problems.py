"""What is wrong with the rows: collected as it is found, told all at once."""

from __future__ import annotations

from collections import defaultdict

from pgkd.errors import DataError

_TOLD = 20  # rows of one kind of problem that are told one by one; the rest are counted


class Problems:
    """Collects sentences by kind; the kinds come out in the order of their first problem."""

    def __init__(self) -> None:
        self._by_kind: defaultdict[str, list[str]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def add(self, kind: str, sentence: str) -> None:
        """Note one problem; `kind` names what it is, in the plural."""
        self._by_kind[kind].append(sentence)

    def count(self, kind: str) -> int:
        """How many of one kind were noted."""
        return len(self._by_kind.get(kind, ()))

    def sentences(self) -> tuple[str, ...]:
        """All problems, each kind cut to its first twenty and a count of the others."""
        told = []
        for kind, sentences in self._by_kind.items():
            told += sentences[:_TOLD]
            if len(sentences) > _TOLD:
                told.append(f"and {len(sentences) - _TOLD} more {kind}")
        return tuple(told)

    def raise_if_any(self, message: str) -> None:
        """Tell everything.

        Raises:
            DataError: there is at least one problem.
        """
        if self:
            raise DataError(message, self.sentences())
