"""The charts of a report. Each can be read without colour: by its markers, lines and hatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pgkd.apps.report.content import (
    CellChange,
    Confusions,
    Content,
    EvaluationSet,
    Money,
    RoundLine,
    Texts,
)
from pgkd.apps.report.gather import spread
from pgkd.apps.report.map import draw_map
from pgkd.apps.report.page import UNKNOWN, dollars, one_line
from pgkd.apps.report.svg import (
    AFTER,
    BEFORE,
    INK,
    MUTED,
    OTHER,
    PAPER,
    WORSE,
    Canvas,
    Figure,
    report_style,
    tall,
)
from pgkd.evaluation import ERRORS, titled

_CELLS = 40  # drawn one under the other; the table has them all
_NOT_QUALITY = ("weighted_f1", "log_loss", "ece")
_NAME = 26  # characters of a class name beside a chart
_PURPOSES = {
    "write": (AFTER, ""),
    "repair": (WORSE, "////"),
    "describe": (OTHER, "...."),
    "glossary": (OTHER, "...."),
    "label": (BEFORE, "xxxx"),
    "exam": (BEFORE, "++"),
}
"""Colour and hatch of each purpose of a call."""


def draw(content: Content) -> dict[str, Figure]:
    """Every chart that there are numbers for, by its key.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    with report_style():
        return {figure.key: figure for figure in _charts(content)}


def _charts(content: Content) -> Iterator[Figure]:
    if len(content.rounds) > 1:
        if "log_loss" in content.rounds[0].figures:
            yield _loss(content.rounds)
        yield _quality(content.rounds)
        yield _texts(content.rounds[1:])  # round 0 asks for none
        yield _costs(content.rounds, free=content.money.free)
    if content.cells:
        yield _cells(content.cells)
    if content.confusions.shrank or content.confusions.grew:
        yield _confusions(content.confusions)
    if content.bases and "reliability" in content.bases[0].after:
        yield from _reliability(content.bases[0])
    if any(_tokens(part) for part in content.money.parts):
        yield _purposes(content.money)
    if content.texts.reasons:
        yield _reasons(content.texts)
    if content.map is not None:
        yield draw_map(content.map)


def _rounds_axis(axes: Any, rounds: Sequence[RoundLine], label: str) -> list[int]:
    numbers = [line.number for line in rounds]
    axes.set_xticks(spread(numbers, 12))
    axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    return numbers


def _mark_best(axes: Any, rounds: Sequence[RoundLine]) -> RoundLine:
    best = max((line.number for line in rounds if line.keep), default=0)
    axes.axvline(best, color=MUTED, linewidth=1, linestyle=":", label="best student")
    return rounds[best]


def _widen(axes: Any, values: Sequence[float], *, least: float) -> None:
    """Give the axis a minimum range, so that noise does not look like a mountain."""
    low, high = min(values), max(values)
    margin = 0.08 * max(high - low, least)
    spare = max(0.0, least - (high - low)) / 2
    axes.set_ylim(max(0.0, low - spare - margin), high + spare + margin)


