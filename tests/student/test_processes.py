"""Fine-tuning over several processes: the weights of one, and an error that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.errors import StudentError
from pgkd.student.devices import Place
from pgkd.student.encoder import EncoderStudent
from pgkd.student.encoders import forget_encoders, load_encoder
from pgkd.student.finetune import FineTuning, fine_tune, share
from pgkd.student.head import HeadSettings, fit_head
from pgkd.student.processes import fine_tune_together
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

TEXTS, LABELS = make_rows(5)
CLASSES = tuple(sorted(set(LABELS)))
GOLD = np.array([CLASSES.index(label) for label in LABELS])
WEIGHTS = np.where(GOLD == 0, 2.0, 0.5)
SHORT = FineTuning(epochs=2, batch_size=3)  # an odd size, and a last batch of two


@pytest.fixture
def without_dropout(tiny_encoder: Path, tmp_path: Path) -> str:
    """The tiny encoder in a folder of its own, with nothing random in its training."""
    import transformers

    for part in (transformers.AutoModel, transformers.AutoTokenizer):
        part.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "encoder")
    config = transformers.AutoConfig.from_pretrained(tiny_encoder)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.mark.parametrize(("rows", "processes"), [(6, 2), (7, 2), (1, 3), (16, 1)])
def test_shares_of_a_batch_have_its_mean(rows: int, processes: int) -> None:
    batch, losses = np.arange(rows) + 10, np.random.default_rng(0).random(rows + 10)
    found = [share(batch, process, processes) for process in range(processes)]
    assert len({len(taken) for taken, _ in found}) == 1
    means = [(losses[taken] * factors).mean() for taken, factors in found]
    assert np.mean(means) == pytest.approx(losses[batch].mean())
    trained = [row for taken, factors in found for row in taken[factors > 0]]
    assert sorted(trained) == batch.tolist()


def test_two_processes_give_the_weights_of_one(without_dropout: str) -> None:
    forget_encoders()
    encoder = load_encoder(without_dropout, 32)
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    given: Any = (encoder, head, TEXTS, GOLD, WEIGHTS)
    before = {name: p.clone() for name, p in encoder.model.state_dict().items()}
    one, one_head = fine_tune(*given, seed=0, recipe=SHORT)
    two, two_head = fine_tune_together(*given, seed=0, processes=2, recipe=SHORT)
    assert two_head.weights == pytest.approx(one_head.weights, abs=1e-5)
    assert two_head.bias == pytest.approx(one_head.bias, abs=1e-5)
    found, moved = two.model.state_dict(), 0.0
    for name, weight in one.model.state_dict().items():
        assert found[name].numpy() == pytest.approx(weight.numpy(), abs=1e-5)
        moved = max(moved, float((found[name] - before[name]).abs().max()))
    assert moved > 1e-4  # training changed more than the two may differ
    assert two.features(TEXTS) == pytest.approx(one.features(TEXTS), abs=1e-5)


def test_a_student_is_fine_tuned_over_processes(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pgkd.student.encoder as encoder_module

    asked = []

    def together(*given: Any, processes: int, **settings: Any) -> Any:
        asked.append(processes)
        return fine_tune(*given, **settings)

    monkeypatch.setattr(encoder_module, "fine_tune_together", together)
    settings: Any = {"encoder": str(tiny_encoder), "recipe": "finetune", "device": "cpu"}
    EncoderStudent(CLASSES, processes=2, **settings).fit(TEXTS, LABELS)
    EncoderStudent(CLASSES, **settings).fit(TEXTS, LABELS)
    assert asked == [2]


def test_a_worker_that_fails_is_told(without_dropout: str) -> None:
    encoder = load_encoder(without_dropout, 32)
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    beyond = np.full(len(TEXTS), len(CLASSES))
    with pytest.raises(StudentError, match=r"(?s)process of fine-tuning failed.*Error"):
        fine_tune_together(encoder, head, TEXTS, beyond, WEIGHTS, seed=0, processes=2)


def test_more_processes_than_gpus_are_refused(without_dropout: str) -> None:
    encoder = load_encoder(without_dropout, 32)
    encoder.place = Place("mps")
    head = fit_head(np.eye(len(TEXTS)), LABELS, CLASSES, HeadSettings(C=10.0))
    with pytest.raises(StudentError, match="2 processes need a CUDA device each, and there are 0"):
        fine_tune_together(encoder, head, TEXTS, GOLD, WEIGHTS, seed=0, processes=2)
    forget_encoders()  # this one says that it lies elsewhere
