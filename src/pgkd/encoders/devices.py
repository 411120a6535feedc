"""The device and precision that an encoder computes with.

Features are float32 on every device, so an export made for a CPU answers as its student does. A
lower precision is for the steps of fine-tuning alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pgkd.errors import StudentError
from pgkd.extras import require

Precision = Literal["auto", "fp32", "bf16"]

_JOB = "The encoder student"
_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_PRECISIONS = get_args(Precision)
_ACCELERATE_PRECISIONS = {"fp32": "no", "bf16": "bf16"}
_LAUNCHER_VARIABLES = (  # they make Accelerate believe that it is one of several processes
    "LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Device:
    """A device of this machine and the precision of training on it.

    Attributes:
        name: torch's name of the device, with its number: ``"cpu"``, ``"cuda:0"``.
        precision: of fine-tuning, ``"fp32"`` or ``"bf16"``.
    """

    name: str = "cpu"
    precision: str = "fp32"

    @property
    def type(self) -> str:
        """The device without its number."""
        return self.name.partition(":")[0]

    def describe(self) -> dict[str, str]:
        """Plain data for the record of a run."""
        found = {"device": self.name, "precision": self.precision}
        if self.type == "cuda":
            torch = require("torch", extra="train", job=_JOB)
            found["gpu"] = torch.cuda.get_device_name(self.name)
        return found


CPU = Device()


def check_device_settings(device: str, precision: str) -> None:
    """Refuse unknown names, without looking whether this machine has the device.

    Raises:
        StudentError: the device or the precision is unknown.
    """
    if not _NAME.fullmatch(device):
        raise StudentError(
            f'Unknown device "{device}". Choose from: auto, cpu, cuda, cuda:N and mps.'
        )
    if precision not in _PRECISIONS:
        raise StudentError(
            f'Unknown precision "{precision}". Choose from: {", ".join(_PRECISIONS)}.'
        )


def find_device(device: str = "auto", precision: str = "auto") -> Device:
    """The device of this machine that two settings stand for.

    Args:
        device: ``"auto"`` takes Accelerate's choice; else ``"cpu"``, ``"cuda"`` for the current
            CUDA device, ``"cuda:1"``, or ``"mps"``.
        precision: ``"auto"`` is bf16 on a CUDA device that supports it, else fp32.

    Raises:
        StudentError: the device or the precision is unknown, or this machine lacks it.
        MissingExtraError: the extra ``train`` is not installed.
    """
    check_device_settings(device, precision)
    torch = require("torch", extra="train", job=_JOB)
    name = _default_device() if device == "auto" else device
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{torch.cuda.current_device()}"
    if device != "auto" and name not in (available := _available_devices(torch)):
        raise StudentError(
            f'Device "{name}" is not available here. Choose from: {", ".join(available)}, or auto. '
            f"(torch {torch.__version__})"
        )
    is_cuda = name.startswith("cuda")
    has_bf16 = not is_cuda or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not has_bf16:
        raise StudentError(f'Device "{name}" does not support bf16. Choose fp32 or auto.')
    if precision == "auto":
        precision = "bf16" if is_cuda and has_bf16 else "fp32"
    return Device(name, precision)


@contextmanager
def accelerator_on(device: Device) -> Iterator[Any]:
    """An `accelerate.Accelerator` for one training; the caller moves tensors to the device.

    Raises:
        StudentError: the device lacks the precision, or Accelerate chooses another device.
        MissingExtraError: the extra ``train`` is not installed.
    """
    accelerate = require("accelerate", extra="train", job=_JOB)
    with _fresh_accelerate_state():
        try:
            with _without_launcher():
                accelerator = accelerate.Accelerator(
                    device_placement=False,
                    mixed_precision=_ACCELERATE_PRECISIONS[device.precision],
                    cpu=device.name == "cpu",
                )
        except ValueError as error:  # raised for a precision that the device lacks
            raise StudentError(f"Cannot train in {device.precision} here: {error}") from error
        if accelerator.device.type != device.type:  # it would autocast for that one
            raise StudentError(
                f'Accelerate chose device "{accelerator.device}", but the student is on '
                f'"{device.name}". Set the device to auto, or unset ACCELERATE_TORCH_DEVICE.'
            )
        yield accelerator


def _default_device() -> str:
    accelerate = require("accelerate", extra="train", job=_JOB)
    with _fresh_accelerate_state(), _without_launcher():
        return str(accelerate.PartialState().device)


def _available_devices(torch: Any) -> list[str]:
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{i}" for i in gpus), *mps]


@contextmanager
def _fresh_accelerate_state() -> Iterator[None]:
    """Give Accelerate a new state within the block, and restore the process's own after it.

    Accelerate fixes one device and one precision for a process. Two students may differ in both,
    and a program that calls pgkd may use Accelerate itself.
    """
    state = require("accelerate.state", extra="train", job=_JOB)
    classes = (state.PartialState, state.AcceleratorState, state.GradientState)
    shared = [cls._shared_state for cls in classes]
    saved = [dict(each) for each in shared]
    for each in shared:
        each.clear()
    try:
        yield
    finally:
        for each, before in zip(shared, saved, strict=True):
            each.clear()
            each.update(before)


@contextmanager
def _without_launcher() -> Iterator[None]:
    """Hide from Accelerate that a launcher may have started this process as one of several."""
    hidden = {name: os.environ.pop(name) for name in _LAUNCHER_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