def _loss(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas()
    numbers = _rounds_axis(canvas.axes, rounds, "log loss (lower is better)")
    losses = [r.figures["log_loss"] for r in rounds]
    canvas.axes.plot(numbers, losses, "o-", color=AFTER)
    _widen(canvas.axes, losses, least=0.1 * losses[0])
    best = _mark_best(canvas.axes, rounds)
    canvas.legend(ncols=1)
    text = (
        f"From {losses[0]:.3f} in round 0 to {best.figures['log_loss']:.3f} in round "
        f"{best.number}, the best one. The change is that of the stop rule, which uses more rows "
        "than these."
    )
    header = ("round", "log loss", "change", "standard error", "student")
    rows = [
        (
            r.number,
            f"{r.figures['log_loss']:.4f}",
            f"{r.loss_change:+.4f}" if r.number else "",
            f"{r.loss_error:.4f}" if r.number and r.loss_error is not None else "",
            "best so far" if r.keep else "",
        )
        for r in rounds
    ]
    return canvas.figure("loss", "Log loss by round", text, header, rows)


def _quality(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas()
    numbers = _rounds_axis(canvas.axes, rounds, "")
    names = [name for name in rounds[0].figures if name not in _NOT_QUALITY][:2]
    titles = [titled(name) for name in names]
    lines = [[r.figures[name] for r in rounds] for name in names]
    for title, values, style, color in zip(
        titles, lines, ("s--", "o-"), (OTHER, AFTER), strict=False
    ):
        canvas.axes.plot(numbers, values, style, color=color, label=title)
    _widen(canvas.axes, [value for values in lines for value in values], least=0.1)
    best = _mark_best(canvas.axes, rounds)
    canvas.legend(ncols=3)
    changes = [
        f"{title} from {values[0]:.3f} to {best.figures[name]:.3f}"
        for name, title, values in zip(names, titles, lines, strict=True)
    ]
    text = f"{', '.join(changes)} (round {best.number})."
    rows = [(r.number, *(f"{r.figures[name]:.4f}" for name in names)) for r in rounds]
    title = f"{' and '.join(titles)} by round"
    title = title[:1].upper() + title[1:]
    return canvas.figure("quality", title, text[:1].upper() + text[1:], ("round", *titles), rows)


def _texts(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas()
    numbers = _rounds_axis(canvas.axes, rounds, "texts")
    asked, kept = [r.asked for r in rounds], [r.accepted for r in rounds]
    canvas.axes.bar(numbers, asked, 0.7, fill=False, edgecolor=MUTED, label="requested")
    canvas.axes.bar(numbers, kept, 0.7, color=AFTER, label="accepted")
    canvas.axes.grid(visible=False, axis="x")
    canvas.legend(ncols=2)
    text = f"{sum(kept):,} of {sum(asked):,} requested texts were accepted."
    header = ("round", "requested", "accepted", "accepted so far", "weight of a text")
    rows = [
        (r.number, r.asked, r.accepted, r.synthetic, "" if r.weight is None else f"{r.weight:g}")
        for r in rounds
    ]
    return canvas.figure("synthetic", "Accepted texts by round", text, header, rows)


def _costs(rounds: Sequence[RoundLine], *, free: bool) -> Figure:
    """Dollars, where they are known and some were spent; else tokens."""
    canvas = Canvas()
    known = [float(r.total_usd) for r in rounds if r.total_usd is not None]
    in_dollars = len(known) == len(rounds) and known[-1] > 0
    amounts = known if in_dollars else [r.total_tokens / 1000 for r in rounds]
    unit = "US dollars so far" if in_dollars else "thousand tokens so far"
    numbers = _rounds_axis(canvas.axes, rounds, unit)
    canvas.axes.plot(numbers, amounts, "D-", color=OTHER)
    canvas.axes.set_ylim(0, max(amounts) * 1.1 or 1)
    last = rounds[-1]
    price = "price unknown" if last.total_usd is None else dollars(last.total_usd)
    text = f"{last.total_tokens:,} tokens, {'free (local model)' if free else price}."
    header = ("round", "tokens so far", "US $ so far", "US $ of the round", "per accepted text")
    rows = [
        (
            r.number,
            f"{r.total_tokens:,}",
            dollars(r.total_usd),
            dollars(r.usd) if r.number else "",
            _cost_of_text(r),
        )
        for r in rounds
    ]
    return canvas.figure("spent", "Costs by round", text, header, rows)


def _cost_of_text(line: RoundLine) -> str:
    if not line.accepted:
        return ""
    usd = f"{UNKNOWN} $" if line.usd is None else dollars(float(line.usd) / line.accepted)
    return f"{line.tokens / line.accepted:,.0f} tokens, {usd}"


def _cells(lines: Sequence[CellChange]) -> Figure:
    shown = list(lines)
    if len(shown) > _CELLS:  # the largest gains and the largest losses
        shown = [*shown[: _CELLS // 2], *shown[-_CELLS // 2 :]]
    canvas = Canvas(tall(len(shown)))
    ends = [(c.before, c.after) for c in shown]
    _dumbbells(
        canvas,
        [one_line(c.name, _NAME) for c in shown],
        ends,
        good=-1 if lines[0].figure in ERRORS else 1,
    )
    figure, most = titled(lines[0].figure), max(1.0, *(max(end) for end in ends))
    canvas.axes.set_xlim(-0.03 * most, 1.03 * most)
    canvas.axes.set_xlabel(figure)
    up, down = sum(c.change > 0 for c in lines), sum(c.change < 0 for c in lines)
    text = f"{up} improved, {down} got worse, {len(lines) - up - down} are unchanged."
    if len(shown) < len(lines):
        text += f" Drawn: the ends of the list, {len(shown)} of {len(lines)}."
    header = ("", "rows evaluated", f"{figure} before", f"{figure} after", "change",
              "training rows", "texts requested", "texts accepted")  # fmt: skip
    rows = [
        (
            c.name, c.n, f"{c.before:.3f}", f"{c.after:.3f}", f"{c.change:+.3f}",
            c.rows or "", c.asked or "", c.accepted or "",
        )
        for c in lines
    ]  # fmt: skip
    return canvas.figure("cells", f"{figure}, before and after", text, header, rows)


def _dumbbells(
    canvas: Canvas, names: Sequence[str], ends: Sequence[tuple[float, float]], *, good: int
) -> None:
    """A line for each name, from a hollow marker (before) to a full one (after).

    Args:
        canvas: to draw on.
        names: from top to bottom.
        ends: before and after.
        good: 1 where more is better, -1 where less is.
    """
    axes, places = canvas.axes, range(len(names))
    colours = [WORSE if (b - a) * good < 0 else AFTER for a, b in ends]
    before, after = [a for a, _ in ends], [b for _, b in ends]
    common = {"s": 30, "clip_on": False}
    axes.hlines(places, before, after, colors=colours, linewidth=2)
    axes.scatter(
        before, places, facecolor=PAPER, edgecolor=BEFORE, linewidth=1.4, zorder=3, **common
    )
    for marker, wanted in (("o", AFTER), ("v", WORSE)):
        chosen = [i for i, colour in enumerate(colours) if colour == wanted]
        axes.scatter(
            [after[i] for i in chosen], chosen, color=wanted, marker=marker, zorder=4, **common
        )
    axes.set_yticks(list(places), names, color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    legend: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("o", "before", {"markerfacecolor": PAPER, "markeredgecolor": BEFORE}),
        ("o", "after", {"color": AFTER}),
        ("v", "after, worse", {"color": WORSE}),
    )
    for marker, label, look in legend:
        axes.plot([], [], marker=marker, label=label, linestyle="none", markersize=5.5, **look)
    canvas.legend(ncols=3)


def _confusions(found: Confusions) -> Figure:
    pairs = [*found.shrank, *found.grew]
    canvas = Canvas(tall(len(pairs)))
    names = [f"{one_line(p.gold, 16)} → {one_line(p.predicted, 16)}" for p in pairs]
    _dumbbells(canvas, names, [(p.before, p.after) for p in pairs], good=-1)
    canvas.axes.set_xlabel("rows")
    most = max(max(p.before, p.after) for p in pairs)
    canvas.axes.set_xlim(-0.03 * most, 1.05 * most)
    canvas.axes.set_xticks(range(0, most + 1, max(1, round(most / 4))))
    shrank, grew = len(found.shrank) + found.more_shrank, len(found.grew) + found.more_grew
    text = (
        f"{shrank} pairs of classes are confused less often than before, {grew} more often. "
        "The first name is the true class, the second the predicted one."
    )
    rows = [(p.gold, p.predicted, p.before, p.after, f"{p.after - p.before:+d}") for p in pairs]
    header = ("true class", "predicted", "rows before", "rows after", "change")
    return canvas.figure("confusions", "Changes in confusion", text, header, rows)


def _reliability(judged: EvaluationSet) -> Iterator[Figure]:
    """The reliability diagram, and how many predictions each of its points stands for."""
    diagram, counts = Canvas(), Canvas()
    diagram.axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1, label="perfect")
    looks: tuple[tuple[str, dict[str, Any], str, dict[str, Any], dict[str, Any]], ...] = (
        ("before", judged.before, "o--", {"color": BEFORE, "markerfacecolor": PAPER},
         {"fill": False, "edgecolor": BEFORE}),
        ("after", judged.after, "o-", {"color": AFTER}, {"color": AFTER}),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for i, (name, metrics, line, look, bar) in enumerate(looks):
        bins = metrics.get("reliability", [])
        confidence, accuracy = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
        diagram.axes.plot(confidence, accuracy, line, label=name, **look)
        places = [b["low"] + 0.03 + 0.04 * i for b in bins]
        counts.axes.bar(places, [b["n"] for b in bins], 0.036, label=name, **bar)
        rows += [
            (name, f"{b['low']:.1f} to {b['high']:.1f}", b["n"], f"{b['confidence']:.3f}",
             f"{b['accuracy']:.3f}")
            for b in bins
        ]  # fmt: skip
    sure = "confidence"
    diagram.axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel=sure, ylabel="accuracy")
    counts.axes.set(xlim=(0, 1.02), xlabel=sure, ylabel="rows")
    for canvas in (diagram, counts):
        canvas.legend(ncols=3)
    text = (
        "On the dotted line, confidence equals accuracy. Expected calibration error "
        f"{judged.before['ece']:.3f} before, {judged.after['ece']:.3f} after."
    )
    header = ("student", "confidence", "rows", "mean confidence", "accuracy")
    yield diagram.figure("reliability", "Reliability diagram", text, header, rows)
    text = "Points of the reliability diagram with few rows are imprecise."
    yield counts.figure("confidence", "Distribution of confidence", text, header, rows)


def _tokens(part: dict[str, Any]) -> int:
    return int(part["input_tokens"] + part["output_tokens"])


def _purposes(money: Money) -> Figure:
    parts, total = money.parts, money.total
    rounds = sorted({part["round"] for part in parts})
    canvas = Canvas()
    below = [0.0] * len(rounds)
    for purpose in dict.fromkeys([*_PURPOSES, *(part["purpose"] for part in parts)]):
        spent = {p["round"]: _tokens(p) / 1000 for p in parts if p["purpose"] == purpose}
        heights = [spent.get(number, 0.0) for number in rounds]
        if any(heights):
            colour, hatch = _PURPOSES.get(purpose, (MUTED, ""))
            canvas.axes.bar(
                range(len(rounds)), heights, 0.7, bottom=below, label=purpose,
                color=colour, hatch=hatch, linewidth=0,
            )  # fmt: skip
            below = [a + b for a, b in zip(below, heights, strict=True)]
    names = ["outside" if number == 0 else str(number) for number in rounds]
    ticks = spread(range(len(rounds)), 12)
    canvas.axes.set_xticks(ticks, [names[i] for i in ticks])
    canvas.axes.set(xlabel="round", ylabel="thousand tokens")
    canvas.axes.grid(visible=False, axis="x")
    canvas.legend(ncols=4)
    text = (
        f"{total['calls']:,} calls with {total['input_tokens']:,} input tokens and "
        f"{total['output_tokens']:,} output tokens."
    )
    header = ("round", "purpose", "calls", "retries", "failed", "lost", "cached", "input tokens",
              "output tokens", "US $")  # fmt: skip
    fields = ("purpose", "calls", "retries", "failed", "lost", "cached", "input_tokens",
              "output_tokens")  # fmt: skip
    rows = [
        (p["round"] or "outside", *(p[name] for name in fields), dollars(p["known_usd"]))
        for p in parts
    ]
    return canvas.figure("purposes", "Tokens by purpose", text, header, rows)


def _reasons(texts: Texts) -> Figure:
    names, counts = zip(*texts.reasons, strict=True)
    canvas = Canvas(tall(len(names)))
    places = range(len(names))
    canvas.axes.barh(places, counts, 0.6, color=WORSE)
    canvas.axes.set_yticks(list(places), [one_line(name, _NAME) for name in names], color=INK)
    canvas.axes.set_ylim(max(3, len(names)) - 0.4, -0.6)
    canvas.axes.set_xlim(0, max(counts) * 1.15)
    for place, count in zip(places, counts, strict=True):
        canvas.axes.text(count, place, f" {count}", va="center")
    canvas.axes.set_xlabel("texts dropped")
    canvas.axes.grid(visible=False, axis="y")
    text = f"{texts.rejected:,} texts or replies were dropped, {texts.accepted:,} accepted."
    return canvas.figure(
        "reasons", "Reasons for dropping texts", text, ("reason", "texts"), texts.reasons
    )
