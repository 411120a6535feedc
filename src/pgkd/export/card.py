"""The model card: what somebody who was not there should know of an exported student.

It holds no text of the user. Class and model names are the user's or a teacher's, so they are
escaped: a card is rendered where it is published.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.errors import RunError
from pgkd.tasks.classification.evaluation.metrics import MEASURES
from pgkd.usage.ledger import summed
from pgkd.weights.pins import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgkd.export.export import Parity
    from pgkd.export.predictor import Format
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.students.base import Student

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation})
_MEASURES = {name: title for name, title in MEASURES.items() if name != "weighted_f1"}
_LIBRARIES = {"huggingface": "transformers", "onnx": "onnx", "onnx-int8": "onnx"}
_FEW_ROWS = 10  # of validation: an F1 of fewer says little


@dataclass(frozen=True)
class ModelCard:
    """What a card tells.

    Attributes:
        format: of the export.
        kind: of the student.
        classes: class names in column order.
        recipe: how the encoder was trained; None for another kind of student.
        base: hub name of the pretrained weights; None where they are not pgkd's.
        parity: how the export compares with the student.
        config: of the run, as plain data.
        rows: how many rows of training and validation there were, and texts of the teacher.
        calls: of the run to the teacher, as `summed` tells them.
        before: metrics of round 0 on the rows that judge rounds, or None where the run did not end.
        after: metrics of the student, or None.
        label_issues: rows whose label is doubtful.
    """

    format: Format
    kind: str
    classes: tuple[str, ...]
    recipe: str | None
    base: str | None
    parity: Parity
    config: dict[str, Any]
    rows: dict[str, int]
    calls: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    label_issues: int

    @classmethod
    def of(
        cls, run: RunFolder, student: Student, name: Format, parity: Parity, which: str = "best"
    ) -> ModelCard:
        """The card of an export of a student of the run."""
        from pgkd.tasks.classification.students.encoder import EncoderStudent

        config = run.config()
        task = run.read_json("task.json")
        before, after = _metrics(run, which)
        weights = {
            "encoder": config.student.encoder,
            "static": config.student.embeddings,
        }.get(student.kind)
        known = find(weights) if weights else None
        with run.ledger_to_read() as ledger:
            calls = summed(ledger.calls())
        return cls(
            format=name,
            kind=student.kind,
            classes=student.classes,
            recipe=student.recipe if isinstance(student, EncoderStudent) else None,
            base=known.hub if known else None,
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
            "# A text classifier, distilled with pgkd",
            f"{len(self.classes)} classes: {', '.join(map(plain, self.classes))}.",
            "## Use",
            self._use(),
            "## Data and teacher",
            *self._sources(),
            "## Metrics",
            *self._figures(),
            "## The export",
            self._export(),
            "## Limits",
            "\n".join(f"- {limit}" for limit in self._limits()),
        )
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        """The YAML that the Hugging Face hub reads."""
        import yaml

        data: dict[str, Any] = {
            "pipeline_tag": "text-classification",
            "tags": ["pgkd", "text-classification", "knowledge-distillation"],
        }
        if self.format in _LIBRARIES:
            data["library_name"] = _LIBRARIES[self.format]
        if self.base:
            data["base_model"] = self.base
        if self.after:
            metrics = [
                {"type": kind, "value": self.after[name], "name": _MEASURES[name]}
                for name, kind in (("accuracy", "accuracy"), ("macro_f1", "f1"))
            ]
            result = {
                "task": {"type": "text-classification"},
                "dataset": {"name": f"{self._judging} rows of the run", "type": "private"},
                "metrics": metrics,
            }
            data["model-index"] = [{"name": "pgkd student", "results": [result]}]
        return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"

    @property
    def _judging(self) -> str:
        """Which rows judged the rounds."""
        return "validation" if self.rows["validation"] else "cross-validated labelled"

    def _use(self) -> str:
        lines: tuple[str, ...]
        if self.format == "huggingface":
            lines = (
                "from transformers import pipeline",
                "",
                'classify = pipeline("text-classification", "FOLDER")',
                'classify(["a text", "another"], truncation=True)',
            )
        else:
            lines = ("import pgkd", "", 'pgkd.load("FOLDER").predict(["a text", "another"])')
        return "\n".join(("```python", *lines, "```"))

    def _sources(self) -> Iterable[str]:
        teacher, student = self.config["teacher"], self.config["student"]
        yield (
            f"Student: {self.kind}"
            + (f", {_named(student['encoder'])}, {self.recipe}" if self.recipe else "")
            + f". {self.rows['training']} labelled rows to train on"
            + (f", {self.rows['validation']} to validate" if self.rows["validation"] else "")
            + f"; {self.rows['synthetic']} texts of a teacher were kept."
        )
        data = self.config["data"]["train"]
        if data:
            yield f"Rows: {plain(Path(data).name)}."
        if not self.calls["calls"]:
            yield "No teacher was asked."
            return
        model = _named(teacher["model"]) if teacher["model"] else "its default model"
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
        overall = [
            (title, f"{self.before[name]:.3f}", f"{self.after[name]:.3f}")
            for name, title in _MEASURES.items()
        ]
        yield _table(("", "round 0", "accepted"), overall)
        each = [
            (
                plain(c["name"]),
                *(f"{c[m]:.2f}" for m in ("precision", "recall", "f1")),
                c["support"],
            )
            for c in self.after["per_class"]
        ]
        yield _table(("class", "precision", "recall", "F1", "rows"), each)

    def _export(self) -> str:
        p = self.parity
        return (
            f"Format {self.format}. On {p.n} validation texts {p.same:.2%} have the student's "
            f"answer; accuracy {p.accuracy:.4f}, the student's "
            f"{p.student_accuracy:.4f}; the largest difference of a probability is "
            f"{p.difference:.1e}."
        )

    def _limits(self) -> Iterable[str]:
        yield (
            f"The {self._judging} rows chose the round that was kept, so their figures are a "
            "little hopeful. `pgkd evaluate` judges on other rows than the run's own."
        )
        yield "It answers with one of its classes, whatever the text is."
        if self.kind != "linear":
            yield f"It reads {self.config['student']['max_length']} tokens of a text, and no more."
        if self.rows["synthetic"]:
            yield "Part of what it learned was written by a language model, with its biases."
        if self.label_issues:
            yield f"{self.label_issues} times a label of the rows was doubted (label_issues.jsonl)."
        if self.after is None:
            return
        few = [c for c in self.after["per_class"] if c["support"] < _FEW_ROWS]
        if few:
            names = ", ".join(plain(c["name"]) for c in few)
            yield f"Fewer than {_FEW_ROWS} {self._judging} rows, so hardly judged: {names}."
        pairs = sorted(self.after["confused"], key=lambda c: -int(c["rows"]))[:5]
        if pairs:
            told = "; ".join(
                f"{plain(c['gold'])} taken for {plain(c['predicted'])} ({c['rows']})" for c in pairs
            )
            yield f"Most confused: {told}."


def plain(text: str) -> str:
    """An untrusted text as Markdown shows it letter by letter: no markup, no link, one line."""
    escaped = _CONTROL.sub(" ", text).strip().translate(_MARKUP)
    return escaped.replace("\\&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def _named(model: str) -> str:
    """The name of a model; of a path its last part, for where it lay concerns nobody."""
    return plain(Path(model).name if Path(model).exists() or Path(model).is_absolute() else model)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _metrics(run: RunFolder, which: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Validation metrics of round 0 and of the student; None where they are not known."""
    try:
        result = run.read_json("result.json")
    except RunError:
        return None, None  # the run is still going on, or was cut off
    rounds = {r["round"]: r["validation"] for r in result["rounds"]}
    numbers = {"first": 0, "best": result["best"], "last": max(rounds, default=0)}
    if which == "reviewed":
        return rounds.get(0), run.read_json("reviewed.json")["after"]
    return rounds.get(0), rounds.get(numbers.get(which, -1))
