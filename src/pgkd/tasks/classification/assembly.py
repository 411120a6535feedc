"""From a config and a data set to the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pgkd.curation import Curator
from pgkd.runs.review import Reviews, applied
from pgkd.tasks.classification.events import (
    DataDescribed,
    GlossaryWritten,
    LabelNamesTried,
    PoolRead,
    StudentTuned,
    TeacherExamined,
)
from pgkd.tasks.classification.feedback.acquisition import (
    AcquisitionSchedule,
    GuidedChoice,
    LabelPrompts,
    PoolLearner,
    RandomChoice,
    Spent,
)
from pgkd.tasks.classification.feedback.cross_validation import class_texts, try_label_names
from pgkd.tasks.classification.feedback.examination import Examiner, SelfVerification
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.prompts.glossary import (
    Glossary,
    description_request,
    glossary_from,
    glossary_requests,
    read_glossary,
)
from pgkd.tasks.classification.prompts.paper import PaperPrompts
from pgkd.tasks.classification.prompts.parsing import masks_in, read_description, read_json
from pgkd.tasks.classification.prompts.targeted import TargetedPrompts
from pgkd.tasks.classification.prompts.writing import GenerationSettings
from pgkd.tasks.classification.synthesizer import ClassificationSynthesizer
from pgkd.tasks.common.folds import stratified_folds
from pgkd.tasks.common.samples import LengthTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.config import Config
    from pgkd.events import Hooks
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Learner
    from pgkd.tasks.classification.config import ClassificationConfig
    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.feedback.acquisition import Choice
    from pgkd.tasks.classification.learner import PromptStrategy
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Teacher

_TEXTS_A_CLASS = 20
_TEXTS = 640  # of a run at least; half of it for a teacher that writes four in a request
PAPER_SAMPLES = 32


def make_student_from(config: Config, classes: Sequence[str]) -> Student:
    """The unfitted student that a config describes."""
    student: Student = config.student.make(classes, config.seed)
    return student


@dataclass(frozen=True)
class LearnerParts:
    """What a kind of task that stands on classification has classes of its own for."""

    learner: type[ClassificationLearner] = ClassificationLearner
    prompts: type[TargetedPrompts] = TargetedPrompts
    label_names: Callable[[Taxonomy], Sequence[LabelledText]] = class_texts


_PARTS = LearnerParts()


def make_curator(config: ClassificationConfig, dataset: TextDataset) -> Curator:
    """The curator of a task's written texts."""
    curation = config.curation
    return Curator(
        dataset.train,
        dataset.validation,
        near_duplicate=curation.near_duplicate,
        max_words=curation.max_words,
    )


def make_self_verification(
    config: ClassificationConfig, dataset: TextDataset, teacher: Teacher
) -> SelfVerification | None:
    """How the teacher reads its texts once more; None where it does not."""
    if not config.curation.self_verification:
        return None
    return SelfVerification(teacher, dataset.taxonomy, dataset.train, seed=config.seed)


def make_synthesizer(
    config: ClassificationConfig,
    dataset: TextDataset,
    teacher: Teacher,
    run: RunFolder,
    hooks: Hooks,
) -> ClassificationSynthesizer:
    """Who asks the teacher for texts and labels."""
    return ClassificationSynthesizer(
        teacher, make_curator(config, dataset), run, hooks,
        repairs=config.curation.repairs, taxonomy=dataset.taxonomy,
        self_verification=make_self_verification(config, dataset, teacher),
    )  # fmt: skip


