"""TensorBoard's event files, read back."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.integrations.tracking.conftest import Writing, assert_keeps_secrets, distil, files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgkd.config import Config

pytest.importorskip("tensorboardX", reason="the extra 'tensorboard' is not installed")


def events(folder: Path) -> Iterator[Any]:
    """The events in the files of a folder: TFRecords, each with its length and two checksums."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        rest = path.read_bytes()
        while rest:
            (length,) = struct.unpack("<Q", rest[:8])
            yield Event.FromString(rest[12 : 12 + length])
            rest = rest[16 + length :]


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def texts(folder: Path) -> dict[str, bytes]:
    return {
        value.tag: b"".join(value.tensor.string_val)
        for event in events(folder)
        for value in event.summary.value
        if value.tensor.string_val
    }


def test_each_figure_is_a_curve_of_the_rounds(private: Config) -> None:
    run = distil(private, track=["tensorboard"]).run_
    result, folder = run.read_json("result.json"), run.path / "tensorboard"
    drawn = curves(folder)["validation/accuracy"]
    expected = [r["validation"]["accuracy"] for r in result["rounds"]]
    assert [step for step, _ in drawn] == [0, 1, 2]
    assert [value for _, value in drawn] == pytest.approx(expected, abs=1e-6)
    written = texts(folder)
    assert b"| student.kind | linear |" in written["settings/text_summary"]
    assert f"Best: round {result['best']}".encode() in written["end/text_summary"]
    assert_keeps_secrets(files_below(folder), run)


def test_a_resumed_run_goes_on_with_its_curves(private: Config) -> None:
    with pytest.raises(SystemExit):
        distil(private, Writing(after=3), track=["tensorboard"])
    run = distil(private, track=["tensorboard"]).run_
    steps = [step for step, _ in curves(run.path / "tensorboard")["validation/log_loss"]]
    assert sorted(steps) == [0, 1, 2]
