"""Students of a run, trained again: what was chosen in the run stays, and no teacher is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.runs.review.applying import applied
from pgkd.runs.review.journal import Reviews
from pgkd.tasks.classification.assembly import Known, asking_of, described, folds_of
from pgkd.tasks.classification.feedback.class_list import class_texts
from pgkd.tasks.classification.guide import ClassificationGuide
from pgkd.tasks.classification.prompts.glossary import Glossary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.config import Config
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.students.base import Student


def repeated(run: RunFolder, which: str, times: int) -> Iterator[Student]:
    """Train a student of a run again, on the same rows and texts with other seeds.

    Two such students differ as much as the run's own would have by chance. Nothing is yielded where
    training does not depend on a seed, as that of a head on frozen features.

    Args:
        run: a finished run.
        which: ``"first"`` or ``"best"``.
        times: students.
    """
    student, config, task = run.student(which), run.config(), run.task()
    number = run.read_json("result.json")["best"] if which == "best" else 0
    texts = [text for text in run.kept() if text.origin and text.origin.round <= number]
    texts = applied(texts, Reviews(run.path).pinned(number))
    for seed in range(config.seed + 1, config.seed + 1 + times):
        again = student.reseeded(seed)
        if again is None:
            return
        yield guide_again(run, config, task, again, retunes=False).train(texts)


def guide_again(
    run: RunFolder, config: Config, task: Task, student: Student, *, retunes: bool = True
) -> ClassificationGuide:
    """The guide of the run's rounds, on other rows. What was chosen before round 0 stays."""
    folds = folds_of(config, task)
    used = _class_list_was_used(run)
    return ClassificationGuide(
        task,
        student.clone(),
        asking_of(config, task, folds, Known(Glossary, lambda: False)),  # nobody is asked
        folds=folds,
        seed=config.seed,
        weights=lambda: (_written_weight(run),),
        labelled_weight=lambda: _labelled_weight(run),
        class_list=class_texts(described(config, task.taxonomy)) if used else (),
        retunes=retunes,
    )


def _class_list_was_used(run: RunFolder) -> bool:
    tried = list(run.events("class list tried"))
    return bool(tried) and bool(tried[-1]["used"])


def _written_weight(run: RunFolder) -> float:
    """What synthetic texts weighed in the run's best student."""
    told = [line.get("written_weight") for line in run.events("round ended") if line["keep"]]
    return next((weight for weight in reversed(told) if weight is not None), 1.0)


def _labelled_weight(run: RunFolder) -> float:
    """What texts of the pool weighed in the run, by how often the teacher agreed with rows."""
    told = [line.get("labelled_weight") for line in run.events("round ended")]
    return next((weight for weight in reversed(told) if weight is not None), 1.0)
