"""What is wrong with the rows: collected as it is found, told all at once."""

from __future__ import annotations

from collections import defaultdict

from pgkd.errors import DataError

_TOLD = 20  # rows of one kind of problem that are told one by one; the rest are counted


class Problems:
    """Collects sentences by kind; the kinds come out in the order of their first problem."""

    def __init__(self) -> None:
        self._by_kind: defaultdict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._by_kind.values()))

    def add(self, kind: str, sentence: str) -> None:
        """Note one problem; `kind` names what it is, in the plural."""
        self._by_kind[kind].append(sentence)

    def add_error(self, kind: str, error: DataError) -> None:
        """Note what an error says, so that the search for other problems can go on."""
        message = str(error).split("\n  - ", 1)[0]
        for problem in error.problems:
            self.add(kind, f"{message} {problem}")
        if not error.problems:
            self.add(kind, message)

    def has(self, *kinds: str) -> bool:
        """Whether a problem of one of these kinds was noted."""
        return any(kind in self._by_kind for kind in kinds)

    def is_full(self, kind: str) -> bool:
        """Whether further problems of a kind will be counted and not told."""
        return len(self._by_kind.get(kind, ())) >= _TOLD

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
