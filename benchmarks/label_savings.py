"""How many labels guidance saves: from curves of accuracy by number of labels to a table.

For every number N of random labels it tells the least number of guided ones from which the mean
accuracy over the seeds is at least that of N random ones.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOLD = (160, 320, 480, 640)  # numbers of random labels in the table
_SAME = 1e-9


def savings(curves: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Per data set and teacher: both mean curves, and the guided labels that random ones are worth.

    Both curves are means over the same seeds. Between two rounds accuracy is taken to be straight.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for one in curves:
        groups[one["data"], one["teacher"]][one["arm"]][one["seed"]] = one
    for (data, teacher), arms in groups.items():
        seeds = sorted(arms["random"].keys() & arms["guided"].keys())
        if not seeds:
            continue
        labels = arms["random"][seeds[0]]["labels"]
        told: dict[str, Any] = {"data": data, "teacher": teacher, "seeds": len(seeds)}
        told["labels"] = labels
        for arm in ("random", "guided"):
            for measure in ("accuracy", "macro_f1"):
                values = [arms[arm][seed][measure] for seed in seeds]
                told[f"{arm} {measure}"] = [round(mean(v), 4) for v in zip(*values, strict=True)]
                if len(seeds) > 1:
                    spread = [round(stdev(v), 4) for v in zip(*values, strict=True)]
                    told[f"{arm} {measure} spread"] = spread
        for measure in ("accuracy", "macro_f1"):
            told[f"guided labels for {measure}"] = [
                needed(labels, told[f"guided {measure}"], goal)
                for goal in told[f"random {measure}"]
            ]
        yield told


def needed(labels: Sequence[int], values: Sequence[float], goal: float) -> float | None:
    """The least number of labels at which a curve reaches a goal; None where it never does."""
    for i, value in enumerate(values):
        if value >= goal - _SAME:
            if i == 0:
                return float(labels[0])
            share = (goal - values[i - 1]) / (value - values[i - 1])
            return round(labels[i - 1] + share * (labels[i] - labels[i - 1]), 1)
    return None


def table(curves: Sequence[dict[str, Any]]) -> str:
    """Accuracy at some numbers of labels, and the labels that guidance needs, as Markdown."""
    lines = [
        "| data | labels | random | guided | guided labels for random's accuracy | share |",
        "|---|---|---|---|---|---|",
    ]
    for told in savings(curves):
        for n in TOLD:
            if n not in told["labels"]:
                continue
            i = told["labels"].index(n)
            need = told["guided labels for accuracy"][i]
            share = "–" if need is None else f"{need / n:.2f}"
            cells = [
                f"{told['data']}, {told['teacher']}", str(n),
                *(spread(told, arm, i) for arm in ("random", "guided")),
                "more than all" if need is None else f"{need:.0f}", share,
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(told: dict[str, Any], arm: str, i: int) -> str:
    """Mean accuracy over seeds, and its sample standard deviation."""
    around = told.get(f"{arm} accuracy spread")
    return f"{told[f'{arm} accuracy'][i]:.3f}" + (f" ± {around[i]:.3f}" if around else "")
