"""`PGKDClassifier`: the loop as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pgkd.config import Config
from pgkd.data.cells import name_of, one_column
from pgkd.distiller import Distiller
from pgkd.errors import DataError, StudentError
from pgkd.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.events import Outcome
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Teacher


class PGKDClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier taught by an LLM where it is weak.

    `fit` takes raw texts, so it needs no vectorizer before it and stands alone or last in a
    `Pipeline`. Method: Di Palo et al., EMNLP 2024.

    Args:
        teacher: the name of a provider, such as ``"local"`` or ``"openai"``, or a `Teacher`.
        teacher_model: the model's name, or a GGUF path; None takes the provider's default.
        student: ``"encoder"`` or ``"linear"``.
        encoder: weights of the encoder student.
        rounds: rounds at most; 0 trains the student alone.
        samples: texts asked for a round.
        patience: stop after this many rounds without a better loss.
        mode: ``"targeted"`` or ``"paper"``.
        instructions: what the teacher should know of the task, e.g. who writes the texts to whom.
        class_list: train on the class names too, where cross-validation finds that they help.
        written_weight: weight of a written text, a real row's is 1; ``"auto"`` fits it.
        validation_fraction: share of the rows that judges the rounds.
        classes: all classes, where some have no row in `y`.
        unlabelled: texts that the teacher may be asked to label; None has none.
        on_conflict: ``"error"`` refuses a text that has two labels, ``"drop"`` leaves it out.
        out: run folder to keep; None keeps none, unless `fit` fails after the teacher was paid.
        random_state: seed of everything random; None or a `RandomState` draws one in every `fit`.

    Attributes:
        classes_: shape (n_classes,), the classes in column order: sorted, as the labels were given.
        student_: the trained student.
        outcome_: how the loop ended, round by round.
    """

    classes_: NDArray[Any]
    student_: Student
    outcome_: Outcome

    def __init__(
        self,
        teacher: str | Teacher = "local",
        *,
        teacher_model: str | None = None,
        student: str = "encoder",
        encoder: str = "all-minilm-l6-v2",
        rounds: int = 3,
        samples: int | str = "auto",
        patience: int = 2,
        mode: str = "targeted",
        instructions: str = "",
        class_list: bool = True,
        written_weight: float | str = "auto",
        validation_fraction: float | str = "auto",
        classes: Sequence[Any] | None = None,
        unlabelled: Sequence[str] | None = None,
        on_conflict: str = "error",
        out: str | Path | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.teacher = teacher
        self.teacher_model = teacher_model
        self.student = student
        self.encoder = encoder
        self.rounds = rounds
        self.samples = samples
        self.patience = patience
        self.mode = mode
        self.instructions = instructions
        self.class_list = class_list
        self.written_weight = written_weight
        self.validation_fraction = validation_fraction
        self.classes = classes
        self.unlabelled = unlabelled
        self.on_conflict = on_conflict
        self.out = out
        self.random_state = random_state

    def fit(self, X: Sequence[str] | NDArray[Any], y: Sequence[Any] | NDArray[Any]) -> Self:  # noqa: N803
        """Run the loop.

        Args:
            X: n texts.
            y: n labels, all names or all numbers.

        Raises:
            DataError: lists everything that is wrong with the rows, a missing text among it.
            ConfigError: a parameter is out of bounds.
        """
        texts, labels = one_column(X, "texts"), _labels(y)
        _check_kinds([*labels, *self._given_classes()])
        with _run_folder(self.out) as folder:
            return self._fit_into(folder, texts, labels)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's checks may send: texts, in one dimension."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _given_classes(self) -> list[Any]:
        return [] if self.classes is None else one_column(self.classes, "classes")

    def _seed(self) -> int:
        if isinstance(self.random_state, np.random.RandomState) or self.random_state is None:
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        return self.random_state

    def _fit_into(self, out: Path, texts: Sequence[str], labels: Sequence[Any]) -> Self:
        config = Config.parse(
            {
                "data": {
                    "validation_fraction": self.validation_fraction,
                    "on_conflict": self.on_conflict,
                },
                "student": {"kind": self.student, "encoder": self.encoder},
                "teacher": {"model": self.teacher_model},
                "guidance": {"mode": self.mode, "instructions": self.instructions},
                "class_list": self.class_list,
                "written_weight": self.written_weight,
                "rounds": self.rounds,
                "samples": self.samples,
                "patience": self.patience,
                "seed": self._seed(),
                "out": out,
            }
        )
        distiller = Distiller(config, teacher=self.teacher).fit(
            texts,
            labels,
            classes=None if self.classes is None else self._given_classes(),
            unlabelled=() if self.unlabelled is None else self.unlabelled,
        )
        self.student_, self.outcome_ = distiller.student_, distiller.outcome_
        self._order_classes([*labels, *self._given_classes()])
        return self

    def _order_classes(self, labels: Sequence[Any]) -> None:
        """Scorers of scikit-learn want the labels as they were given, and sorted columns."""
        given = {name_of(label): label for label in labels}
        classes = np.array([given[name] for name in self.student_.classes])
        self._columns = np.argsort(classes)
        self.classes_ = classes[self._columns]

    def predict_proba(self, X: Sequence[str] | NDArray[Any]) -> NDArray[np.float64]:  # noqa: N803
        """Class probabilities, shape (n, n_classes).

        Raises:
            StudentError: `X` is no list of texts.
        """
        check_is_fitted(self, "student_")
        texts = one_column(X, "texts", error=StudentError)
        return self.student_.predict_proba(texts)[:, self._columns]

    def predict(self, X: Sequence[str] | NDArray[Any]) -> NDArray[Any]:  # noqa: N803
        """The most probable class of each text, shape (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


def _labels(y: Any) -> list[Any]:
    """The labels, of a column vector with scikit-learn's own warning."""
    if y is None:
        raise DataError("PGKDClassifier requires y to be passed, but the target y is None.")
    labels = one_column(y, "labels")
    if len(getattr(y, "shape", ())) == 2:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected.",
            DataConversionWarning,
            stacklevel=3,
        )
    return labels


