"""Out-of-fold predictions for the user's own rows, aware of echoes.

A student fits its few hundred training rows almost perfectly, so its mistakes on them say little.
Out-of-fold predictions show the mistakes it would make on new rows. Synthetic texts can echo the
rows that the teacher was shown; a row held out therefore takes along its echoes, else the loss of a
fold flatters the round.

What a synthetic text weighs, against a labelled row's 1.

Two things decide. One weight for all texts, chosen by cross-validation on the labelled rows
(`pgkd.student.head.tune_head`): a strong teacher's texts are worth nearly as much as rows, of a
small one's a fifth and more miss their class. And for each text whether the others agree with it:
a head that was trained without it tells how likely its class is, against the likeliest one. That
takes most of the harm out of wrong texts and costs right ones nothing (docs/results.md); it is the
self-confidence of confident learning (Northcutt et al., JAIR 2021), used as a weight.

The class list as training texts: it says what a class is about, and costs no call.

SetFit trains on templated class names where there are no rows at all (Tunstall et al., 2022). They
are worth as much where there are few: with 100 rows of 77 classes more than the teacher's first
300 texts. Where names say nothing (``class_17``), cross-validation finds it out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.evaluation import paired_change
from pgkd.tasks.classification.data.examples import LabelledText, label_indices
from pgkd.tasks.classification.evaluation.metrics import row_log_losses
from pgkd.tasks.common.folds import stratified_folds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelClass, Taxonomy
    from pgkd.tasks.classification.students.base import Student

_PAIRS = 20  # of one class, to tell how near two of them are that have not seen each other
_NEARER = 0.95
_SURVIVING_SHARE = 0.5  # of a class's texts: with fewer in its fold, a row cannot judge them


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of students that saw neither the row nor a text written from a look at it.

    Attributes:
        probabilities: shape (n_real, n_classes); uniform where a fold left one class to train on.
        testable: shape (n_real,). False where the fold could not show what the full student would
            do: no row and no text of the class was left, or over half of its texts had to go
            along with the rows held out. Such rows see the harm of a text and never its use.
    """

    probabilities: NDArray[np.float64]
    testable: NDArray[np.bool_]


def out_of_fold(
    student: Student,
    real: Sequence[LabelledText],
    synthetic: Sequence[LabelledText],
    folds: NDArray[np.int64],
    *,
    synthetic_weight: float = 1.0,
    labelled_weight: float = 1.0,
    label_names: Sequence[LabelledText] = (),
    agreement: Mapping[str, float] | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> OutOfFold:
    """Cross-validate a student over the real rows.

    Args:
        student: its probe is trained, once a fold.
        real: n_real rows of the user.
        synthetic: texts of the teacher; they train and are never predicted.
        folds: shape (n_real,), the fold that holds out each row; the same in every round, so that
            rounds can be compared row by row.
        synthetic_weight: sample weight of a written text; a real row weighs 1.
        labelled_weight: of a text of the pool that has its label from the teacher.
        label_names: the class list as texts; they train in every fold and weigh 1.
        agreement: see `row_weights`.
        hidden: shape (n_real, n_written); a fold that holds out the row may not train on the text;
            default: the `echoes`.
    """
    if hidden is None:
        hidden = echoes(student, real, synthetic)
    texts_of = Counter(example.label for example in synthetic)
    probabilities = np.full((len(real), len(student.classes)), 1 / len(student.classes))
    testable = np.zeros(len(real), dtype=bool)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold).tolist()
        training = [real[i] for i in np.flatnonzero(folds != fold).tolist()]
        texts = [synthetic[j] for j in np.flatnonzero(~hidden[held].any(axis=0)).tolist()]
        rows = [*training, *label_names, *texts]
        known = {row.label for row in rows}
        if len(known) < 2:
            continue
        weights = row_weights(rows, synthetic_weight, labelled_weight, agreement)
        seen = Counter(row.label for row in training)
        fitted = student.proxy().fit(
            [r.text for r in rows], [r.label for r in rows], weights,
            np.array([seen[name] for name in student.classes], dtype=np.float64),
        )  # fmt: skip
        probabilities[held] = fitted.predict_proba([real[i].text for i in held])
        left = Counter(text.label for text in texts)
        for i in held:
            label = real[i].label
            enough = left[label] >= _SURVIVING_SHARE * texts_of[label]
            testable[i] = label in known and enough
    return OutOfFold(probabilities, testable)


def echoes(
    student: Student, real: Sequence[LabelledText], texts: Sequence[LabelledText]
) -> NDArray[np.bool_]:
    """Which texts repeat a row of the user that their prompt showed, shape (n_real, n_texts).

    Such a text is nearer to the row than all but one in twenty pairs of the same class where
    neither has seen the other. Without features of texts to compare, every text counts as an echo
    of every row of its class that its prompt showed.

    Args:
        student: gives the features.
        real: rows of the user.
        texts: synthetic texts, or texts of the pool with the teacher's label.
    """
    index = {row.id: i for i, row in enumerate(real)}
    shown = np.zeros((len(real), len(texts)), dtype=bool)
    for j, text in enumerate(texts):
        for parent in text.origin.parents if text.origin else ():
            if parent in index:
                shown[index[parent], j] = True
    if not shown.any():
        return shown
    features = student.proxy().features([row.text for row in (*real, *texts)])
    if features is None:
        return shown
    rows, others = features[: len(real)], features[len(real) :]
    labels = np.array([row.label for row in real], dtype=object)
    same = labels[:, None] == np.array([text.label for text in texts], dtype=object)[None, :]
    similar = rows @ others.T
    pairs = np.triu(labels[:, None] == labels[None, :], k=1)
    unrelated = np.concatenate([similar[same & ~shown], (rows @ rows.T)[pairs]])
    if len(unrelated) < _PAIRS:
        return shown
    return np.asarray(shown & (similar > np.quantile(unrelated, _NEARER)))