def make_learner(
    config: ClassificationConfig,
    dataset: TextDataset,
    synthesizer: ClassificationSynthesizer,
    run: RunFolder,
    hooks: Hooks,
    parts: LearnerParts = _PARTS,
) -> Learner:
    """The learner of a run: what is decided once, before round 0, is decided here.

    The teacher is examined first: a wrong key shows before a student is trained. Then come the
    student's hyper-parameters, the folds, and whether label names help.
    """
    folds = make_folds(config, dataset)
    questions = LabelPrompts(dataset.taxonomy, scored=synthesizer.scored, seed=config.seed)
    examiner = Examiner(
        dataset, synthesizer, questions, lambda exam: hooks.on_event(TeacherExamined(exam)),
        n_rows=config.exam, seed=config.seed,
    )  # fmt: skip
    synthesizer.examiner = examiner
    taxonomy = described(config, dataset.taxonomy)
    examiner.describe(taxonomy)
    if config.rounds:
        examiner.examine_labels()
    texts, labels = [row.text for row in dataset.train], [row.label for row in dataset.train]
    student = make_student_from(config, dataset.taxonomy.names).tune(
        texts, labels, seed=config.seed
    )
    if student.tuning:
        hooks.on_event(StudentTuned(student.tuning))
    label_names: Sequence[LabelledText] = ()
    if config.label_names:
        named = parts.label_names(taxonomy)
        trial = try_label_names(student, dataset.train, taxonomy, folds, named)
        hooks.on_event(LabelNamesTried(trial))
        label_names = trial.texts
    weight, given = config.synthetic_weight, config.pool.weight
    known = _known(config, dataset, synthesizer, run, hooks)
    learner = parts.learner(
        dataset,
        student,
        make_strategy(config, dataset, folds, known, parts),
        folds=folds,
        seed=config.seed,
        weights=lambda: examiner.exam.weights if weight == "auto" else (weight,),
        labelled_weight=lambda: examiner.worth if given == "auto" else given,
        label_names=label_names,
        large_prompts=config.guidance.mode == "paper",
        margin=lambda: synthesizer.margin,
        on_event=hooks.on_event,
    )
    if not dataset.pool.texts:
        return learner
    hooks.on_event(PoolRead(dataset.pool))
    share = config.pool.share
    return PoolLearner(
        learner, dataset, questions,
        make_choice(config),
        AcquisitionSchedule(None if share == "auto" else share, partial(_spent, run)),
        samples=config.pool.samples,
    )  # fmt: skip


def described(config: ClassificationConfig, taxonomy: Taxonomy) -> Taxonomy:
    """The classes, with the lines of the glossary that the user gives."""
    given = config.guidance.glossary
    if not isinstance(given, Path):
        return taxonomy
    return taxonomy.described(read_glossary(given, taxonomy).classes)


def make_folds(config: ClassificationConfig, dataset: TextDataset) -> NDArray[np.int64]:
    """The fold of every training row, shape (n_train,)."""
    labels = [row.label for row in dataset.train]
    return stratified_folds(labels, min(config.guidance.folds, len(labels)), config.seed)


@dataclass(frozen=True)
class PromptContext:
    """What is known of a task and its teacher when texts are about to be asked for.

    Attributes:
        glossary: what the texts are and what each class covers; the teacher is asked at most once.
        packs: whether the teacher is asked for texts of several classes in one request.
    """

    glossary: Callable[[], Glossary]
    packs: Callable[[], bool]


def make_strategy(
    config: ClassificationConfig,
    dataset: TextDataset,
    folds: NDArray[np.int64],
    known: PromptContext,
    parts: LearnerParts = _PARTS,
) -> PromptStrategy:
    """The prompt strategy that a config describes.

    Args:
        config: the settings of the run.
        dataset: the classes and the rows.
        folds: `make_folds` it.
        known: called when the teacher is about to be asked.
        parts: of the kind of task.
    """
    guidance, writing = config.guidance, make_generation_settings(config, dataset)
    samples = None if config.samples == "auto" else config.samples
    if guidance.mode == "paper":
        return PaperPrompts(
            dataset.taxonomy, dataset.train, writing,
            instructions=guidance.instructions, samples=samples or PAPER_SAMPLES,
        )  # fmt: skip
    per_request = guidance.texts_per_request
    return parts.prompts(
        dataset.taxonomy, dataset.train, folds, writing,
        embed=make_student_from(config, dataset.taxonomy.names).features,
        glossary=known.glossary, packs=known.packs, allocation=guidance.allocation,
        budget=partial(count_texts, config, len(dataset.taxonomy)), rounds=config.rounds,
        samples=samples, per_request=None if per_request == "auto" else per_request,
    )  # fmt: skip


def count_texts(config: ClassificationConfig, n_classes: int, packs: bool) -> int:
    """How many texts all rounds ask for.

    Args:
        config: the settings of the run.
        n_classes: classes of the dataset.
        packs: whether the teacher writes many texts in one request.
    """
    if config.samples != "auto":
        return config.samples * config.rounds
    if config.texts_per_class != "auto":
        return config.texts_per_class * n_classes
    return max(_TEXTS_A_CLASS * n_classes, _TEXTS) if packs else _TEXTS // 2


