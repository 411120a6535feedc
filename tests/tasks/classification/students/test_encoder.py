"""The encoder student: its cache, its fine-tuning, and the traps that peers fell into."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pgkd.tasks.classification.students.encoder as encoder_module
from pgkd.encoders.head import Calibration
from pgkd.encoders.training import FineTuning
from pgkd.encoders.transformer import forget_encoders, load_encoder
from pgkd.tasks.classification.students.encoder import EncoderStudent, fine_tune_classes
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from tests.conftest import make_rows, of_kind

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.encoders.head import Head
    from pgkd.encoders.transformer import Encoder

TEXTS, LABELS = make_rows(8)
CLASSES = tuple(sorted(set(LABELS)))
_THOROUGH = FineTuning(epochs=20, learning_rate=1e-3, frozen_layers=0)
_NONE = FineTuning(epochs=1, learning_rate=0.0)
GOLD = np.array([CLASSES.index(label) for label in LABELS])


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    """The tiny encoder, with an empty cache of its own."""
    forget_encoders()
    return load_encoder(str(tiny_encoder), 32)


def test_a_student_that_forgets_answers_as_before(tiny_encoder: Path) -> None:
    student = EncoderStudent(CLASSES, encoder=str(tiny_encoder)).fit(TEXTS, LABELS)
    before = student.predict_proba(TEXTS)
    assert student.encoder._cache
    student.forget()
    assert not student.encoder._cache
    assert (student.predict_proba(TEXTS) == before).all()


def test_the_number_of_threads_changes_nothing(tiny_encoder: Path) -> None:
    import torch

    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        forget_encoders()
        student = EncoderStudent(CLASSES, encoder=str(tiny_encoder), threads=threads)
        found.append(student.fit(TEXTS, LABELS).predict_proba(TEXTS))
    torch.set_num_threads(before)
    assert (found[0] == found[1]).all()


def test_another_seed_trains_in_another_order(encoder: Encoder) -> None:
    """The same trap, seen from outside: without dropout only the order can differ."""
    import torch

    for module in encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoder.model.config.attention_probs_dropout_prob = 0.0
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    ones = np.ones(len(TEXTS))
    one, again, other = (
        fine_tune_classes(encoder, head, TEXTS, GOLD, ones, seed=seed)[1].weights
        for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_fine_tuning_weighs_rows_across_batches(encoder: Encoder) -> None:
    """The trap: weights that cancel out in a batch whose rows all weigh the same."""
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    recipe = FineTuning(epochs=1, batch_size=1, clip=1e9)
    heavy = np.where(GOLD == 0, 1.0, 1e-9)
    _, new = fine_tune_classes(encoder, head, TEXTS, GOLD, heavy, seed=0, recipe=recipe)
    _, even = fine_tune_classes(
        encoder, head, TEXTS, GOLD, np.ones(len(TEXTS)), seed=0, recipe=recipe
    )
    assert new.bias[0] - new.bias[1:].max() > even.bias[0] - even.bias[1:].max()


def test_fine_tuning_gives_back_the_random_state_it_found(encoder: Encoder) -> None:
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    fine_tuned(encoder)
    assert (torch.get_rng_state() == before).all()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def fine_tuned(encoder: Encoder, recipe: FineTuning | None = None) -> tuple[Encoder, Head, Head]:
    """The trained encoder, its linear probe, and the trained head."""
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    ones = np.ones(len(TEXTS))
    tuned, new = fine_tune_classes(encoder, head, TEXTS, GOLD, ones, seed=0, recipe=recipe)
    return tuned, head, new


def test_fine_tuning_trains_a_copy_and_leaves_the_base_alone(encoder: Encoder) -> None:
    """The trap: a shallow copy of the state dict, which changes under you."""
    before = {name: p.clone() for name, p in encoder.model.state_dict().items()}
    tuned, _, _ = fine_tuned(encoder)
    after = encoder.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    changed = [n for n, p in tuned.model.state_dict().items() if (p != before[n]).any()]
    assert any("query" in name for name in changed)


@pytest.mark.parametrize("kind", ["Bert", "ModernBert", "DistilBert", "MPNet"])
def test_the_lowest_layers_are_frozen(encoder: Encoder, kind: str) -> None:
    deep = of_kind(encoder, kind, num_hidden_layers=3)
    trained = {}
    for frozen in (0, 2, 9):
        tuned, _, _ = fine_tuned(deep, FineTuning(epochs=1, frozen_layers=frozen))
        trained[frozen] = changed_parts(deep, tuned)
    assert {"embeddings", "0", "1", "2"} <= trained[0]
    assert trained[2] & {"embeddings", "0", "1", "2"} == {"1", "2"}
    assert trained[9] & {"embeddings", "0", "1", "2"} == {"2"}


def changed_parts(before: Encoder, after: Encoder) -> set[str]:
    """Numbers of the layers whose parameters differ, and "embeddings"."""
    pairs = zip(before.model.named_parameters(), after.model.parameters(), strict=True)
    names = [name for (name, old), new in pairs if (old != new).any()]
    return {part for name in names for part in name.split(".") if part.isdigit() or "emb" in part}


def test_fine_tuning_fits_better_than_its_linear_probe(encoder: Encoder) -> None:
    tuned, head, new = fine_tuned(encoder)

    def loss(probabilities: Any) -> float:
        return float(-np.log(probabilities[np.arange(len(GOLD)), GOLD]).mean())

    probe = loss(head.predict_proba(encoder.features(TEXTS)))
    assert loss(new.predict_proba(tuned.features(TEXTS))) < probe


def test_fine_tuning_is_chosen_where_a_held_out_fold_gains_by_it(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen features of a random encoder tell little; on what they tell, nothing is to gain."""
    settings: dict[str, Any] = {"encoder": str(tiny_encoder), "max_length": 32}
    texts, labels = make_rows(20)
    student = EncoderStudent(CLASSES, **settings)
    monkeypatch.setattr(
        encoder_module, "fine_tune_classes", partial(fine_tune_classes, recipe=_THOROUGH)
    )
    student.tune(texts, labels, seed=0)
    assert student.recipe == "finetune"
    told = "finetune; fine-tuning changes the log loss of 20 held-out rows by -"
    assert student.tuning.startswith(told)
    assert student.clone().recipe == "finetune"
    assert student.proxy().recipe == "frozen"
    monkeypatch.setattr(
        encoder_module, "fine_tune_classes", partial(fine_tune_classes, recipe=_NONE)
    )
    assert EncoderStudent(CLASSES, **settings).tune(texts, labels, seed=0).recipe == "frozen"


def test_a_recipe_that_is_given_is_kept_and_calibrated(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"encoder": str(tiny_encoder), "max_length": 32}
    texts, labels = make_rows(20)
    monkeypatch.setattr(
        encoder_module, "fine_tune_classes", partial(fine_tune_classes, recipe=_NONE)
    )
    frozen = EncoderStudent(CLASSES, recipe="frozen", **settings).tune(texts, labels, seed=0)
    tuned = EncoderStudent(CLASSES, recipe="finetune", **settings).tune(texts, labels, seed=0)
    assert (frozen.recipe, tuned.recipe) == ("frozen", "finetune")
    assert frozen.head_settings.fine_tuned == Calibration()
    assert tuned.head_settings.fine_tuned != Calibration()


def test_rows_too_few_to_hold_any_out_are_left_frozen(tiny_encoder: Path) -> None:
    texts, labels = ["my card was stolen", "please reset it"], ["account", "billing"]
    student = EncoderStudent(CLASSES, encoder=str(tiny_encoder)).tune(texts, labels, seed=0)
    assert student.recipe == "frozen"
    assert len(student.fit(texts, labels).predict(texts)) == 2
