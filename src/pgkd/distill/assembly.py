"""From a config and a task to the parts of a run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pgkd.curation import Curator
from pgkd.guidance import (
    ClassificationGuide,
    LengthTarget,
    PaperAsking,
    TargetedAsking,
    Writing,
    description_request,
    try_class_list,
)
from pgkd.student import make_student, student_class
from pgkd.task import stratified_folds
from pgkd.teacher import PatientTeacher, make_teacher, teacher_maker
from pgkd.teacher.account import (
    AccountedTeacher,
    BatchTeacher,
    Limits,
    ReplyCache,
    prices_of,
    replies_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.config import Config
    from pgkd.distill.events import Hooks
    from pgkd.distill.store import RunFolder
    from pgkd.distill.writing import Writer
    from pgkd.guidance import Asking, Guide
    from pgkd.student import Student
    from pgkd.task import Example, Task
    from pgkd.teacher import Teacher
    from pgkd.teacher.account import BatchProgress, Ledger, Prices


def student_of(config: Config, classes: Sequence[str]) -> Student:
    """The unfitted student that a config describes."""
    settings = config.student.arguments_for(student_class(config.student.kind))
    return make_student(config.student.kind, classes, seed=config.seed, **settings)


def teacher_of(config: Config) -> Teacher:
    """The teacher that a config describes.

    Raises:
        ConfigError: there is no such provider, or it lacks a setting that it needs.
    """
    settings = config.teacher.arguments_for(teacher_maker(config.teacher.provider))
    return make_teacher(config.teacher.provider, **settings)


def employed(
    config: Config,
    teacher: Teacher,
    ledger: Ledger,
    on_batch: Callable[[BatchProgress], None] = lambda progress: None,
) -> Teacher:
    """A teacher on the books of a run, within its budget, that retries. Each attempt is booked.

    Args:
        config: the settings of the run.
        teacher: who is asked.
        ledger: the books.
        on_batch: hears how far batches of requests are, where there are any.

    Raises:
        ConfigError: a budget in US dollars, and no price is known; or batches are wanted, and the
            teacher takes none.
    """
    limits = Limits(config.budget.calls, config.budget.tokens, config.budget.usd)
    mode = config.teacher.cache
    if mode == "auto":
        mode = "off" if teacher.biller is None else "on"
    cache = ReplyCache(replies_folder(), mode)
    prices = teacher_prices(config, teacher)
    how = config.teacher
    booked: Teacher
    if how.batch or (ledger.open_batches() and teacher.batches() is not None):
        booked = BatchTeacher(
            teacher, ledger, prices=prices, limits=limits, cache=cache,
            submits=how.batch, told=on_batch,
        )  # fmt: skip
    else:
        booked = AccountedTeacher(teacher, ledger, prices=prices, limits=limits, cache=cache)
    retries = 0 if teacher.biller is None else how.retries  # what fails here fails again
    return PatientTeacher(booked, retries=retries, longest=how.longest, concurrency=how.concurrency)


def teacher_prices(config: Config, teacher: Teacher) -> Prices:
    """The prices of a teacher: the config's, else its biller's."""
    how = config.teacher
    return prices_of(teacher.biller, how.price_input, how.price_output, how.price_cached)


def curator_of(config: Config, task: Task) -> Curator:
    """The curator of a task's written texts."""
    curation = config.curation
    return Curator(
        task.train,
        task.validation,
        near_duplicate=curation.near_duplicate,
        max_words=curation.max_words,
    )


def guide_of(config: Config, task: Task, writer: Writer, run: RunFolder, hooks: Hooks) -> Guide:
    """The guide of a task: what is decided once, before round 0, is decided here.

    Those are the student's hyper-parameters, the folds, and whether the class list helps; if it
    does, a student of the rows alone is saved for comparison.
    """
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = student_of(config, task.taxonomy.names).tune(texts, labels, seed=config.seed)
    folds = folds_of(config, task)
    class_list: Sequence[Example] = ()
    if config.class_list:
        trial = try_class_list(student, task.train, task.taxonomy, folds)
        hooks.on_class_list(trial)
        class_list = trial.texts
    if class_list:
        run.save_baseline(student.clone().fit(texts, labels))
    return ClassificationGuide(
        task,
        student,
        asking_of(config, task, folds, _description(config, task, writer)),
        folds=folds,
        written_weight=None if config.written_weight == "auto" else config.written_weight,
        class_list=class_list,
    )


def folds_of(config: Config, task: Task) -> NDArray[np.int64]:
    """The fold of every training row, shape (n_train,)."""
    labels = [row.label for row in task.train]
    return stratified_folds(labels, min(config.guidance.folds, len(labels)), config.seed)


def asking_of(
    config: Config, task: Task, folds: NDArray[np.int64], describe: Callable[[], str]
) -> Asking:
    """The way to ask that a config describes.

    Args:
        config: the settings of the run.
        task: the classes and the rows.
        folds: `folds_of` it.
        describe: what the texts of the task are; called when the teacher is about to be asked.
    """
    guidance, teacher = config.guidance, config.teacher
    writing = Writing(
        LengthTarget.of([row.text for row in task.train]),
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        max_tokens=teacher.max_tokens,
        seed=config.seed,
    )
    if guidance.mode == "paper":
        return PaperAsking(
            task.taxonomy, task.train, writing,
            instructions=guidance.instructions, samples=config.samples,
            few_shot=guidance.few_shot, mined=guidance.mined,
        )  # fmt: skip
    return TargetedAsking(
        task.taxonomy, task.train, folds, writing, describe=describe,
        samples=config.samples, rounds=config.rounds, floor_share=guidance.floor_share,
        per_request=guidance.texts_per_request, shown_examples=guidance.shown_examples,
    )  # fmt: skip


def _description(config: Config, task: Task, writer: Writer) -> Callable[[], str]:
    """What the texts are: the user's words, or the teacher's, asked for when first needed."""
    if config.guidance.instructions or not config.guidance.describe:
        return lambda: config.guidance.instructions
    request = description_request(task.taxonomy, task.train, seed=config.seed)
    return cache(lambda: writer.describe(request))
