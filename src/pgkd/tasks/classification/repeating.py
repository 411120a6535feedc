"""Students of a run, trained again: what was chosen in the run stays, and no teacher is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.runs.review import Reviews, applied
from pgkd.tasks.classification.assembly import Known, described, folds_of, strategy_of
from pgkd.tasks.classification.feedback.class_list import class_texts
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.prompts.glossary import Glossary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.config import Config
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.dataset import Dataset
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
    student, config, dataset = run.student(which), run.config(), run.dataset()
    number = run.read_json("result.json")["best"] if which == "best" else 0
    texts = [text for text in run.synthetic() if text.origin and text.origin.round <= number]
    texts = applied(texts, Reviews(run.path).pinned(number))
    for seed in range(config.seed + 1, config.seed + 1 + times):
        again = student.reseeded(seed)
        if again is None:
            return
        yield learner_again(run, config, dataset, again, retunes=False).train(texts)


def learner_again(
    run: RunFolder, config: Config, dataset: Dataset, student: Student, *, retunes: bool = True
) -> ClassificationLearner:
    """The learner of the run's rounds, on other rows. What was chosen before round 0 stays."""
    folds = folds_of(config, dataset)
    used = _class_list_was_used(run)
    return ClassificationLearner(
        dataset,
        student.clone(),
        strategy_of(config, dataset, folds, Known(Glossary, lambda: False)),  # nobody is asked
        folds=folds,
        seed=config.seed,
        weights=lambda: (_written_weight(run),),
        labelled_weight=lambda: _labelled_weight(run),
        class_list=class_texts(described(config, dataset.taxonomy)) if used else (),
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
