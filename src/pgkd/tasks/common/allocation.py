"""Who gets how many examples: pgkd divides a round's budget, the teacher only writes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping


def error_rate(rows: int, mistakes: float) -> float:
    """Share of a class's rows that the student gets wrong, with one more row that it does.

    The added row makes a class without rows the weakest, and no class perfect.
    """
    return (mistakes + 1) / (rows + 1)


def allocate(errors: Mapping[str, float], asked: Mapping[str, int], budget: int) -> dict[str, int]:
    """Divide a round's budget over classes.

    Texts go one by one to the class that has been asked for least, against its error rate. Equal
    rates spread them evenly.

    Args:
        errors: error rate of every class, above 0.
        asked: texts asked for so far, by class.
        budget: texts of this round, all of which are handed out.

    Returns:
        Texts of each class that gets any, in the order of `errors`.
    """
    given = dict.fromkeys(errors, 0)
    queue = [
        ((asked.get(name, 0) + 1) / rate, i, name) for i, (name, rate) in enumerate(errors.items())
    ]
    heapq.heapify(queue)
    for _ in range(budget):
        _, i, name = queue[0]
        given[name] += 1
        count = asked.get(name, 0) + given[name]
        heapq.heapreplace(queue, ((count + 1) / errors[name], i, name))
    return {name: count for name, count in given.items() if count}


def portions(counts: Iterable[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Cut counts into portions of at most `most`, as even as can be."""
    cut = []
    for name, count in counts:
        parts = -(-count // most)
        cut += [(name, count // parts + (i < count % parts)) for i in range(parts)]
    return cut


def scheduled(budget: int, rounds: int, number: int) -> int:
    """Texts of one round, where the texts so far double from round to round.

    Args:
        budget: texts of all rounds.
        rounds: how many there are.
        number: of the round, from 1.
    """
    until = math.ceil(budget / 2 ** (rounds - number))
    before = math.ceil(budget / 2 ** (rounds - number + 1)) if number > 1 else 0
    return int(until - before)
