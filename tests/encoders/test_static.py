"""Static embeddings: what a text's vector is, and which folders are taken."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pgkd.encoders.static import load_embeddings
from pgkd.errors import StudentError
from pgkd.tasks.classification.students import load_student, make_student
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["invoice and charge", "parcel", "", "the invoice, again and again"]


def test_a_text_is_the_mean_of_its_tokens_of_unit_length(tiny_embeddings: Path) -> None:
    found = load_embeddings(str(tiny_embeddings))
    features = found.features(TEXTS, max_length=99)
    ids = found.tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    assert len(ids) > 1
    mean = found.table[ids].mean(axis=0)
    assert features[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert (features[2] == 0).all()
    one = found.features(TEXTS[:1], max_length=1)
    assert one[0] == pytest.approx(
        found.table[ids[0]] / np.linalg.norm(found.table[ids[0]]), abs=1e-6
    )


def test_a_text_has_the_same_vector_beside_whatever_texts(tiny_embeddings: Path) -> None:
    found = load_embeddings(str(tiny_embeddings))
    together = found.features(TEXTS, max_length=99)
    alone = np.concatenate([found.features([text], max_length=99) for text in TEXTS])
    assert (together == alone).all()
    assert found.features([], max_length=99).shape == (0, 24)


def test_tables_of_model2vec_may_share_and_weigh_rows(
    tiny_embeddings: Path, tmp_path: Path
) -> None:
    table = load_file(tiny_embeddings / "embeddings.safetensors")["embedding.weight"]
    shutil.copy(tiny_embeddings / "tokenizer.json", tmp_path)
    rng = np.random.default_rng(1)
    mapping = rng.integers(0, 50, len(table))
    weights = rng.uniform(0.5, 2, len(table))
    arrays = {"embeddings": table[:50], "mapping": mapping, "weights": weights}
    save_file(arrays, tmp_path / "model.safetensors")
    found = load_embeddings(str(tmp_path)).table
    expected = table[:50].astype(np.float32)[mapping] * weights.astype(np.float32)[:, None]
    assert found == pytest.approx(expected)


def test_a_folder_that_is_no_table_is_refused(tiny_embeddings: Path, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="neither a name"):
        load_embeddings(str(tmp_path / "absent"))
    with pytest.raises(StudentError, match="0 safetensors files"):
        load_embeddings(str(tmp_path))
    save_file({"x": np.zeros((2, 2))}, tmp_path / "model.safetensors")
    with pytest.raises(StudentError, match="no table named"):
        load_embeddings(str(tmp_path))
    save_file({"embeddings": np.zeros((2, 2))}, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StudentError, match=r"tokenizer\.json cannot be read"):
        load_embeddings(str(tmp_path))
    shutil.copy(tiny_embeddings / "tokenizer.json", tmp_path)
    with pytest.raises(StudentError, match="more tokens than the table has rows"):
        load_embeddings(str(tmp_path))


def test_a_saved_student_needs_its_folder_alone(tiny_embeddings: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_embeddings, source)
    texts, labels = make_rows(6)
    student = make_student("static", sorted(set(labels)), embeddings=str(source))
    student.fit(texts, labels).save(tmp_path / "linked")
    (source / "tokenizer.json").unlink()  # what is left is not what was loaded
    student.save(tmp_path / "synthetic")
    shutil.rmtree(source)
    for name in ("linked", "synthetic"):
        loaded = load_student(tmp_path / name)
        assert (loaded.predict_proba(texts) == student.predict_proba(texts)).all()
