"""Encoders: their features and cache, and their files, which are shared and stay whole."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.encoders.transformer import forget_encoders, load_encoder
from pgkd.errors import StudentError
from pgkd.tasks.classification.students import load_student, make_student
from pgkd.weights.fetch import cached
from tests.conftest import make_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.encoders.transformer import Encoder
    from pgkd.tasks.classification.students.base import Student

TEXTS, LABELS = make_rows(4)
CLASSES = tuple(sorted(set(LABELS)))


@pytest.fixture
def base(tiny_encoder: Path, tmp_path: Path) -> Path:
    """Weights on the same disk as the students, so that hard links are made."""
    forget_encoders()
    return shutil.copytree(tiny_encoder, tmp_path / "base")


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


def fitted(base: Path, recipe: str = "frozen") -> Student:
    student = make_student("encoder", CLASSES, encoder=str(base), recipe=recipe, max_length=32)
    return student.fit(TEXTS, LABELS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_frozen_encoder_is_linked_and_not_copied(base: Path, tmp_path: Path) -> None:
    fitted(base).save(tmp_path / "saved")
    weights = tmp_path / "saved/encoder/model.safetensors"
    assert weights.samefile(base / "model.safetensors")


def test_saving_over_a_linked_student_leaves_the_shared_weights_whole(
    base: Path, tmp_path: Path
) -> None:
    """The trap: a fine-tuned student written through a hard link into everybody's weights."""
    before = contents(base)
    fitted(base).save(tmp_path / "saved")
    fitted(base, "finetune").save(tmp_path / "saved")
    assert contents(base) == before
    assert contents(tmp_path / "saved/encoder")["model.safetensors"] != before["model.safetensors"]


def test_saving_over_a_copy_made_of_links_leaves_the_copy_whole(base: Path, tmp_path: Path) -> None:
    fitted(base).save(tmp_path / "one")
    (tmp_path / "two").mkdir()
    for name in ("student.json", "head.safetensors"):
        (tmp_path / "two" / name).hardlink_to(tmp_path / "one" / name)
    before = (tmp_path / "two/head.safetensors").read_bytes()
    fitted(base, "finetune").save(tmp_path / "one")
    assert (tmp_path / "two/head.safetensors").read_bytes() == before


def test_a_loaded_student_can_be_saved_where_it_came_from(base: Path, tmp_path: Path) -> None:
    student = fitted(base)
    student.save(tmp_path / "saved")
    forget_encoders()
    load_student(tmp_path / "saved").save(tmp_path / "saved")
    forget_encoders()
    found = load_student(tmp_path / "saved").predict_proba(TEXTS)
    assert (found == student.predict_proba(TEXTS)).all()


@pytest.mark.parametrize("recipe", ["frozen", "finetune"])
def test_a_student_whose_folder_is_gone_can_still_be_saved(
    base: Path, tmp_path: Path, recipe: str
) -> None:
    student = fitted(base, recipe)
    student.save(tmp_path / "first")
    shutil.rmtree(base)
    forget_encoders()
    loaded = load_student(tmp_path / "first")
    shutil.rmtree(tmp_path / "first")
    loaded.save(tmp_path / "second")
    forget_encoders()
    found = load_student(tmp_path / "second").predict_proba(TEXTS)
    assert (found == student.predict_proba(TEXTS)).all()


def test_a_folder_that_was_written_anew_is_read_anew(base: Path, tmp_path: Path) -> None:
    """The trap: an encoder remembered by its path."""
    fitted(base).save(tmp_path / "saved")
    load_student(tmp_path / "saved").predict_proba(TEXTS)
    tuned = fitted(base, "finetune")
    tuned.save(tmp_path / "saved")
    found = load_student(tmp_path / "saved").predict_proba(TEXTS)
    assert (found == tuned.predict_proba(TEXTS)).all()


def test_students_over_the_same_files_share_one_encoder(base: Path, tmp_path: Path) -> None:
    fitted(base).save(tmp_path / "saved")
    shared = load_encoder(str(tmp_path / "saved/encoder"), 32)
    assert shared is load_encoder(str(base), 32)
    assert shared is not load_encoder(str(base), 16)


def test_only_the_model_is_taken_along(base: Path, tmp_path: Path) -> None:
    for name in ("verified.json", "rows.txt", "pytorch_model.bin", "LICENSE"):
        (base / name).write_text("{}")
    fitted(base).save(tmp_path / "saved")
    kept = set(contents(tmp_path / "saved/encoder"))
    assert kept == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "LICENSE",
    }  # fmt: skip


def test_a_saved_student_needs_nothing_but_its_folder(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = fitted(base)
    student.save(tmp_path / "saved")
    shutil.rmtree(base)
    forget_encoders()
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    found = load_student(tmp_path / "saved").predict_proba(TEXTS)
    assert (found == student.predict_proba(TEXTS)).all()
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "saved/encoder").iterdir())


def test_a_student_that_lost_its_encoder_is_refused(base: Path, tmp_path: Path) -> None:
    fitted(base).save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved/encoder")
    with pytest.raises(StudentError, match="no folder 'encoder'"):
        load_student(tmp_path / "saved")


def test_weights_in_a_pickle_are_refused(base: Path) -> None:
    import torch

    torch.save({"weight": torch.ones(1)}, base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    with pytest.raises(StudentError, match="cannot be loaded"):
        load_encoder(str(base), 32)


def test_tokens_have_features_and_places(encoder: Encoder) -> None:
    texts = ["refund the fee", "fee", "refund the fee " * 40]
    found = encoder.token_features(texts)
    for text, (offsets, features) in zip(texts, found, strict=True):
        assert len(offsets) == len(features) > 0
        assert features.shape[1] == encoder.model.config.hidden_size
        assert all(text[start:end].strip() for start, end in offsets.tolist())
    [(_, alone)] = encoder.with_model(encoder.model).token_features(texts[:1])
    assert np.array_equal(alone, found[0][1])
    assert encoder.token_features([]) == []
