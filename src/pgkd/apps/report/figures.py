"""The charts of a report. Each can be read without colour: by its markers, lines and hatches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.apps.report.drawing import SMALL, Canvas, Figure, finish, in_style, tall
from pgkd.apps.report.judged import before_of
from pgkd.apps.report.map_figure import map_figure
from pgkd.apps.report.samples import spread
from pgkd.apps.report.svg import AFTER, BEFORE, INK, MUTED, OTHER, PAPER, WORSE
from pgkd.apps.report.words import UNKNOWN, dollars, one_line
from pgkd.tasks.classification.evaluation.judging import AFTER as AFTER_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.apps.report.content import ClassLine, Content, Pair, RoundLine

_CLASSES = 40  # drawn one under the other; the table has them all
_NAME = 26  # characters of a class name beside a chart
_PURPOSES = {
    "write": AFTER,
    "repair": WORSE,
    "describe": OTHER,
    "glossary": OTHER,
    "label": BEFORE,
    "exam": BEFORE,
}
_HATCHES = {"repair": "////", "describe": "....", "glossary": "....", "label": "xxxx", "exam": "++"}


def draw(content: Content) -> dict[str, Figure]:
    """Every chart that there are figures for, by its key.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    with in_style():
        return {figure.key: figure for figure in _all(content)}


def _all(content: Content) -> Iterator[Figure]:
    if len(content.rounds) > 1:
        yield _loss(content.rounds)
        yield _quality(content.rounds)
        yield _written(content.rounds)
        yield _spent(content.rounds, free=content.money.free)
    if content.classes:
        yield _classes(content.classes)
    if content.confusions.shrank or content.confusions.grew:
        yield _confusions(content)
    if content.bases and "reliability" in content.bases[0].students[AFTER_ROLE]:
        yield from _reliability(content)
    if any(_tokens(part) for part in content.money.parts):
        yield _purposes(content)
    if content.texts.reasons:
        yield _reasons(content)
    if content.map is not None:
        yield map_figure(content.map)


def _rounds_axis(axes: Any, rounds: Sequence[RoundLine], label: str) -> list[int]:
    """Whole rounds along the bottom, and where the student was kept."""
    numbers = [line.number for line in rounds]
    axes.set_xticks(spread(numbers, 12))
    axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    return numbers


def _mark_best(axes: Any, rounds: Sequence[RoundLine]) -> int:
    best = max((line.number for line in rounds if line.keep), default=0)
    axes.axvline(best, color=MUTED, linewidth=1, linestyle=":", label="kept student")
    return best


def _calm(axes: Any, values: Sequence[float], *, least: float) -> None:
    """A range of at least so much, so that noise does not look like a mountain."""
    low, high = min(values), max(values)
    room = 0.08 * max(high - low, least)
    spare = max(0.0, least - (high - low)) / 2
    axes.set_ylim(max(0.0, low - spare - room), high + spare + room)


