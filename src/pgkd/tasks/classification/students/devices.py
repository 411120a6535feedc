"""Where an encoder computes: a device and a precision, by name, and what of them is here.

Features are computed in float32 on every device, so an export made for a CPU answers as its student
does; a lower precision is for the steps of fine-tuning alone.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pgkd.errors import StudentError
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator

Precision = Literal["auto", "fp32", "bf16"]

_JOB = "The encoder student"
_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_PRECISIONS = get_args(Precision)
_ACCELERATE = {"fp32": "no", "bf16": "bf16"}  # what it calls them
_LAUNCHED = (  # variables by which Accelerate knows that it is one of several processes
    "LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encoder lies, and how it is trained there.

    Attributes:
        device: as torch calls it, with its number: ``"cpu"``, ``"cuda:0"``.
        precision: of fine-tuning, ``"fp32"`` or ``"bf16"``.
    """

    device: str = "cpu"
    precision: str = "fp32"

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]


CPU = Place()


def check_names(device: str, precision: str) -> None:
    """Refuse names that stand for nothing; whether a device is here is not asked.

    Raises:
        StudentError: there is no such device or precision.
    """
    if not _NAME.fullmatch(device):
        raise StudentError(
            f"There is no device '{device}'. There are: auto, cpu, cuda, cuda:N and mps."
        )
    if precision not in _PRECISIONS:
        raise StudentError(
            f"There is no precision '{precision}'. There are: {', '.join(_PRECISIONS)}."
        )


def place_of(device: str = "auto", precision: str = "auto") -> Place:
    """The place that two settings name on this machine.

    Args:
        device: ``"auto"`` takes what Accelerate finds; else ``"cpu"``, ``"cuda"`` for the current
            CUDA device, ``"cuda:1"``, or ``"mps"``.
        precision: ``"auto"`` is bf16 on a CUDA device that computes with it, else fp32.

    Raises:
        StudentError: there is no such device or precision, here or at all.
        MissingExtraError: the extra ``train`` is not installed.
    """
    check_names(device, precision)
    torch = require("torch", extra="train", job=_JOB)
    found = _found() if device == "auto" else device
    if found == "cuda" and torch.cuda.is_available():
        found = f"cuda:{torch.cuda.current_device()}"
    if device != "auto" and found not in (here := _here(torch)):
        raise StudentError(
            f"There is no device '{device}' here. There are: {', '.join(here)}. "
            f"This is torch {torch.__version__}; give one of them as `device`, or auto."
        )
    able = not found.startswith("cuda") or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not able:
        raise StudentError(f"The device '{found}' does not compute in bf16. Give fp32 or auto.")
    if precision == "auto":
        precision = "bf16" if found.startswith("cuda") and able else "fp32"
    return Place(found, precision)


def described(place: Place) -> dict[str, str]:
    """A place in words, for the record of a run."""
    told = {"device": place.device, "precision": place.precision}
    if place.kind == "cuda":
        torch = require("torch", extra="train", job=_JOB)
        told["gpu"] = torch.cuda.get_device_name(place.device)
    return told


@contextmanager
def accelerator_on(place: Place) -> Iterator[Any]:
    """An `accelerate.Accelerator` for one training, which leaves placing things to the caller.

    Args:
        place: where is trained.

    Raises:
        StudentError: the device does not compute in this precision, or Accelerate takes another.
        MissingExtraError: the extra ``train`` is not installed.
    """
    accelerate = require("accelerate", extra="train", job=_JOB)
    with _apart():
        try:
            with _alone():
                accelerator = accelerate.Accelerator(
                    device_placement=False,
                    mixed_precision=_ACCELERATE[place.precision],
                    cpu=place.device == "cpu",
                )
        except ValueError as error:  # its word for a precision that the device lacks
            raise StudentError(f"No training in {place.precision} here: {error}") from error
        if accelerator.device.type != place.kind:  # it would choose the precision of that one
            raise StudentError(
                f"Accelerate takes the device '{accelerator.device}', and the student is on "
                f"'{place.device}'. Give the device auto, or unset ACCELERATE_TORCH_DEVICE."
            )
        yield accelerator


def _found() -> str:
    """The device that Accelerate would take."""
    accelerate = require("accelerate", extra="train", job=_JOB)
    with _apart(), _alone():
        return str(accelerate.PartialState().device)


def _here(torch: Any) -> list[str]:
    """The devices of this machine that can be named."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{i}" for i in gpus), *mps]


@contextmanager
def _apart() -> Iterator[None]:
    """A state of Accelerate for this block; the one that the process had comes back.

    Accelerate keeps one device and one precision a process, for good. Two students may differ in
    both, and a program that calls pgkd may use Accelerate itself.
    """
    state = require("accelerate.state", extra="train", job=_JOB)
    shared = [
        holder._shared_state
        for holder in (state.PartialState, state.AcceleratorState, state.GradientState)
    ]
    before = [dict(found) for found in shared]
    for found in shared:
        found.clear()
    try:
        yield
    finally:
        for found, kept in zip(shared, before, strict=True):
            found.clear()
            found.update(kept)


@contextmanager
def _alone() -> Iterator[None]:
    """Hide from Accelerate that this process may be one of several."""
    hidden = {name: os.environ.pop(name) for name in _LAUNCHED if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
