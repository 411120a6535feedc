"""Weights & Biases itself, off the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integrations.tracking.conftest import assert_keeps_secrets, distil, files_below
from tests.integrations.tracking.test_tracking import FailureHook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgkd.config import Config

pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")

_HEAD, _BLOCK, _CHUNK = 7, 32768, 7  # bytes, as in the logs of LevelDB


def records(path: Path) -> Iterator[Any]:
    """The records of a run's file: chunks in blocks, each with a checksum, a length and a kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole = path.read_bytes(), _HEAD, b""
    while at + _CHUNK < len(content):
        if _BLOCK - at % _BLOCK < _CHUNK:  # too little for a chunk is filled up
            at += _BLOCK - at % _BLOCK
            continue
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]
        whole += content[at + _CHUNK : at + _CHUNK + length]
        at += _CHUNK + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def items(update: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in update}


def test_a_run_is_synthetic_to_files_and_nothing_leaves(private: Config) -> None:
    failures = FailureHook()
    run = distil(private, track=["wandb"], hooks=[failures]).run_
    assert failures.seen == []
    [path] = (run.path / "wandb").glob("offline-run-*/*.wandb")
    result, written = run.read_json("result.json"), list(records(path))
    [about] = {
        r.run.run_id: r.run for r in written if r.WhichOneof("record_type") == "run"
    }.values()
    assert about.run_id == run.read_json("tracking.json")["wandb"]["id"]
    assert (about.project, about.display_name) == ("pgkd", "run")
    history = [items(r.history.item) for r in written if r.WhichOneof("record_type") == "history"]
    drawn = [line["validation/macro_f1"] for line in history if "validation/macro_f1" in line]
    expected = [r["validation"]["macro_f1"] for r in result["rounds"]]
    assert drawn == pytest.approx(expected, abs=1e-6)
    summary: dict[str, Any] = {}
    for record in written:
        summary |= items(record.summary.update)
    assert summary["best/round"] == result["best"]
    assert summary["stopped_by"] == "rounds"
    assert_keeps_secrets(files_below(run.path / "wandb"), run)
