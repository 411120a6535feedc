"""What is wrong with the rows: collected as it is found, told all at once."""

from __future__ import annotations

from collections import Counter, defaultdict

from pgkd.errors import DataError

_TOLD = 20  # rows of one kind of problem that are told one by one; the rest are counted


class Problems:
    """Collects sentences by kind; the kinds come out in the order of their first problem.

    However many there are, it stays small: of each kind it keeps as many as are told.
    """

    def __init__(self) -> None:
        self._told: defaultdict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, kind: str, sentence: str, *, most: int = _TOLD) -> None:
        """Note one problem; `kind` names what it is, in the plural.

        Of a kind with one cause for all of a file, give as `most` how many need to be told.
        """
        self._counts[kind] += 1
        if self._counts[kind] <= most:
            self._told[kind].append(sentence)

    def add_error(self, kind: str, error: DataError) -> None:
        """Note what an error says, so that the search for other problems can go on."""
        message = str(error).split("\n  - ", 1)[0]
        for problem in error.problems:
            self.add(kind, f"{message} {problem}")
        if not error.problems:
            self.add(kind, message)

    def has(self, *kinds: str) -> bool:
        """Whether a problem of one of these kinds was noted."""
        return any(kind in self._counts for kind in kinds)

    def is_full(self, kind: str) -> bool:
        """Whether further problems of a kind will be counted and not told."""
        return self._counts[kind] >= _TOLD

    def sentences(self) -> tuple[str, ...]:
        """All problems, each kind cut to its first ones and a count of the others."""
        told = []
        for kind, sentences in self._told.items():
            told += sentences
            if more := self._counts[kind] - len(sentences):
                told.append(f"and {more} more {kind}")
        return tuple(told)

    def raise_if_any(self, message: str) -> None:
        """Tell everything.

        Raises:
            DataError: there is at least one problem.
        """
        if self:
            raise DataError(message, self.sentences())
