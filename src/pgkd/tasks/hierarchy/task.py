"""Hierarchical classification: classification over the leaves of a tree, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pgkd.errors import StudentError
from pgkd.task import Answer, CardText
from pgkd.tasks.classification.data.dataset import TextDataset
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.exporting import Predictor
from pgkd.tasks.classification.task import Classification
from pgkd.tasks.common.saving import read_description
from pgkd.tasks.hierarchy import data as reading
from pgkd.tasks.hierarchy.config import HierarchyConfig
from pgkd.tasks.hierarchy.tree import Tree, count_answers, measure_paths


@dataclass(frozen=True)
class HierarchyPredictor:
    """An exported student: what classification loads, and the threshold of `Tree.answers`."""

    model: Predictor
    classes: tuple[str, ...]
    threshold: float

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self.classes)

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `Tree.answers`."""
        return self._tree.answers(self.model.predict_proba(inputs), self.threshold)


class Hierarchy(Classification):
    """A leaf, or an inner node, of a tree."""

    name = "hierarchy"
    config = HierarchyConfig

    @cached_property
    def forms(self) -> Mapping[str, Any]:  # type: ignore[override]
        """See `Task.forms`; an evaluation has the figures of `figures`."""
        return {name: x for name, x in super().forms.items() if name != "evaluation.json"}

    def _load_rows(self, config: Any, train: Path) -> TextDataset:
        return reading.load_paths(config)

    def _make_rows(
        self, config: Any, inputs: Any, outputs: Any, classes: Any, validation: Any
    ) -> TextDataset:
        return reading.make_paths(config, inputs, outputs, classes, validation)

    def _parts(self) -> Any:
        from pgkd.tasks.hierarchy.learner import PARTS

        return PARTS

    def load_student(self, folder: Path) -> Any:
        """See `Task.load_student`."""
        from pgkd.tasks.hierarchy.students import STUDENTS

        if (kind := read_description(folder).get("kind")) not in STUDENTS:
            raise StudentError(f"{folder} is a student '{kind}', which no hierarchy has.")
        return STUDENTS[str(kind)].load(folder)

    def read(self, path: Path, config: Any) -> list[LabelledText]:
        """See `Task.read`."""
        return reading.read_paths(path, config.data)

    def figures(self, answers: Sequence[Answer], examples: Sequence[Any]) -> dict[str, float]:
        """See `measure_paths`."""
        return measure_paths(count_answers(answers, [row.label for row in examples]))

    def formats(self, student: Any) -> tuple[str, ...]:
        """See `Task.formats`."""
        return tuple(dict.fromkeys((*super().formats(student), "plain")))

    def export(self, student: Any, dataset: Any, format: str, folder: Path) -> dict[str, Any]:
        """See `Task.export`."""
        details = super().export(student, dataset, format, folder)
        return {**details, "inner_below": student.threshold}

    def load_export(self, folder: Path, format: str, details: Any, threads: int | None) -> Any:
        """See `Task.load_export`."""
        if format == "plain":
            return self.load_student(folder)
        model = super().load_export(folder, format, details, threads)
        return HierarchyPredictor(model, model.classes, float(details["inner_below"]))

    def card(self, student: Any, config: Any, format: str, record: Any) -> CardText:
        """See `Task.card`."""
        card = super().card(student, config, format, record)
        if format == "huggingface":
            return card
        answers = 'pgkd.load("FOLDER").answers(["a text", "another"])'
        return replace(card, use=("import pgkd", "", answers))

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there is a column of texts, and one whose labels are paths."""
        labels = [str(row.get("label")) for row in rows]
        separator = reading.find_separator(labels)
        with_levels = sum(separator in label for label in labels)
        return "text" in columns and separator.strip() != "|" and 2 * with_levels > len(labels)
