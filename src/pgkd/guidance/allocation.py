"""Who needs how many texts: pgkd divides a round's budget, the teacher only writes.

Left to itself a teacher covers some 60 of 77 classes; the same number of texts spread evenly
gained about twice as much. So the budget first lays an even floor over all classes, rarest first,
and spends the rest where the student is weak: on its most confused pairs, and on classes that are
rare, weak or never seen. Every quota carries its reason into the log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of texts to ask for, in one request.

    Attributes:
        label: class that the texts shall have.
        rival: class that the student takes them for, where a confused pair is the reason.
        count: how many texts, at least one.
        reason: why, for the log.
    """

    label: str
    rival: str | None
    count: int
    reason: str


@dataclass(frozen=True)
class Need:
    """What is known of one class when a round's budget is divided.

    Attributes:
        label: the class.
        real: training rows of the user.
        written: texts kept so far.
        f1: F1 of the class in the report, None where no row of it was judged.
    """

    label: str
    real: int
    written: int
    f1: float | None


def allocate(
    needs: Sequence[Need],
    confusions: Mapping[tuple[str, str], int],
    *,
    budget: int,
    planned: int,
    floor_share: float,
    per_request: int,
    asked_pairs: Mapping[tuple[str, str], int] | None = None,
) -> tuple[Quota, ...]:
    """Divide one round's budget into requests.

    Args:
        needs: every class of the task.
        confusions: mistakes by (gold, predicted).
        budget: texts of this round; exactly so many are handed out.
        planned: texts of the whole run, which sets the height of the floor.
        floor_share: share of the budget that builds the floor, until it stands.
        per_request: most texts of one request.
        asked_pairs: texts that were already asked for each confused pair, which then wait.
    """
    floor = max(1, int(floor_share * planned / len(needs)))
    quotas = _take(_floor(needs, floor, per_request), floor_share * budget, budget)
    rest = budget - _total(quotas)
    quotas += _take(_pairs(confusions, asked_pairs or {}, per_request), rest / 2, rest)
    # The weak classes take all that is left, in further turns if need be, so nothing is unspent.
    while (rest := budget - _total(quotas)) > 0:
        quotas += _take(_weak(needs, quotas, per_request), rest, rest)
    return tuple(quotas)


def spread_evenly(
    labels: Sequence[str], *, start: int, budget: int, planned: int, per_request: int
) -> tuple[Quota, ...]:
    """One round's share of texts that are spread over all classes alike, whatever the student does.

    The whole spread gives every class the same number of texts; where that does not come out even,
    the first ones get one more. It is laid out in turns, a request a class, and cut into rounds.

    Args:
        labels: every class of the task, in the order of their turns.
        start: texts that earlier rounds have asked for.
        budget: texts of this round.
        planned: texts of the whole run.
        per_request: most texts of one request.
    """
    each, more = divmod(planned, len(labels))
    left = {label: each + (i < more) for i, label in enumerate(labels)}
    reason = f"even: {each} of {planned} texts a class"
    quotas: list[Quota] = []
    behind, until = 0, start + budget
    while behind < until and any(left.values()):
        for label in labels:
            count = min(per_request, left[label])
            left[label] -= count
            ours = min(behind + count, until) - max(behind, start)
            behind += count
            if ours > 0:
                quotas.append(Quota(label, None, ours, reason))
    return tuple(quotas)


def _total(quotas: Sequence[Quota]) -> int:
    return sum(quota.count for quota in quotas)


def _take(quotas: Iterator[Quota], share: float, budget: int) -> list[Quota]:
    """The first quotas that make up a share; only the budget itself cuts the last one short."""
    taken: list[Quota] = []
    for quota in quotas:
        if (total := _total(taken)) >= share:
            break
        count = min(quota.count, budget - total)
        taken.append(Quota(quota.label, quota.rival, count, quota.reason))
    return taken


def _floor(needs: Sequence[Need], floor: int, per_request: int) -> Iterator[Quota]:
    """Classes under the floor, those with the fewest rows and texts first."""
    below = [need for need in needs if need.written < floor]
    for need in sorted(below, key=lambda n: (n.real + n.written, n.f1 or 0.0, n.label)):
        missing = floor - need.written
        reason = f"floor: {need.written} of {floor} texts, {need.real} real rows"
        yield Quota(need.label, None, min(missing, per_request), reason)


def _pairs(
    confusions: Mapping[tuple[str, str], int],
    asked: Mapping[tuple[str, str], int],
    per_request: int,
) -> Iterator[Quota]:
    """Confused pairs, those with the most mistakes for the texts already asked first."""

    def urgency(pair: tuple[str, str]) -> float:
        return confusions[pair] / (1 + asked.get(pair, 0) / per_request)

    for pair in sorted(confusions, key=lambda p: (-urgency(p), p)):
        gold, predicted = pair
        reason = f"confused: {confusions[pair]} rows of '{gold}' taken for '{predicted}'"
        yield Quota(gold, predicted, per_request, reason)


def _weak(needs: Sequence[Need], quotas: Sequence[Quota], per_request: int) -> Iterator[Quota]:
    """Weak, rare and never-seen classes; texts already given in this round count."""
    given: dict[str, int] = {}
    for quota in quotas:
        given[quota.label] = given.get(quota.label, 0) + quota.count

    def urgency(need: Need) -> float:
        error = 1.0 if need.f1 is None else 1.0 - need.f1
        texts = need.real + need.written + given.get(need.label, 0)
        return (error + 0.05) / math.sqrt(1 + texts)

    for need in sorted(needs, key=lambda n: (-urgency(n), n.label)):
        f1 = "not judged yet" if need.f1 is None else f"F1 {need.f1:.2f}"
        never = "never seen" if need.real == 0 else f"{need.real} real rows"
        yield Quota(need.label, None, per_request, f"weak: {f1}, {never}, {need.written} texts")
