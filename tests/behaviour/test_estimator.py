"""`PGKDClassifier` keeps the promises of a scikit-learn estimator."""

from __future__ import annotations

import pickle
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError, SkipTestWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from pgkd import PGKDClassifier
from pgkd.errors import ConfigError, DataError, StudentError
from pgkd.runs.folder import RunFolder
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.teachers.base import Reply, Request

TEXTS, LABELS = make_rows(10)
FRESH, TRUTH = make_rows(4, start=60)


def quick(**settings: Any) -> PGKDClassifier:
    return PGKDClassifier(
        **{"teacher": "fake", "student": "linear", "rounds": 1, "samples": 4, **settings}
    )


def test_fit_learns_and_predicts_the_labels_as_given() -> None:
    model = quick().fit(TEXTS, LABELS)
    assert model.classes_.tolist() == sorted(set(LABELS))
    assert model.predict_proba(FRESH).shape == (len(FRESH), 4)
    np.testing.assert_allclose(model.predict_proba(FRESH).sum(axis=1), 1.0)
    assert model.score(FRESH, TRUTH) > 0.8
    assert [done.number for done in model.outcome_.rounds] == [0, 1]


def test_clone_and_params() -> None:
    model = quick(random_state=7, mode="paper")
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(rounds=0).rounds == 0
    with pytest.raises(NotFittedError):
        copy.predict(FRESH)


def test_last_in_a_pipeline_and_cross_validated() -> None:
    steps = [
        ("lower", FunctionTransformer(lambda texts: [text.lower() for text in texts])),
        ("pgkd", quick()),
    ]
    scores = cross_val_score(Pipeline(steps), TEXTS, LABELS, cv=2, error_score="raise")
    assert scores.min() > 0.5


def test_columns_are_sorted_whatever_the_order_of_the_classes() -> None:
    names = ["product", "delivery", "billing", "account"]
    model = quick(classes=names).fit(TEXTS, LABELS)
    assert model.classes_.tolist() == sorted(names)
    assert model.score(FRESH, TRUTH) > 0.8
    scored = cross_val_score(
        quick(classes=names), TEXTS, LABELS, cv=2, scoring="neg_log_loss", error_score="raise"
    )
    assert scored.min() > -np.log(4)  # better than a guess: the columns are the right ones


def test_labels_can_be_numbers() -> None:
    number = {name: n for n, name in enumerate(sorted(set(LABELS)), start=9)}  # 9, 10: not as text
    model = quick().fit(np.array(TEXTS), np.array([number[label] for label in LABELS]))
    assert model.classes_.tolist() == [9, 10, 11, 12]
    assert model.score(FRESH, [number[label] for label in TRUTH]) > 0.8


def test_a_class_without_rows_can_be_predicted() -> None:
    names = [*set(LABELS), "never seen"]
    model = quick(classes=names, samples=20).fit(TEXTS, LABELS)
    assert "never seen" in model.classes_
    assert model.predict_proba(FRESH).shape == (len(FRESH), 5)


def test_missing_cells_are_refused_and_no_class_called_none() -> None:
    texts: list[Any] = [*TEXTS, None, "text"]
    labels: list[Any] = [*LABELS, "billing", float("nan")]
    with pytest.raises(DataError, match=r"row 41 has no text[\s\S]*row 42 has no label"):
        quick().fit(texts, labels)
    with pytest.raises(StudentError, match="Text 1 is None"):
        quick().fit(TEXTS, LABELS).predict(texts[-2:])


def test_conflicts_are_refused_or_dropped() -> None:
    texts, labels = [*TEXTS, TEXTS[0]], [*LABELS, "product"]
    with pytest.raises(DataError, match="several labels"):
        quick().fit(texts, labels)
    assert quick(on_conflict="drop").fit(texts, labels).score(FRESH, TRUTH) > 0.8


def test_scikit_learns_own_checks_pass() -> None:
    with pytest.warns(SkipTestWarning, match="requires input"):  # it has no texts to send
        results = check_estimator(quick(rounds=0), on_fail=None)
    assert not [result for result in results if result["status"] == "failed"]
    tags = quick().__sklearn_tags__().input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array) == (True, True, False)


@pytest.mark.parametrize(
    "check",
    [
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimator_repr",
    ],
)
def test_checks_that_send_no_rows_pass(check: str) -> None:
    getattr(estimator_checks, check)("PGKDClassifier", PGKDClassifier())


@pytest.mark.parametrize("state", [None, np.random.RandomState(3), np.int64(3)])
def test_any_random_state_of_scikit_learn_is_taken(state: Any) -> None:
    model = quick(rounds=0, random_state=state).fit(TEXTS, LABELS)
    assert model.random_state is state
    assert model.score(FRESH, TRUTH) > 0.8


