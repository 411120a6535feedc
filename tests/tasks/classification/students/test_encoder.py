"""The encoder student: its cache, its fine-tuning, and the traps that peers fell into."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pgkd.tasks.classification.students.encoder as encoder_module
from pgkd.errors import StudentError
from pgkd.tasks.classification.students.calibration import Calibration
from pgkd.tasks.classification.students.encoder import EncoderStudent
from pgkd.tasks.classification.students.encoders import forget_encoders, load_encoder
from pgkd.tasks.classification.students.finetune import FineTuning, batches, fine_tune
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from pgkd.weights.fetch import cached
from tests.conftest import make_rows, of_kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.tasks.classification.students.features import Encoder
    from pgkd.tasks.classification.students.head import Head

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


def test_a_text_is_embedded_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    embed = encoder._embed

    def spy(texts: Sequence[str]) -> Any:
        asked.extend(texts)
        return embed(texts)

    monkeypatch.setattr(encoder, "_embed", spy)
    first = encoder.features([*TEXTS, *TEXTS])
    again = encoder.features(TEXTS)
    assert asked == TEXTS
    assert (first[: len(TEXTS)] == again).all()


def test_a_student_that_forgets_answers_as_before(tiny_encoder: Path) -> None:
    student = EncoderStudent(CLASSES, encoder=str(tiny_encoder)).fit(TEXTS, LABELS)
    before = student.predict_proba(TEXTS)
    assert student.encoder._cache
    student.forget()
    assert not student.encoder._cache
    assert (student.predict_proba(TEXTS) == before).all()


def test_features_have_unit_length_and_ignore_padding(encoder: Encoder) -> None:
    import torch

    features = encoder.features(TEXTS)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
    ids = encoder.tokenizer(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        hidden = encoder.model(**ids).last_hidden_state[0].mean(0)
    assert features[0] == pytest.approx((hidden / hidden.norm()).numpy(), abs=1e-5)


def test_features_are_the_same_to_the_bit_whatever_is_asked_beside(tiny_encoder: Path) -> None:
    """The trap: features that differ by batch, by order, or by what was cached before."""
    found = []
    for order in (TEXTS, TEXTS[::-1], [*TEXTS[5:], *TEXTS[:5]]):
        forget_encoders()
        encoder = load_encoder(str(tiny_encoder), 32)
        encoder.features(order[:3])
        found.append(dict(zip(order, encoder.features(order), strict=True)))
    for text in TEXTS:
        assert (found[0][text] == found[1][text]).all()
        assert (found[0][text] == found[2][text]).all()


def test_long_texts_are_cut_and_not_refused(encoder: Encoder) -> None:
    assert encoder.features(["word " * 5000]).shape == (1, 32)


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


def test_the_training_order_is_shuffled_anew_every_epoch() -> None:
    """The trap: a training loader that never shuffles."""
    recipe = FineTuning(epochs=3, batch_size=4)
    order = np.concatenate(list(batches(np.full(32, 7), recipe, seed=0))).reshape(3, 32)
    assert (np.sort(order, axis=1) == np.arange(32)).all()
    assert len({tuple(epoch) for epoch in (*order, np.arange(32))}) == 4
    together = [frozenset(map(frozenset, epoch.reshape(-1, 4).tolist())) for epoch in order]
    assert len(set(together)) == 3  # other rows share a batch, and not only in another order


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = np.random.default_rng(1).integers(5, 128, 64)
    found = list(batches(lengths, FineTuning(epochs=1, batch_size=8), seed=0))
    padded = sum(len(batch) * lengths[batch].max() for batch in found)
    unsorted = sum(8 * lengths[i : i + 8].max() for i in range(0, 64, 8))
    assert padded - lengths.sum() < 0.5 * (unsorted - lengths.sum())
    longest = [int(lengths[batch].max()) for batch in found]
    assert longest != sorted(longest)  # else every epoch would end with the long ones


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
        fine_tune(encoder, head, TEXTS, GOLD, ones, seed=seed)[1].weights for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_fine_tuning_weighs_rows_across_batches(encoder: Encoder) -> None:
    """The trap: weights that cancel out in a batch whose rows all weigh the same."""
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    recipe = FineTuning(epochs=1, batch_size=1, clip=1e9)
    heavy = np.where(GOLD == 0, 1.0, 1e-9)
    _, new = fine_tune(encoder, head, TEXTS, GOLD, heavy, seed=0, recipe=recipe)
    _, even = fine_tune(encoder, head, TEXTS, GOLD, np.ones(len(TEXTS)), seed=0, recipe=recipe)
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
    tuned, new = fine_tune(encoder, head, TEXTS, GOLD, ones, seed=0, recipe=recipe)
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
    monkeypatch.setattr(encoder_module, "fine_tune", partial(fine_tune, recipe=_THOROUGH))
    student.tune(texts, labels, seed=0)
    assert student.recipe == "finetune"
    assert student.tuning.startswith("finetune; fine-tuning changes the log loss of 20 rows")
    assert student.clone().recipe == "finetune"
    assert student.probe().recipe == "frozen"
    monkeypatch.setattr(encoder_module, "fine_tune", partial(fine_tune, recipe=_NONE))
    assert EncoderStudent(CLASSES, **settings).tune(texts, labels, seed=0).recipe == "frozen"


def test_a_recipe_that_is_given_is_kept_and_calibrated(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"encoder": str(tiny_encoder), "max_length": 32}
    texts, labels = make_rows(20)
    monkeypatch.setattr(encoder_module, "fine_tune", partial(fine_tune, recipe=_NONE))
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


def test_an_encoder_that_is_nowhere_is_an_error_that_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    with pytest.raises(StudentError, match="no/such-encoder.* cannot be loaded.*pgkd models list"):
        load_encoder("no/such-encoder", 32)


@pytest.mark.weights
def test_the_real_encoder_knows_meaning() -> None:
    if cached("all-minilm-l6-v2") is None:
        pytest.skip("the weights all-minilm-l6-v2 are not here: pgkd models pull")
    texts = ["my card was stolen", "someone took my credit card", "the weather is nice"]
    features = load_encoder("all-minilm-l6-v2", 32).features(texts)
    assert features[0] @ features[1] > features[0] @ features[2] + 0.3
