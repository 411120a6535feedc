"""The targeted way to ask: small requests, each for one class or one side of a confused pair."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from pgkd.guidance.allocation import Need, Quota, allocate, spread_evenly
from pgkd.guidance.asking import Ask, shorten
from pgkd.guidance.mining import Mined
from pgkd.guidance.relatedness import related_classes
from pgkd.teacher.prompts import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.guidance.asking import Writing
    from pgkd.guidance.base import Assessment
    from pgkd.guidance.mining import ConfusedPair
    from pgkd.task import Example, Taxonomy

_NEIGHBOURS = 3  # similar classes named in a request without a rival
_EARLIER = 6  # of the teacher's own texts whose openings a request shows
_OPENING = 4  # words of an opening
_THEIRS = 3  # real rows of the rival
_MISTAKEN = 3  # rows that were taken for the rival
_RELATED = 5  # classes of which a request shows a real row, where its own class has none


class TargetedAsking:
    """pgkd allocates the round's budget; the teacher sees what each request needs, and no more.

    Args:
        taxonomy: the classes.
        real: training rows of the user.
        folds: shape (n_real,), the fold of each row. The rows of one prompt come from as few
            folds as can be: then few of a class's texts are hidden with a fold that is held out,
            and cross-validation can judge the rest.
        writing: how texts are asked for.
        describe: what the texts of the task are, by the user or the teacher; called for every
            prompt, and first when the teacher is about to be asked for texts.
        allocation: ``"guided"`` looks at what the student gets wrong; ``"even"`` does not, neither
            for the quotas nor in the prompts.
        samples: texts of a round.
        rounds: rounds planned, which with `samples` sets the floor.
        floor_share: share of the budget that builds the even floor.
        per_request: most texts of one request.
        shown_examples: real rows of the class that a request shows, where there are so many.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        real: Sequence[Example],
        folds: NDArray[np.int64],
        writing: Writing,
        *,
        describe: Callable[[], str],
        allocation: Literal["guided", "even"] = "guided",
        samples: int,
        rounds: int,
        floor_share: float,
        per_request: int,
        shown_examples: int,
    ) -> None:
        self._taxonomy = taxonomy
        self._writing = writing
        self._describe = describe
        self._allocation = allocation
        self._samples = samples
        self._planned = samples * rounds
        self._floor_share = floor_share
        self._per_request = per_request
        self._shown_examples = shown_examples
        self._rows_of: dict[str, list[Example]] = {name: [] for name in taxonomy.names}
        for row in real:
            self._rows_of[row.label].append(row)
        self._fold_of = {row.id: int(fold) for row, fold in zip(real, folds, strict=True)}
        self._n_folds = int(folds.max()) + 1
        self._shown: Counter[str] = Counter()
        self._asked_pairs: Counter[tuple[str, str]] = Counter()
        self._related = related_classes(taxonomy)

    def ask(
        self, number: int, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Ask, ...]:
        """The requests of a round."""
        if self._allocation == "even":
            assessment = replace(assessment, mined=Mined((), (), (), ()))
            quotas = self._even_quotas(number)
        else:
            quotas = self._guided_quotas(assessment, written)
        pairs = {(pair.gold, pair.predicted): pair for pair in assessment.mined.pairs}
        suspects = {row.example.id for row in assessment.mined.suspects}
        return tuple(
            self._request(f"r{number}-{i:04d}", quota, assessment, pairs, suspects, written)
            for i, quota in enumerate(quotas, start=1)
        )

    def _even_quotas(self, number: int) -> tuple[Quota, ...]:
        order = np.random.default_rng(self._writing.seed).permutation(len(self._taxonomy))
        return spread_evenly(
            [self._taxonomy.names[i] for i in order],
            start=(number - 1) * self._samples,
            budget=self._samples,
            planned=self._planned,
            per_request=self._per_request,
        )

    def _guided_quotas(
        self, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Quota, ...]:
        quotas = allocate(
            self._needs(assessment, written),
            {(pair.gold, pair.predicted): len(pair.rows) for pair in assessment.mined.pairs},
            budget=self._samples,
            planned=self._planned,
            floor_share=self._floor_share,
            per_request=self._per_request,
            asked_pairs=self._asked_pairs,
        )
        for quota in quotas:
            if quota.rival:
                self._asked_pairs[quota.label, quota.rival] += quota.count
        return quotas

    def _needs(self, assessment: Assessment, written: Sequence[Example]) -> list[Need]:
        f1 = {c.name: c.f1 for c in assessment.out_of_fold.per_class if c.support}
        texts = Counter(text.label for text in written)
        return [
            Need(name, len(self._rows_of[name]), texts[name], f1.get(name))
            for name in self._taxonomy.names
        ]

    def _request(
        self,
        number: str,
        quota: Quota,
        assessment: Assessment,
        pairs: dict[tuple[str, str], ConfusedPair],
        suspects: set[str],
        written: Sequence[Example],
    ) -> Ask:
        pair = pairs.get((quota.label, quota.rival)) if quota.rival else None
        mistaken = [row.example for row in pair.rows[:_MISTAKEN]] if pair else []
        own = self._pick(self._rows_of[quota.label], self._shown_examples, suspects, mistaken)
        theirs = self._pick(self._rows_of[quota.rival], _THEIRS, suspects) if quota.rival else []
        related = [] if own else self._rows_of_related(quota.label, suspects)
        support = {c.name: c.support for c in assessment.out_of_fold.per_class}
        user = render(
            "targeted_user",
            target=self._taxonomy[quota.label],
            rival=self._taxonomy[quota.rival] if quota.rival else None,
            own=[shorten(row.text) for row in own],
            theirs=[shorten(row.text) for row in theirs],
            mistaken=[shorten(row.text) for row in mistaken],
            related=[(self._taxonomy[row.label].readable, shorten(row.text)) for row in related],
            mistakes=len(pair.rows) if pair else 0,
            judged=support.get(quota.label, 0),
            neighbours=self._neighbours(quota.label, assessment),
            openings=_openings(
                [text.text for text in written if text.label == quota.label and text.is_written]
            ),
            count=quota.count,
            length=self._writing.length,
        )
        system = render("targeted_system", instructions=self._describe())
        request = self._writing.request(number, system, user, (quota.label,), quota.count)
        # The numbered rows first: `doubtful` answers by these numbers.
        shown = {row.id: row for row in (*own, *theirs, *mistaken, *related)}
        return Ask(
            number, request, (quota.label,), quota.count, tuple(shown.values()), (quota.reason,)
        )

    def _pick(
        self,
        rows: Sequence[Example],
        n: int,
        suspects: set[str],
        apart: Sequence[Example] = (),
    ) -> list[Example]:
        """Rows to show: sound ones first, then those shown least often, of few folds.

        Rows in `apart` already stand elsewhere in the prompt: they come last, and set the fold.
        """
        if not rows:
            return []
        elsewhere = {row.id for row in apart}

        def worst(row: Example) -> tuple[bool, bool]:
            return row.id in suspects, row.id in elsewhere

        first = apart[0] if apart else min(rows, key=lambda r: (worst(r), self._shown[r.id]))
        fold = self._fold_of[first.id]

        def rank(row: Example) -> tuple[tuple[bool, bool], int, int]:
            return worst(row), (self._fold_of[row.id] - fold) % self._n_folds, self._shown[row.id]

        chosen = sorted(rows, key=rank)[:n]
        self._shown.update(row.id for row in chosen)
        return chosen

    def _rows_of_related(self, label: str, suspects: set[str]) -> list[Example]:
        """A real row of each of the nearest classes.

        They show what texts of the task look like, and what a text of a never-seen class is not.
        """
        chosen: list[Example] = []
        for name in self._related[label]:
            if len(chosen) < _RELATED:
                chosen += self._pick(self._rows_of[name], 1, suspects, chosen[:1])
        return chosen

    def _neighbours(self, label: str, assessment: Assessment) -> tuple[str, ...]:
        """The classes that this one is confused with most, in either direction."""
        counts: Counter[str] = Counter()
        for pair in assessment.mined.pairs:
            if pair.gold == label:
                counts[pair.predicted] += len(pair.rows)
            elif pair.predicted == label:
                counts[pair.gold] += len(pair.rows)
        most = counts.most_common(_NEIGHBOURS)
        return tuple(self._taxonomy[name].readable for name, _ in most)


def _openings(texts: Sequence[str]) -> list[str]:
    """How the last texts begin, each once.

    Not the whole texts: a small teacher that is shown what it wrote writes it again, word for word.
    """
    begun = (" ".join(text.split()[:_OPENING]) for text in texts[-_EARLIER:])
    return list(dict.fromkeys(begun))
