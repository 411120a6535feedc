"""The results of a benchmark for people: a table in Markdown, and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_FIGURES = {
    "accuracy": "accuracy", "macro_f1": "macro F1", "head": "head", "middle": "middle",
    "tail": "tail",
}  # fmt: skip
_NONE = "–"


def markdown(results: Mapping[str, Any], name: str) -> str:
    """The results as Markdown: a section for every data set and number of rows."""
    sections: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for group in results["groups"]:
        sections.setdefault((group["data"], group["rows"]), []).append(group)
    parts = [f"# {name}", _LEGEND]
    if results["cells_missing"]:
        parts.append(f"{results['cells_missing']} cells of the grid have not been run.")
    for (data, rows), groups in sections.items():
        parts += [
            f"## {data}, {rows} rows", _described(results["data"][data]),
            _figures(groups), _changes(groups, results["plan"]["baselines"]), _costs(groups),
        ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


_LEGEND = (
    "Mean and sample standard deviation over seeds, on the test rows. *Head*, *middle* and *tail* "
    "are macro F1 over the thirds of the classes by frequency in the training file. A change is "
    "paired by seed and by test row; its interval is a 95% bootstrap over the test rows, of the "
    "mean over the seeds that were run. *Clean* leaves out the test rows that a text which the "
    "student was trained on matches or nearly matches. Costs are those of one cell as if it had "
    "been run alone."
)


def _described(data: Mapping[str, Any]) -> str:
    thirds = ", ".join(
        f"{third} {part['classes']} classes of {part['fewest']} to {part['most']} rows"
        for third, part in data["thirds"].items()
        if part["classes"]
    )
    return f"{data['train_rows']} rows in the training file: {thirds}."


def _figures(groups: Sequence[Mapping[str, Any]]) -> str:
    header = ("arm", "seeds", "texts", "of classes", *_FIGURES.values())
    return _table(
        header,
        [
            (
                _named(group), str(len(group["seeds"])), _number(group["texts"]),
                _number(group["classes_written_for"]),
                *(_spread(group["all"].get(figure)) for figure in _FIGURES),
            )
            for group in groups
        ],
    )  # fmt: skip


def _changes(groups: Sequence[Mapping[str, Any]], baselines: Sequence[str]) -> str:
    tables = []
    for baseline in baselines:
        rows = [
            (
                _named(group), _number(group["rows_near_a_text"]),
                *(_change(group["changes"][baseline][variant].get(figure))
                  for figure in ("accuracy", "macro_f1") for variant in ("all", "without_near")),
                *(_change(group["changes"][baseline]["all"].get(third))
                  for third in ("head", "middle", "tail")),
            )
            for group in groups
            if group["changes"].get(baseline)
        ]  # fmt: skip
        header = (
            f"change against {baseline}", "test rows near a text", "accuracy", "clean",
            "macro F1", "clean", "head", "middle", "tail",
        )  # fmt: skip
        if rows:
            tables.append(_table(header, rows))
    return "\n\n".join(tables)


def _costs(groups: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            _named(group), _number(cost["calls"]), _number(cost["input_tokens"]),
            _number(cost["output_tokens"]),
            _NONE if cost["usd"] is None else f"{float(cost['usd']):.4f}",
            _number(cost["teacher_seconds"]),
        )
        for group in groups
        if (cost := group["cost"])
    ]  # fmt: skip
    header = ("cost of a cell", "calls", "prompt tokens", "answer tokens", "USD", "teacher's s")
    return _table(header, rows) if rows else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _named(group: Mapping[str, Any]) -> str:
    return f"{group['arm']} ({group['teacher']})" if group["teacher"] else str(group["arm"])


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _spread(figure: Mapping[str, float | None] | None) -> str:
    if figure is None:
        return _NONE
    sd = figure["sd"]
    return f"{figure['mean']:.3f}" + ("" if sd is None else f" ± {sd:.3f}")


def _change(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return _NONE
    low, high = change["interval"]
    sd = "" if change["sd"] is None else f" ± {change['sd']:.3f}"
    return f"{change['difference']:+.3f}{sd} [{low:+.3f}, {high:+.3f}]"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw macro F1 over the number of labelled rows, a panel a data set.

    Args:
        results: of the benchmark.
        path: the image to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_of = require("matplotlib.figure", extra="bench", job="Drawing a benchmark")
    lines: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    for group in results["groups"]:
        macro = group["all"]["macro_f1"]
        point = (group["rows"], macro["mean"], macro["sd"] or 0.0)
        lines.setdefault(group["data"], {}).setdefault(_named(group), []).append(point)
    if not lines:
        return
    columns = min(3, len(lines))
    rows = -(-len(lines) // columns)
    figure = figure_of.Figure(figsize=(5.5 * columns, 4.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(name for of_arm in lines.values() for name in of_arm))
    for panel, (data, of_arm) in zip(axes, lines.items(), strict=False):
        _draw(panel, data, of_arm, names)
    for panel in axes[len(lines) :]:
        panel.set_visible(False)
    handles = {h.get_label(): h for panel in axes for h in panel.get_legend_handles_labels()[0]}
    figure.legend(
        handles=handles.values(), labels=handles.keys(), loc="outside lower center", ncols=4,
        fontsize="small",
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _draw(
    panel: Any,
    data: str,
    of_arm: Mapping[str, list[tuple[int, float, float]]],
    names: Sequence[str],
) -> None:
    markers = "osv^D*Px"
    for name, points in of_arm.items():
        x, y, sd = zip(*sorted(points), strict=True)
        place = names.index(name)
        panel.errorbar(
            x, y, yerr=sd, label=name, color=f"C{place % 10}",
            marker=markers[place // 10 % len(markers)], capsize=2, linewidth=1, markersize=4,
        )  # fmt: skip
    labelled = sorted({point[0] for points in of_arm.values() for point in points})
    panel.set_xscale("log")
    panel.set_xticks(labelled, [str(rows) for rows in labelled])
    panel.minorticks_off()
    panel.set(title=data, xlabel="labelled rows", ylabel="macro F1")
