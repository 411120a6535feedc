"""Changes of arms against one of them, paired by data set and seed, and on how many sets."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    Line = dict[str, Any]


class Change(NamedTuple):
    """What an arm changes.

    Attributes:
        mean: over sets and seeds.
        spread: sample standard deviation over the seeds of the mean over the sets.
        won: sets on which the mean over the seeds is above the spread over the seeds.
        lost: those on which it is as far below.
    """

    mean: float
    spread: float
    won: int
    lost: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ± {self.spread:.3f} ({self.won}:{self.lost})"


def change(lines: Sequence[Line], measure: str, arm: str, base: str) -> Change:
    """What `arm` changes against `base`; lines have the keys data, seed, arm and the measure."""
    found = {(line["data"], line["seed"], line["arm"]): line[measure] for line in lines}
    of_set: dict[str, list[float]] = {}
    of_seed: dict[int, list[float]] = {}
    for data, seed in dict.fromkeys((line["data"], line["seed"]) for line in lines):
        moved = found[data, seed, arm] - found[data, seed, base]
        of_set.setdefault(data, []).append(moved)
        of_seed.setdefault(seed, []).append(moved)
    ranges = [(statistics.fmean(values), spread(values)) for values in of_set.values()]
    return Change(
        statistics.fmean(mean for mean, _ in ranges),
        spread([statistics.fmean(values) for values in of_seed.values()]),
        sum(mean > width for mean, width in ranges),
        sum(-mean > width for mean, width in ranges),
    )


def spread(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def table(
    lines: Sequence[Line], groups: Sequence[str], arms: Sequence[str], base: str, measure: str
) -> str:
    """A Markdown table: a row for each combination of the groups, a column for each arm."""
    others = [arm for arm in arms if arm != base]
    head = [*groups, f"{base}, {measure}", *others]
    rows = [head, ["---"] * len(head)]
    for key in dict.fromkeys(tuple(line[name] for name in groups) for line in lines):
        chosen = [line for line in lines if tuple(line[name] for name in groups) == key]
        mean = statistics.fmean(line[measure] for line in chosen if line["arm"] == base)
        told = [str(change(chosen, measure, arm, base)) for arm in others]
        rows.append([*map(str, key), f"{mean:.3f}", *told])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