def test_fit_changes_no_parameter_and_a_second_one_gives_the_same() -> None:
    model = quick(classes=sorted(set(LABELS)))
    before = {name: id(value) for name, value in vars(model).items()}
    first = model.fit(TEXTS, LABELS).predict_proba(FRESH)
    assert {name: id(vars(model)[name]) for name in before} == before
    np.testing.assert_array_equal(model.fit(TEXTS, LABELS).predict_proba(FRESH), first)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(FRESH), first)


@pytest.mark.parametrize(
    ("X", "y", "told"),
    [
        ([], [], "no training row"),
        (TEXTS, None, "requires y to be passed"),
        (TEXTS, LABELS[:-1], "40 texts, but 39 labels"),
        (TEXTS, ["one"] * 40, "one class only"),
        (TEXTS, np.linspace(0, 1, 40), "Unknown label type: continuous"),
        (TEXTS, [1, "one"] * 20, "mix numbers and texts"),
        (TEXTS, [1, True] * 20, "mix numbers and truth values"),
        (np.zeros((40, 3)), LABELS, "shape"),
    ],
)
def test_rows_that_cannot_be_used_are_a_value_error(X: Any, y: Any, told: str) -> None:  # noqa: N803
    with pytest.raises(ValueError, match=told):
        quick(rounds=0).fit(X, y)


def test_errors_of_input_are_value_errors() -> None:
    assert all(issubclass(kind, ValueError) for kind in (ConfigError, DataError, StudentError))


def test_a_column_of_labels_is_flattened_with_scikit_learns_warning() -> None:
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = quick(rounds=0).fit(TEXTS, np.array(LABELS)[:, None])
    assert model.classes_.tolist() == sorted(set(LABELS))
    assert model.score(FRESH, TRUTH) > 0.8


def test_what_is_no_list_of_texts_gets_no_answer() -> None:
    model = quick(rounds=0).fit(TEXTS, LABELS)
    no_texts: tuple[Any, ...] = ("reset my vpn", {"text": TEXTS}, None, np.array([TEXTS, TEXTS]))
    for wrong in no_texts:
        with pytest.raises(StudentError):
            model.predict(wrong)
    assert model.predict(np.array(FRESH)[:, None]).shape == (len(FRESH),)


@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], [False, True]])
def test_labels_come_back_in_their_own_type(labels: list[Any]) -> None:
    y = np.array([labels[label in ("billing", "product")] for label in LABELS])
    model = quick(rounds=0).fit(TEXTS, y)
    assert model.classes_.tolist() == labels
    assert model.classes_.dtype == y.dtype


def test_a_parameter_out_of_bounds_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="mode"):
        quick(mode="magic").fit(TEXTS, LABELS)


def test_the_run_folder_is_kept_only_where_asked(tmp_path: Path) -> None:
    model = quick(out=tmp_path / "run").fit(TEXTS, LABELS)
    assert (tmp_path / "run" / "result.json").is_file()
    assert model.score(FRESH, TRUTH) > 0.8


class Broken(FakeTeacher):
    """Answers so many times, and then has a bug."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._answers = answers

    def complete(self, request: Request) -> Reply:
        if len(self.requests) >= self._answers:
            raise ZeroDivisionError
        return super().complete(request)


@pytest.mark.parametrize(("paid", "kept"), [(0, False), (2, True)])
def test_a_failure_keeps_what_the_teacher_was_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paid: int, kept: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError) as caught:
        quick(teacher=Broken(paid)).fit(TEXTS, LABELS)
    ledgers = list(tmp_path.glob("pgkd-*/run/ledger.sqlite"))
    assert len(ledgers) == kept == len(getattr(caught.value, "__notes__", ()))
    replies = [call.reply for path in ledgers for call in calls_of(RunFolder(path.parent))]
    assert len([reply for reply in replies if reply]) == paid * kept


def test_no_folder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quick().fit(TEXTS, LABELS)
    assert not list(tmp_path.iterdir())


def test_an_indicator_matrix_makes_a_multi_label_classifier(tiny_encoder: Path) -> None:
    names = sorted(set(LABELS))
    matrix = np.array([[int(name == label) for name in names] for label in LABELS])
    matrix[:4, 0] = 1
    model = quick(student="encoder", encoder=str(tiny_encoder), classes=names, rounds=0)
    model.fit(TEXTS, matrix)
    assert model.classes_.tolist() == names
    assert model.predict_proba(FRESH).shape == model.predict(FRESH).shape == (len(FRESH), 4)
    truth = np.array([[int(name == label) for name in names] for label in TRUTH])
    assert ((model.predict_proba(FRESH) > 0.5) == truth).mean() > 0.7
    assert set(np.unique(model.predict(FRESH))) <= {0, 1}
    assert model.fit(TEXTS, LABELS).predict(FRESH).shape == (len(FRESH),)
    unnamed = quick(student="encoder", encoder=str(tiny_encoder), rounds=0).fit(TEXTS, matrix)
    assert unnamed.classes_.tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="'encoder'"):
        quick().fit(TEXTS, matrix)