def _check_kinds(labels: Sequence[Any]) -> None:
    """Refuse labels that `classes_` could not hold side by side, and targets of a regression."""
    kinds = {_kind(label) for label in labels} - {""}
    if len(kinds) > 1:
        raise DataError(
            f"The labels mix {' and '.join(sorted(kinds))}: scikit-learn's tools need one type."
        )
    for row, label in enumerate(labels, start=1):
        if isinstance(label, float) and np.isfinite(label) and not label.is_integer():
            raise DataError(
                f"Unknown label type: continuous. Row {row} has the label {label:g}, no class; "
                "give names of classes as texts or whole numbers."
            )


def _kind(label: Any) -> str:
    """What a label is; empty where it is missing or odd, which the check of the rows tells."""
    if isinstance(label, str):
        return "texts"
    if isinstance(label, bool | np.bool_):
        return "truth values"
    if isinstance(label, Number) and label == label:
        return "numbers"
    return ""


@contextmanager
def _run_folder(out: str | Path | None) -> Iterator[Path]:
    """The folder that was given, or one that goes away, but for a failure after a paid reply."""
    if out is not None:
        yield Path(out)
        return
    folder, keep = Path(mkdtemp(prefix="pgkd-")), False
    run = folder / "run"
    try:
        yield run
    except BaseException as error:
        keep = _has_replies(run)
        if keep:
            error.add_note(f"The teacher's replies so far are kept in {run}.")
        raise
    finally:
        if not keep:
            rmtree(folder, ignore_errors=True)


def _has_replies(run: Path) -> bool:
    if not (run / "ledger.sqlite").is_file():
        return False
    with RunFolder(run).ledger_to_read() as ledger:
        return any(call.reply for call in ledger.calls())
