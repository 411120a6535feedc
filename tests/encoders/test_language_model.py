"""A causal language model: what it is trained on, its bounds, and damaged folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd.encoders import language_model
from pgkd.encoders.language_model import load_base, load_language_model, train_language_model
from pgkd.encoders.training import FineTuning
from pgkd.errors import MissingExtraError, StudentError
from tests.tasks.generation.conftest import pairs
from tests.tasks.generation.conftest import tiny_model as tiny_model


def test_the_loss_is_of_the_output_alone(tiny_model: Path) -> None:
    base = load_base(str(tiny_model), 64)
    ((ids, targets),) = base.tokens(["on lamp"], ["yes"])
    end, masked = base.tokenizer.eos_token_id, -100
    kept = [target for target in targets if target != masked]
    assert base.tokenizer.decode(kept[:-1]) == "yes"
    assert kept[-1] == end
    assert ids[-len(kept) :] == kept
    assert base.tokenizer.decode(ids[: -len(kept)]) == "on lamp\n"


def test_training_leaves_the_base_and_repeats_with_its_seed(tiny_model: Path) -> None:
    base = load_base(str(tiny_model), 64)
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    texts, outputs = pairs(8)
    weights = np.linspace(0.1, 1, 8)
    made = [
        train_language_model(
            base, texts, outputs, weights, recipe=FineTuning(1, 4), max_output=None, seed=seed
        ).losses(texts, outputs)
        for seed in (0, 0, 1)
    ]
    assert all((before[name] == value).all() for name, value in base.model.state_dict().items())
    assert made[0].tolist() == made[1].tolist() != made[2].tolist()


def test_inputs_and_outputs_are_bounded(tiny_model: Path) -> None:
    base = load_base(str(tiny_model), 8)
    base = language_model.LanguageModel(base.model, base.tokenizer, max_input=8, max_output=5)
    (found,) = base.generate(["a long input " * 500])
    assert len(base.tokenizer.encode(found.output)) <= 5
    assert found.log_probability < 0
    with pytest.raises(StudentError, match="list"):
        base.answers("a text")
    with pytest.raises(StudentError, match="texts"):
        base.answers([3])


@pytest.mark.parametrize("settings", [None, "{", {}, {"max_input": 8, "max_output": True}, []])
def test_a_damaged_folder_is_refused(tiny_model: Path, tmp_path: Path, settings: Any) -> None:
    folder = tmp_path / "student"
    load_base(str(tiny_model), 64).save(folder)
    assert load_language_model(folder).max_input == 64
    file = folder / "language_model.json"
    file.unlink()
    if settings is not None:
        file.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    with pytest.raises(StudentError):
        load_language_model(folder)


def test_a_base_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudentError, match="cannot be loaded"):
        load_base(str(tmp_path), 64)
    (tmp_path / "model.gguf").touch()
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pgkd.extras.import_module", _no_gguf)
    with pytest.raises(MissingExtraError, match=r"pgkd\[gguf\]"):
        load_base(str(tmp_path), 64)


def _no_gguf(name: str) -> Any:
    from importlib import import_module

    if name == "gguf":
        raise ModuleNotFoundError(name=name)
    return import_module(name)
