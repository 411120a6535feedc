"""`PGKDClassifier`: the loop as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from pgkd.config import Config
from pgkd.data.cells import name_of, one_column
from pgkd.distiller import Distiller
from pgkd.errors import ConfigError, DataError, StudentError
from pgkd.events import Outcome
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Teacher


class PGKDClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier taught by an LLM where it is weak.

    `fit` takes raw texts, so that it needs no vectorizer before it: use it alone or as the last
    step of a `Pipeline`. Method: Di Palo et al., EMNLP 2024.

    With an indicator matrix for `y` it is a multi-label classifier, as scikit-learn's own are: see
    the guide to several labels a text. It has the encoder student then, and `samples` texts a
    round on average.

    Args:
        teacher: the name of a provider, such as ``"local"`` or ``"openai"``, or a `Teacher`.
        teacher_model: the model's name, or a GGUF path; None takes the provider's default.
        student: ``"encoder"`` or ``"linear"``.
        encoder: weights of the encoder student.
        rounds: maximum number of rounds; 0 trains the student alone.
        samples: texts requested per round.
        patience: stop after this many rounds without a better loss.
        mode: ``"targeted"`` or ``"paper"``.
        instructions: what the teacher should know of the task, e.g. who writes the texts to whom.
        label_names: train on the class names too, where they help in cross-validation.
        synthetic_weight: weight of a synthetic text, where a row has 1; ``"auto"`` fits it.
        validation_fraction: share of the rows that the rounds are evaluated on.
        classes: all classes, where some have no row in `y`.
        unlabelled: texts that the teacher may label.
        on_conflict: ``"error"`` refuses a text that has two labels, ``"drop"`` leaves it out.
        out: run folder; None removes it, unless `fit` fails after the teacher has replied.
        random_state: seed of everything random; None or a `RandomState` draws one in every `fit`.

    Attributes:
        classes_: shape (n_classes,), the classes in column order: sorted, as the labels were given;
            of an indicator matrix the names or numbers of its columns.
        student_: the trained student.
        outcome_: how the loop ended, round by round.
    """

    classes_: NDArray[Any]
    student_: Any
    outcome_: Outcome
    _several = False  # whether `fit` had an indicator matrix

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
        label_names: bool = True,
        synthetic_weight: float | str = "auto",
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
        self.label_names = label_names
        self.synthetic_weight = synthetic_weight
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
            y: n labels, all names or all numbers; or an indicator matrix of 0 and 1, shape
                (n, n_classes), dense or sparse, whose columns `classes` may name.

        Raises:
            DataError: lists all problems of the rows, such as missing texts.
            ConfigError: a parameter is out of bounds.
        """
        self._several = type_of_target(y) == "multilabel-indicator" if _is_matrix(y) else False
        if self._several:
            return self._fit_indicators(X, y)
        texts, labels = one_column(X, "texts"), _check_labels(y)
        named = None if self.classes is None else one_column(self.classes, "classes")
        given = [*labels, *(named or ())]
        _check_kinds(given)
        with _run_folder(self.out) as out:
            distiller = Distiller(self._config(out), teacher=self.teacher).fit(
                texts,
                labels,
                classes=named,
                unlabelled=() if self.unlabelled is None else self.unlabelled,
            )
        self.student_, self.outcome_ = distiller.student_, distiller.outcome_
        # Scorers of scikit-learn want the labels as they were given, and sorted columns.
        by_name = {name_of(label): label for label in given}
        classes = np.array([by_name[name] for name in self.student_.classes])
        self._columns = np.argsort(classes)
        self.classes_ = classes[self._columns]
        return self

    def _fit_indicators(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Run the loop of the task multilabel."""
        if self.student != "encoder" or self.unlabelled is not None or self.mode != "targeted":
            raise ConfigError(
                "With an indicator matrix there is the student 'encoder' and the mode 'targeted', "
                "and no unlabelled texts."
            )
        classes = range(y.shape[1]) if self.classes is None else one_column(self.classes, "classes")
        budget = {} if self.samples == "auto" else {"texts": max(1, self.samples * self.rounds)}
        self.classes_, self._names = np.array(classes), [name_of(each) for each in classes]
        with _run_folder(self.out) as out:
            config = Config.parse(
                {
                    "task": "multilabel",
                    **self._common(out),
                    **budget,
                    "student": {"encoder": self.encoder},
                    "guidance": {"instructions": self.instructions},
                }
            )
            distiller = Distiller(config, teacher=self.teacher)
            distiller.fit(one_column(X, "texts"), y, classes=self._names)
        self.student_, self.outcome_ = distiller.student_, distiller.outcome_
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's checks may send: texts, in one dimension."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def _config(self, out: Path) -> Config:
        return Config.parse(
            {
                **self._common(out),
                "student": {"kind": self.student, "encoder": self.encoder},
                "guidance": {"mode": self.mode, "instructions": self.instructions},
                "label_names": self.label_names,
                "samples": self.samples,
            }
        )

    def _common(self, out: Path) -> dict[str, Any]:
        """Settings of both kinds of task."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState) or seed is None:
            seed = int(check_random_state(seed).randint(2**31 - 1))
        same = ("synthetic_weight", "rounds", "patience")
        return {
            "data": {
                "validation_fraction": self.validation_fraction,
                "on_conflict": self.on_conflict,
            },
            "teacher": {"model": self.teacher_model},
            **{name: getattr(self, name) for name in same},
            "seed": seed,
            "out": out,
        }

    def predict_proba(self, X: Sequence[str] | NDArray[Any]) -> NDArray[np.float64]:  # noqa: N803
        """Class probabilities, shape (n, n_classes).

        Raises:
            StudentError: `X` is not a list of texts.
        """
        check_is_fitted(self, "student_")
        texts = one_column(X, "texts", error=StudentError)
        if self._several:
            found = [answer["probabilities"] for answer in self.student_.answers(texts)]
            return np.array([[p[name] for name in self._names] for p in found])
        return np.asarray(self.student_.predict_proba(texts))[:, self._columns]

    def predict(self, X: Sequence[str] | NDArray[Any]) -> NDArray[Any]:  # noqa: N803
        """The most probable class of each text, shape (n,); or an indicator matrix."""
        if self._several:
            check_is_fitted(self, "student_")
            texts = one_column(X, "texts", error=StudentError)
            given = [set(answer["labels"]) for answer in self.student_.answers(texts)]
            return np.array([[int(name in labels) for name in self._names] for labels in given])
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


def _is_matrix(y: Any) -> bool:
    return len(getattr(y, "shape", ())) == 2 and y.shape[1] > 1


def _check_labels(y: Any) -> list[Any]:
    """The labels; of a column vector with scikit-learn's own warning."""
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
    """Refuse labels of several types, which `classes_` could not hold, and regression targets."""
    kinds = {_kind(label) for label in labels} - {""}
    if len(kinds) > 1:
        raise DataError(
            f"The labels mix {' and '.join(sorted(kinds))}: scikit-learn needs a single type."
        )
    for row, label in enumerate(labels, start=1):
        if isinstance(label, float) and np.isfinite(label) and not label.is_integer():
            raise DataError(
                f"Unknown label type: continuous. Row {row} has the label {label:g}, which is not "
                "a class; give class names as texts or whole numbers."
            )


def _kind(label: Any) -> str:
    """The type of a label; empty where it is missing or odd, which the row checks report."""
    if isinstance(label, str):
        return "texts"
    if isinstance(label, bool | np.bool_):
        return "truth values"
    if isinstance(label, Number) and label == label:
        return "numbers"
    return ""


@contextmanager
def _run_folder(out: str | Path | None) -> Iterator[Path]:
    """The folder that was given, or one that is removed, except after a failure with replies."""
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
            error.add_note(f"The teacher's replies so far are saved in {run}.")
        raise
    finally:
        if not keep:
            rmtree(folder, ignore_errors=True)


def _has_replies(run: Path) -> bool:
    if not (run / "ledger.sqlite").is_file():
        return False
    with RunFolder(run).ledger_to_read() as ledger:
        return any(call.reply for call in ledger.calls())
