"""Runs of each kind of student, and an export of the encoder's in every format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.encoders.transformer import load_encoder
from pgkd.export import quantize
from pgkd.export.export import export
from pgkd.export.quantize import round_weights
from pgkd.runs.folder import RunFolder
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.encoders.transformer import Encoder


def run_of(folder: Path, **student: Any) -> RunFolder:
    """A run that trained a student on twenty rows a class and asked a teacher for a round."""
    distiller = Distiller(teacher="fake", student=student, rounds=1, samples=4, out=str(folder))
    distiller.fit(*make_rows(20))
    return RunFolder.open(folder)


def spoil_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the quantiser take every matrix for a larger one of the other sign."""
    monkeypatch.setattr(
        quantize, "round_weights", lambda weight, moment: round_weights(-50 * weight, moment)
    )


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Encoder:
    """A BERT of one layer, with random weights."""
    return load_encoder(str(tiny_encoder), max_length=24)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> RunFolder:
    """A run of an encoder student."""
    folder = tmp_path_factory.mktemp("serving") / "run"
    return run_of(folder, kind="encoder", encoder=str(tiny_encoder), max_length=24)


@pytest.fixture(scope="session")
def exports(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its student in every format; do not change the folders, copy them."""
    out = tmp_path_factory.mktemp("exports")
    assert [found.folder for found in export(run, "all", out)] == [
        out / name for name in ("onnx-int8", "onnx", "huggingface")
    ]
    return out