_LEAST_SURE = 0.01  # a weight of nothing would take the class out of the head
_LEAST_AGREEMENT = 0.1
_FOLDS = 5
_OTHERS = 3  # rows and texts of its class: with fewer, nothing can agree with a text


def row_weights(
    rows: Sequence[LabelledText],
    synthetic_weight: float,
    labelled_weight: float = 1.0,
    agreement: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Sample weights, shape (n,): 1 for the user's rows, the class list, and what was reviewed.

    Other weights are taken times the teacher's confidence in the label, where it tells one: when it
    labelled the text, or when it read its own blind. What is worth a label is hard for it, too.

    Args:
        rows: n rows, texts and labelled texts.
        synthetic_weight: of a text that a teacher wrote; low, because a fifth of a small teacher's
            texts miss their class. A human-verified one does not.
        labelled_weight: of a text of the pool that a teacher labelled.
        agreement: a factor of each written text's weight, by its id; 1 where it has none.
    """
    agreement = agreement or {}

    def weight(row: LabelledText) -> float:
        if row.origin is None or row.human_verified:
            return 1.0
        sure = 1.0 if row.origin.confidence is None else row.origin.confidence
        given = labelled_weight if row.origin.labelled else synthetic_weight
        return given * max(sure, _LEAST_SURE) * agreement.get(row.id, 1.0)

    return np.array([weight(row) for row in rows])


def label_agreement(
    student: Student,
    rows: Sequence[LabelledText],
    texts: Sequence[LabelledText],
    weight: float,
    *,
    seed: int,
) -> dict[str, float]:
    """How far heads that were trained without a text agree with its class, by the text's id.

    The square root of the probability of its class over that of the likeliest one, at least .1.
    A text of a class that has next to nothing else is not judged: it gets 1.

    Args:
        student: its probe is trained, once a fold.
        rows: what weighs 1: labelled rows, and label names where they train.
        texts: synthetic texts.
        weight: of a text while the others are judged.
        seed: of the folds.
    """
    if len({text.label for text in texts}) < 2:
        return {}
    classes = student.classes
    alike = np.ones(len(classes))  # no class is likelier for being frequent
    others = Counter(row.label for row in (*rows, *texts))
    folds = stratified_folds([text.label for text in texts], min(_FOLDS, len(texts)), seed)
    found: dict[str, float] = {}
    for fold in np.unique(folds):
        held = [texts[i] for i in np.flatnonzero(folds == fold).tolist()]
        training = [*rows, *(texts[i] for i in np.flatnonzero(folds != fold).tolist())]
        weights = np.full(len(training), weight)
        weights[: len(rows)] = 1.0
        head = student.proxy().fit(
            [r.text for r in training], [r.label for r in training], weights, alike
        )
        logits = head.logits([text.text for text in held])
        own = logits[np.arange(len(held)), label_indices((text.label for text in held), classes)]
        ratio = np.exp((own - logits.max(axis=1)) / 2)
        for text, value in zip(held, ratio, strict=True):
            judged = others[text.label] > _OTHERS
            found[text.id] = max(float(value), _LEAST_AGREEMENT) if judged else 1.0
    return found


@dataclass(frozen=True, slots=True)
class LabelNamesTrial:
    """Whether the class list helps a student, by cross-validation over the real rows.

    Attributes:
        texts: one text a class, to train on like a real row; none where they do not help.
        change: mean change of the log loss that they bring, in nats.
        standard_error: of that change, paired over rows.
    """

    texts: tuple[LabelledText, ...]
    change: float
    standard_error: float


def class_texts(taxonomy: Iterable[LabelClass]) -> tuple[LabelledText, ...]:
    """One text a class: its name as people say it, and its description where it has one."""
    return tuple(
        LabelledText(
            f"{c.readable}: {c.description}" if c.description else c.readable,
            c.name,
            f"class:{c.name}",
        )
        for c in taxonomy
    )


def try_label_names(
    student: Student,
    real: Sequence[LabelledText],
    taxonomy: Taxonomy,
    folds: NDArray[np.int64],
    texts: Sequence[LabelledText] | None = None,
) -> LabelNamesTrial:
    """Cross-validate the student with and without the class list.

    It is used where it lowers the log loss by more than one standard error: else the simpler
    student is the better guess (Breiman et al., CART, 1984).

    Args:
        student: its probe is trained, twice a fold.
        real: n_real rows of the user.
        taxonomy: the classes.
        folds: shape (n_real,), the fold that holds out each row.
        texts: the class list as texts; default: `class_texts`.
    """
    texts = class_texts(taxonomy) if texts is None else tuple(texts)
    gold = np.array([taxonomy.index[row.label] for row in real], dtype=np.int64)

    def losses(given: Sequence[LabelledText]) -> NDArray[np.float64]:
        found = out_of_fold(student, real, [], folds, label_names=given)
        return row_log_losses(found.probabilities, gold)

    change, error = paired_change(losses(texts), losses(()))
    return LabelNamesTrial(texts if change < -error else (), change, error)