def make_choice(config: ClassificationConfig) -> Choice:
    """The way to choose among the texts of a pool that a config describes."""
    if config.pool.choice == "random":
        return RandomChoice(config.seed)
    return GuidedChoice(config.seed)


def _spent(run: RunFolder, number: int) -> Spent:
    """What the answered calls of a round have cost, as the ledger says."""
    with run.ledger() as ledger:
        calls = [c for c in ledger.calls() if c.round == number and c.reply is not None]
    return Spent(len(calls), float(sum(c.cost or 0 for c in calls)))


def make_generation_settings(
    config: ClassificationConfig, dataset: TextDataset
) -> GenerationSettings:
    """How long texts are asked for, and how requests are sampled."""
    return GenerationSettings(
        LengthTarget.of([row.text for row in dataset.train]),
        temperature=config.teacher.temperature,
        top_p=config.teacher.top_p,
        max_tokens=config.teacher.max_tokens,
        seed=config.seed,
        masks=masks_in(row.text for row in dataset.train),
    )


def _known(
    config: ClassificationConfig,
    dataset: TextDataset,
    synthesizer: ClassificationSynthesizer,
    run: RunFolder,
    hooks: Hooks,
) -> PromptContext:
    """What the user says, or the teacher: asked for when first needed."""
    given, instructions = config.guidance.glossary, config.guidance.instructions

    def packs() -> bool:
        assert synthesizer.examiner is not None  # `make_learner` has made it
        return synthesizer.examiner.exam.packs

    @cache
    def glossary() -> Glossary:
        if isinstance(given, Path):
            return read_glossary(given, dataset.taxonomy)
        if given == "off":
            return Glossary(instructions)
        assert synthesizer.examiner is not None
        if not packs():  # a small teacher says what the texts are, and no more
            if instructions:
                return Glossary(instructions)
            request = description_request(dataset.taxonomy, dataset.train, seed=config.seed)
            reply = synthesizer.ask("describe", request)
            description = read_description(reply.text) if reply else ""
            hooks.on_event(DataDescribed(description))
            return Glossary(description)
        requests = glossary_requests(
            dataset.taxonomy, dataset.train, instructions, seed=config.seed
        )
        replies = [synthesizer.ask(f"glossary-{i:04d}", r) for i, r in enumerate(requests, start=1)]
        answers = [read_json(reply.text) if reply else None for reply in replies]
        found = glossary_from(answers, dataset.taxonomy, instructions)
        synthesizer.examiner.describe(dataset.taxonomy.described(found.classes))
        run.write_text("glossary.yaml", found.to_yaml())
        hooks.on_event(GlossaryWritten(found))
        return found

    return PromptContext(glossary, packs)


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
    run: RunFolder,
    config: ClassificationConfig,
    dataset: TextDataset,
    student: Student,
    *,
    retunes: bool = True,
    parts: LearnerParts = _PARTS,
) -> ClassificationLearner:
    """The learner of the run's rounds, on other rows. What was chosen before round 0 stays."""
    folds = make_folds(config, dataset)
    used = _label_names_was_used(run)
    nobody = PromptContext(Glossary, lambda: False)
    return parts.learner(
        dataset,
        student.clone(),
        make_strategy(config, dataset, folds, nobody, parts),
        folds=folds,
        seed=config.seed,
        weights=lambda: (_synthetic_weight(run),),
        labelled_weight=lambda: _labelled_weight(run),
        label_names=parts.label_names(described(config, dataset.taxonomy)) if used else (),
        retunes=retunes,
    )


def _label_names_was_used(run: RunFolder) -> bool:
    tried = list(run.events("label names tried"))
    return bool(tried) and bool(tried[-1]["used"])


def _synthetic_weight(run: RunFolder) -> float:
    """What synthetic texts weighed in the run's best student."""
    told = [line.get("synthetic_weight") for line in run.events("round ended") if line["keep"]]
    return next((weight for weight in reversed(told) if weight is not None), 1.0)


def _labelled_weight(run: RunFolder) -> float:
    """What texts of the pool weighed in the run, by how often the teacher agreed with rows."""
    told = [line.get("labelled_weight") for line in run.events("round ended")]
    return next((weight for weight in reversed(told) if weight is not None), 1.0)