def _loss(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas(SMALL)
    numbers = _rounds_axis(canvas.axes, rounds, "log loss (lower is better)")
    losses = [r.log_loss for r in rounds]
    canvas.axes.plot(numbers, losses, "o-", color=AFTER)
    _calm(canvas.axes, losses, least=0.1 * losses[0])
    best = _mark_best(canvas.axes, rounds)
    canvas.legend_above(ncols=1)
    text = (
        f"From {rounds[0].log_loss:.3f} in round 0 to {rounds[best].log_loss:.3f} in round {best}, "
        "whose student was kept. The change is what the stop rule saw, over more rows than these."
    )
    header = ("round", "log loss", "change", "standard error", "student")
    rows = [
        (
            r.number,
            f"{r.log_loss:.4f}",
            f"{r.loss_change:+.4f}" if r.number else "",
            f"{r.loss_error:.4f}" if r.number and r.loss_error is not None else "",
            "kept" if r.keep else "not kept",
        )
        for r in rounds
    ]
    return finish("loss", "Log loss by round", text, canvas, header, rows)


def _quality(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas(SMALL)
    numbers = _rounds_axis(canvas.axes, rounds, "share")
    accuracy = [r.accuracy for r in rounds]
    canvas.axes.plot(numbers, accuracy, "s--", color=OTHER, label="accuracy")
    canvas.axes.plot(numbers, [r.macro_f1 for r in rounds], "o-", color=AFTER, label="macro F1")
    _calm(canvas.axes, [*accuracy, *(r.macro_f1 for r in rounds)], least=0.1)
    best = _mark_best(canvas.axes, rounds)
    canvas.legend_above(ncols=3)
    text = (
        f"Macro F1 goes from {rounds[0].macro_f1:.3f} to {rounds[best].macro_f1:.3f}, accuracy "
        f"from {rounds[0].accuracy:.3f} to {rounds[best].accuracy:.3f} (round {best})."
    )
    rows = [(r.number, f"{r.accuracy:.4f}", f"{r.macro_f1:.4f}") for r in rounds]
    header = ("round", "accuracy", "macro F1")
    return finish("quality", "Accuracy and F1 by round", text, canvas, header, rows)


def _written(rounds: Sequence[RoundLine]) -> Figure:
    canvas = Canvas(SMALL)
    rounds = rounds[1:]  # nothing is asked before the first
    numbers = _rounds_axis(canvas.axes, rounds, "texts")
    asked, kept = [r.asked for r in rounds], [r.kept for r in rounds]
    canvas.axes.bar(numbers, asked, 0.7, fill=False, edgecolor=MUTED, label="asked for")
    canvas.axes.bar(numbers, kept, 0.7, color=AFTER, label="kept")
    canvas.axes.grid(visible=False, axis="x")
    canvas.legend_above(ncols=2)
    text = f"{sum(kept):,} of {sum(asked):,} texts that were asked for were kept."
    header = ("round", "asked for", "kept", "kept so far", "weight of a text")
    rows = [
        (r.number, r.asked, r.kept, r.written, "" if r.weight is None else f"{r.weight:g}")
        for r in rounds
    ]
    return finish("written", "Texts kept by round", text, canvas, header, rows)


def _spent(rounds: Sequence[RoundLine], *, free: bool) -> Figure:
    """Dollars, where they are known and some were spent; else tokens."""
    canvas = Canvas(SMALL)
    known = [float(r.total_usd) for r in rounds if r.total_usd is not None]
    in_dollars = len(known) == len(rounds) and known[-1] > 0
    amounts = known if in_dollars else [r.total_tokens / 1000 for r in rounds]
    unit = "US dollars so far" if in_dollars else "thousand tokens so far"
    numbers = _rounds_axis(canvas.axes, rounds, unit)
    canvas.axes.plot(numbers, amounts, "D-", color=OTHER)
    canvas.axes.set_ylim(0, max(amounts) * 1.1 or 1)
    last = rounds[-1]
    price = "for which nobody bills" if free else f"at {_price(last.total_usd)}"
    text = f"Writing took {last.total_tokens:,} tokens, {price}."
    header = ("round", "tokens so far", "US $ so far", "US $ of the round", "a kept text cost")
    rows = [
        (
            r.number,
            f"{r.total_tokens:,}",
            dollars(r.total_usd),
            dollars(r.usd) if r.number else "",  # nothing is written before the first round
            _each(r),
        )
        for r in rounds
    ]
    return finish("spent", "Spent by round", text, canvas, header, rows)


def _price(usd: str | None) -> str:
    return "a price that is not known" if usd is None else dollars(usd)


def _each(line: RoundLine) -> str:
    if not line.kept:
        return ""
    tokens = f"{line.tokens / line.kept:,.0f} tokens"
    if line.usd is None:
        return f"{tokens}, {UNKNOWN} $"
    return f"{tokens}, {dollars(float(line.usd) / line.kept)}"


def _classes(lines: Sequence[ClassLine]) -> Figure:
    shown = list(lines)
    if len(shown) > _CLASSES:  # the ends of the list: what gained and what lost most
        shown = [*shown[: _CLASSES // 2], *shown[-_CLASSES // 2 :]]
    canvas = Canvas(tall(len(shown)))
    ends = [(c.before, c.after) for c in shown]
    _dumbbells(canvas, [one_line(c.name, _NAME) for c in shown], ends, good=1)
    canvas.axes.set_xlim(-0.03, 1.03)
    canvas.axes.set_xlabel("F1")
    up = sum(c.change > 0 for c in lines)
    down = sum(c.change < 0 for c in lines)
    text = f"{up} classes gained, {down} lost, {len(lines) - up - down} stayed; largest gain first."
    if len(shown) < len(lines):
        text += f" Drawn are the {len(shown)} of {len(lines)} classes at both ends of the list."
    header = ("class", "rows judged", "F1 before", "F1 after", "change", "rows to train on",
              "texts asked for", "texts kept")  # fmt: skip
    rows = [
        (
            c.name, c.support, f"{c.before:.3f}", f"{c.after:.3f}", f"{c.change:+.3f}",
            c.rows, c.asked or "", c.kept,
        )
        for c in lines
    ]  # fmt: skip
    return finish("classes", "F1 of every class, before and after", text, canvas, header, rows)


def _dumbbells(
    canvas: Canvas, names: Sequence[str], ends: Sequence[tuple[float, float]], *, good: int
) -> None:
    """A line for each name, from a hollow marker (before) to a full one (after).

    Args:
        canvas: to draw on.
        names: one a line, from the top.
        ends: before and after.
        good: 1 where more is better, -1 where less is.
    """
    axes, places = canvas.axes, range(len(names))
    colours = [WORSE if (b - a) * good < 0 else AFTER for a, b in ends]
    before, after = [a for a, _ in ends], [b for _, b in ends]
    axes.hlines(places, before, after, colors=colours, linewidth=2)
    axes.scatter(
        before,
        places,
        s=30,
        facecolor=PAPER,
        edgecolor=BEFORE,
        linewidth=1.4,
        clip_on=False,
        zorder=3,
    )
    for marker, wanted in (("o", AFTER), ("v", WORSE)):
        chosen = [i for i, colour in enumerate(colours) if colour == wanted]
        axes.scatter(
            [after[i] for i in chosen],
            chosen,
            s=30,
            color=wanted,
            marker=marker,
            clip_on=False,
            zorder=4,
        )
    axes.set_yticks(list(places), names, color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    _legend(canvas)


def _legend(canvas: Canvas) -> None:
    """Before, after, and after where it got worse; above the chart."""
    common = {"linestyle": "none", "markersize": 5.5}
    entries = (
        ("o", "before", {"markerfacecolor": PAPER, "markeredgecolor": BEFORE}),
        ("o", "after", {"color": AFTER}),
        ("v", "after, worse", {"color": WORSE}),
    )
    for marker, label, look in entries:
        canvas.axes.plot([], [], marker=marker, label=label, **common, **look)
    canvas.legend_above(ncols=3)


def _confusions(content: Content) -> Figure:
    found = content.confusions
    pairs: list[Pair] = [*found.shrank, *found.grew]
    canvas = Canvas(tall(len(pairs)))
    names = [f"{one_line(p.gold, 16)} → {one_line(p.predicted, 16)}" for p in pairs]
    _dumbbells(canvas, names, [(p.before, p.after) for p in pairs], good=-1)
    canvas.axes.set_xlabel("rows")
    most = max(max(p.before, p.after) for p in pairs)
    canvas.axes.set_xlim(-0.03 * most, 1.05 * most)
    step = max(1, round(most / 4))
    canvas.axes.set_xticks(range(0, most + 1, step))
    shrank, grew = len(found.shrank) + found.more_shrank, len(found.grew) + found.more_grew
    text = (
        f"{shrank} pairs of classes are confused less often than before, {grew} more often. "
        "The first name is the right class, the second what the student took it for."
    )
    rows = [(p.gold, p.predicted, p.before, p.after, f"{p.after - p.before:+d}") for p in pairs]
    header = ("class", "taken for", "rows before", "rows after", "change")
    return finish("confusions", "Confusions that shrank and grew", text, canvas, header, rows)


def _reliability(content: Content) -> Iterator[Figure]:
    """The reliability diagram, and how many answers each of its points stands for."""
    students = content.bases[0].students
    diagram, counts = Canvas(SMALL), Canvas(SMALL)
    diagram.axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1, label="perfect")
    judged = {"before": before_of(content.bases[0]), "after": students[AFTER_ROLE]}
    looks: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "before": ("o--", {"color": BEFORE, "markerfacecolor": PAPER}, {"fill": False,
                   "edgecolor": BEFORE}),
        "after": ("o-", {"color": AFTER}, {"color": AFTER}),
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for i, (name, (line, look, bar)) in enumerate(looks.items()):
        bins = judged[name].get("reliability", [])
        said = [b["confidence"] for b in bins]
        diagram.axes.plot(said, [b["accuracy"] for b in bins], line, label=name, **look)
        places = [b["low"] + 0.03 + 0.04 * i for b in bins]
        counts.axes.bar(places, [b["n"] for b in bins], 0.036, label=name, **bar)
        rows += [
            (name, f"{b['low']:.1f} to {b['high']:.1f}", b["n"], f"{b['confidence']:.3f}",
             f"{b['accuracy']:.3f}")
            for b in bins
        ]  # fmt: skip
    sure = "how sure the student is"
    diagram.axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel=sure, ylabel="share that is right")
    counts.axes.set(xlim=(0, 1.02), xlabel=sure, ylabel="rows")
    for canvas in (diagram, counts):
        canvas.legend_above(ncols=3)
    before, after = (each["ece"] for each in judged.values())
    text = (
        "On the dotted line a student is right as often as it says. Expected calibration error "
        f"{before:.3f} before, {after:.3f} after."
    )
    header = ("student", "confidence", "rows", "mean confidence", "share right")
    yield finish("reliability", "How sure, and how often right", text, diagram, header, rows)
    text = "A point of the diagram that stands for few rows says little."
    yield finish("confidence", "How many answers are how sure", text, counts, header, rows)


def _tokens(part: dict[str, Any]) -> int:
    return int(part["input_tokens"] + part["output_tokens"])


def _purposes(content: Content) -> Figure:
    parts = content.money.parts
    rounds = sorted({part["round"] for part in parts})
    purposes = list(dict.fromkeys([*_PURPOSES, *(part["purpose"] for part in parts)]))
    canvas = Canvas(SMALL)
    below = [0.0] * len(rounds)
    for purpose in purposes:
        spent = {p["round"]: _tokens(p) / 1000 for p in parts if p["purpose"] == purpose}
        heights = [spent.get(number, 0.0) for number in rounds]
        if any(heights):
            canvas.axes.bar(
                range(len(rounds)), heights, 0.7, bottom=below, label=purpose,
                color=_PURPOSES.get(purpose, MUTED), hatch=_HATCHES.get(purpose, ""),
                linewidth=0,
            )  # fmt: skip
            below = [a + b for a, b in zip(below, heights, strict=True)]
    names = ["outside" if number == 0 else str(number) for number in rounds]
    ticks = spread(range(len(rounds)), 12)
    canvas.axes.set_xticks(ticks, [names[i] for i in ticks])
    canvas.axes.set(xlabel="round", ylabel="thousand tokens")
    canvas.axes.grid(visible=False, axis="x")
    canvas.legend_above(ncols=4)
    total = content.money.total
    text = (
        f"{total['calls']:,} calls with {total['input_tokens']:,} tokens of prompts and "
        f"{total['output_tokens']:,} of answers."
    )
    header = ("round", "purpose", "calls", "retries", "failed", "lost", "cached", "tokens in",
              "tokens out", "US $")  # fmt: skip
    fields = ("purpose", "calls", "retries", "failed", "lost", "cached", "input_tokens",
              "output_tokens")  # fmt: skip
    rows = [
        (p["round"] or "outside", *(p[name] for name in fields), dollars(p["known_usd"]))
        for p in parts
    ]
    return finish("purposes", "Where the tokens went", text, canvas, header, rows)


def _reasons(content: Content) -> Figure:
    reasons = content.texts.reasons
    canvas = Canvas(tall(len(reasons)))
    places = range(len(reasons))
    counts = [count for _, count in reasons]
    canvas.axes.barh(places, counts, 0.6, color=WORSE)
    canvas.axes.set_yticks(list(places), [one_line(r, _NAME) for r, _ in reasons], color=INK)
    canvas.axes.set_ylim(max(3, len(reasons)) - 0.4, -0.6)
    canvas.axes.set_xlim(0, max(counts) * 1.15)
    for place, count in zip(places, counts, strict=True):
        canvas.axes.text(count, place, f" {count}", va="center")
    canvas.axes.set_xlabel("texts dropped")
    canvas.axes.grid(visible=False, axis="y")
    text = f"{content.texts.dropped:,} texts or answers were dropped, {content.texts.kept:,} kept."
    return finish("reasons", "Why texts were dropped", text, canvas, ("reason", "texts"), reasons)
