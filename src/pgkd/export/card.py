"""The model card: what somebody who was not there should know of an exported student.

It holds no text of the user. Label and model names are the user's or a teacher's, so they are
escaped: a card is rendered where it is published.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.errors import RunError
from pgkd.evaluation import titled
from pgkd.usage.ledger import summed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pgkd.export.export import Parity
    from pgkd.export.predictor import Format
    from pgkd.runs.folder import RunFolder
    from pgkd.task import CardText

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation})
_LIBRARIES = {"huggingface": "transformers", "onnx": "onnx", "onnx-int8": "onnx"}
_FEW_ROWS = 10  # of validation: an F1 of fewer says little


@dataclass(frozen=True)
class ModelCard:
    """What a card tells.

    Attributes:
        format: of the export.
        text: what the task says.
        parity: how the export compares with the student.
        config: of the run, as plain data.
        rows: how many rows of training and validation there were, and texts of the teacher.
        calls: of the run to the teacher, as `summed` tells them.
        before: figures of round 0 on the rows that judge rounds, or None where the run did not end.
        after: figures of the student, or None.
        label_issues: rows whose output is doubtful.
    """

    format: Format
    text: CardText
    parity: Parity
    config: dict[str, Any]
    rows: dict[str, int]
    calls: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    label_issues: int

    @classmethod
    def of(
        cls, run: RunFolder, student: Any, name: Format, parity: Parity, which: str = "best"
    ) -> ModelCard:
        """The card of an export of a student of the run."""
        config = run.config()
        task = run.read_json("task.json")
        before, after = _figures_of(run, which)
        with run.ledger_to_read() as ledger:
            calls = summed(ledger.calls())
        return cls(
            format=name,
            text=run.task.card(student, config, name, after),
            parity=parity,
            config=config.model_dump(mode="json"),
            rows={
                "training": len(task["train"]),
                "validation": len(task["validation"]),
                "synthetic": len(run.synthetic()),
            },
            calls=calls,
            before=before,
            after=after,
            label_issues=sum(1 for _ in run.read_lines("label_issues.jsonl")),
        )

    def markdown(self) -> str:
        """The card as README.md of a Hugging Face repository."""
        parts = (
            self._head(),
            f"# {self.text.title}",
            plain(self.text.about),
            "## Use",
            "\n".join(("```python", *self.text.use, "```")),
            "## Data and teacher",
            *self._sources(),
            "## Metrics",
            *self._figures(),
            "## The export",
            self._export(),
            "## Limits",
            "\n".join(f"- {limit}" for limit in self._limits()),
        )
        return "\n\n".join(part for part in parts if part) + "\n"

    def _head(self) -> str:
        """The YAML that the Hugging Face hub reads."""
        import yaml

        tag = self.text.pipeline_tag
        data: dict[str, Any] = {
            "pipeline_tag": tag,
            "tags": ["pgkd", tag, "knowledge-distillation"],
        }
        if self.format in _LIBRARIES:
            data["library_name"] = _LIBRARIES[self.format]
        if self.text.base_model:
            data["base_model"] = self.text.base_model
        if self.after:
            metrics = [
                {"type": name, "value": value, "name": titled(name)}
                for name, value in _numbers(self.after).items()
            ]
            result = {
                "task": {"type": tag},
                "dataset": {"name": f"{self._judging} rows of the run", "type": "private"},
                "metrics": metrics,
            }
            data["model-index"] = [{"name": "pgkd student", "results": [result]}]
        return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"

    @property
    def _judging(self) -> str:
        """Which rows judged the rounds."""
        return "validation" if self.rows["validation"] else "cross-validated labelled"

    def _sources(self) -> Iterable[str]:
        teacher = self.config["teacher"]
        yield (
            f"{plain(self.text.student)} {self.rows['training']} labelled rows to train on".strip()
            + (f", {self.rows['validation']} to validate" if self.rows["validation"] else "")
            + f"; {self.rows['synthetic']} texts of a teacher were accepted."
        )
        data = self.config["data"]["train"]
        if data:
            yield f"Rows: {plain(Path(data).name)}."
        if not self.calls["calls"]:
            yield "No teacher was asked."
            return
        model = plain(named(teacher["model"])) if teacher["model"] else "its default model"
        unpriced = self.calls["unpriced"]
        yield (
            f"Teacher: {plain(teacher['provider'])}, {model}. {self.calls['calls']} calls, "
            f"{self.calls['input_tokens']} tokens in, {self.calls['output_tokens']} out, "
            f"{float(self.calls['usd']):.4f} US dollars"
            + (f"; {unpriced} replies have no known price." if unpriced else ".")
        )

    def _figures(self) -> Iterable[str]:
        if self.after is None or self.before is None:
            yield "The run did not end: there are none."
            return
        n = self.after["n"]
        held_out = self.rows["validation"]
        on = f"On {n} validation rows" if held_out else f"Cross-validated on {n} labelled rows"
        yield f"{on}. Round 0 is the student before the teacher."
        before = _numbers(self.before)
        overall = [
            (titled(name), f"{before[name]:.3f}" if name in before else "–", f"{value:.3f}")
            for name, value in _numbers(self.after).items()
        ]
        yield _table(("", "round 0", "best round"), overall)
        if cells := self.after.get("cells"):
            names = list(_numbers(cells[0]))
            each = [
                (plain(str(c["name"])), *(f"{c.get(m, 0.0):.2f}" for m in names), c["n"])
                for c in cells
            ]
            yield _table(("", *map(titled, names), "rows"), each)

    def _export(self) -> str:
        p = self.parity
        return (
            f"Format {self.format}. On {p.n} texts of the run {p.same:.2%} have the student's "
            f"answer; {titled(p.figure)} {p.export:.4f}, the student's {p.student:.4f}; numbers "
            f"differ by {p.difference:.1e} at most."
        )

    def _limits(self) -> Iterable[str]:
        yield (
            f"The {self._judging} rows chose the round that was kept, so their figures are a "
            "little hopeful. `pgkd evaluate` judges on other rows than the run's own."
        )
        yield from map(plain, self.text.limits)
        if self.rows["synthetic"]:
            yield "Part of what it learned was written by a language model, with its biases."
        if self.label_issues:
            yield f"{self.label_issues} times a label of the rows was doubted (label_issues.jsonl)."
        few = [c for c in (self.after or {}).get("cells", ()) if c["n"] < _FEW_ROWS]
        if few:
            names = ", ".join(plain(str(c["name"])) for c in few)
            yield f"Fewer than {_FEW_ROWS} {self._judging} rows, so hardly judged: {names}."


def _numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a record."""
    return {name: value for name, value in record.items() if isinstance(value, float)}


def plain(text: str) -> str:
    """An untrusted text as Markdown shows it letter by letter: no markup, no link, one line."""
    escaped = _CONTROL.sub(" ", text).strip().translate(_MARKUP)
    return escaped.replace("\\&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def named(model: str) -> str:
    """The name of a model; of a path its last part, for where it lay concerns nobody."""
    return Path(model).name if Path(model).exists() or Path(model).is_absolute() else model


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _figures_of(run: RunFolder, which: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Figures of round 0 and of the student; None where they are not known."""
    try:
        result = run.read_json("result.json")
    except RunError:
        return None, None  # the run is still going on, or was cut off
    rounds = {r["round"]: r["validation"] for r in result["rounds"]}
    numbers = {"first": 0, "best": result["best"], "last": max(rounds, default=0)}
    if which == "reviewed":
        return rounds.get(0), run.read_json("reviewed.json")["after"]
    return rounds.get(0), rounds.get(numbers.get(which, -1))
