"""Where an encoder computes: which device is taken, what is refused, and what bf16 changes.

No test here needs a GPU: one is pretended where a choice is made, and bf16 runs on the CPU.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.config import Config
from pgkd.encoders.devices import (
    CPU,
    Device,
    accelerator_on,
    find_device,
)
from pgkd.encoders.transformer import forget_encoders, load_encoder
from pgkd.errors import ConfigError, StudentError
from pgkd.tasks.classification.assembly import make_student_from
from pgkd.tasks.classification.students import load_student
from pgkd.tasks.classification.students.encoder import EncoderStudent, fine_tune_classes
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from tests.behaviour.test_light import python
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

TEXTS, LABELS = make_rows(5)
CLASSES = tuple(sorted(set(LABELS)))
GOLD = np.array([CLASSES.index(label) for label in LABELS])


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a CPU alone, whatever this one has."""
    import torch

    monkeypatch.delenv("ACCELERATE_TORCH_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> dict[str, bool]:
    """A machine with two CUDA devices; what is returned says whether they know bf16."""
    import torch

    able = {"bf16": True}
    for name, value in {
        "is_available": True, "device_count": 2, "current_device": 0,
        "get_device_name": "NVIDIA Test", "get_device_capability": (9, 0),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: able["bf16"])
    return able


def test_a_machine_without_a_gpu_takes_the_cpu_in_fp32(no_gpu: None) -> None:
    assert find_device() == find_device("cpu") == CPU == Device("cpu", "fp32")
    assert find_device("cpu", "bf16") == Device("cpu", "bf16")
    assert CPU.describe() == {"device": "cpu", "precision": "fp32"}


def test_a_gpu_is_taken_where_there_is_one(two_gpus: dict[str, bool]) -> None:
    assert find_device() == find_device("cuda") == Device("cuda:0", "bf16")
    assert find_device("cuda:1", "fp32") == Device("cuda:1", "fp32")
    assert find_device("cpu") == CPU
    assert find_device().describe() == {
        "device": "cuda:0", "precision": "bf16", "gpu": "NVIDIA Test",
    }  # fmt: skip


def test_a_gpu_that_does_not_know_bf16_trains_in_fp32(two_gpus: dict[str, bool]) -> None:
    two_gpus["bf16"] = False
    assert find_device() == Device("cuda:0", "fp32")
    with pytest.raises(StudentError, match='"cuda:0" does not support bf16. Choose fp32 or auto'):
        find_device("cuda", "bf16")


def test_an_apple_gpu_is_found(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("mps") == Device("mps", "fp32")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_told_with_what_is(no_gpu: None, device: str) -> None:
    with pytest.raises(StudentError, match=f'"{device}" is not available here. .* from: cpu, or'):
        find_device(device)


def test_a_gpu_too_many_is_told_with_those_there_are(two_gpus: dict[str, bool]) -> None:
    with pytest.raises(
        StudentError,
        match='"cuda:2" is not .* from: cpu, cuda:0, cuda:1, or',
    ):
        find_device("cuda:2")


def test_names_that_stand_for_nothing_are_refused_at_once() -> None:
    with pytest.raises(StudentError, match='device "gpu". Choose from: auto, cpu, cuda, cuda:N'):
        EncoderStudent(CLASSES, device="gpu")
    with pytest.raises(StudentError, match='precision "fp8". Choose from: auto, fp32, bf16'):
        EncoderStudent(CLASSES, precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"student.device.*there is no device 'cuda:x'"):
        Config.parse({"student": {"device": "cuda:x"}})


def test_settings_reach_the_student(tiny_encoder: Path, no_gpu: None) -> None:
    told = {"encoder": str(tiny_encoder), "device": "cuda:1", "precision": "bf16"}
    student = make_student_from(Config.parse({"student": told}), CLASSES)
    for made in (student, student.clone(), student.proxy()):
        assert isinstance(made, EncoderStudent)
        with pytest.raises(StudentError, match='"cuda:1" is not available here'):
            made.fit(TEXTS, LABELS)


def test_a_saved_student_is_bound_to_no_device(tiny_encoder: Path, tmp_path: Path) -> None:
    """Else a student trained on a GPU could be loaded on no other machine."""
    settings: Any = {"encoder": str(tiny_encoder), "recipe": "frozen"}
    EncoderStudent(CLASSES, **settings).fit(TEXTS, LABELS).save(tmp_path / "plain")
    given: Any = {"device": "cpu", "precision": "bf16"}
    EncoderStudent(CLASSES, **settings, **given).fit(TEXTS, LABELS).save(tmp_path / "given")
    saved = [(tmp_path / name / "student.json").read_bytes() for name in ("plain", "given")]
    assert saved[0] == saved[1]
    load_student(tmp_path / "given")


def test_an_encoder_lies_where_it_is_told_and_shares_no_features(tiny_encoder: Path) -> None:
    here = load_encoder(str(tiny_encoder), 32)
    other = load_encoder(str(tiny_encoder), 32, Device("cpu", "bf16"))
    assert here.device == CPU
    assert load_encoder(str(tiny_encoder), 32, CPU) is here
    assert other is not here
    # Features are fp32 whatever the precision of training is.
    assert (other.features(TEXTS) == here.features(TEXTS)).all()
    elsewhere = load_encoder(str(tiny_encoder), 32, Device("meta"))  # torch's device without memory
    assert {parameter.device.type for parameter in elsewhere.model.parameters()} == {"meta"}


def test_bf16_trains_nearly_as_fp32_and_gives_fp32_weights(tiny_encoder: Path) -> None:
    import torch

    found = {}
    for precision in ("fp32", "bf16"):
        encoder = load_encoder(str(tiny_encoder), 32, Device("cpu", precision))
        head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
        ones = np.ones(len(TEXTS))
        tuned, new = fine_tune_classes(encoder, head, TEXTS, GOLD, ones, seed=0)
        assert {p.dtype for p in tuned.model.parameters()} == {torch.float32}
        assert tuned.device.precision == precision
        found[precision] = new.predict_proba(tuned.features(TEXTS))
    assert (found["fp32"] != found["bf16"]).any()
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.1)


def test_accelerate_is_left_as_it_was_found() -> None:
    """The trap: Accelerate keeps one precision a process, and refuses the second student's."""
    import accelerate
    import torch

    mine = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    try:
        for precision in ("bf16", "fp32"):
            with accelerator_on(Device("cpu", precision)) as inner, inner.autocast():
                assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
                assert inner.gradient_accumulation_steps == 1
        assert mine.device.type == "cpu"
        assert mine.mixed_precision == "no"
        assert mine.gradient_accumulation_steps == 3
    finally:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerate.state.GradientState._reset_state()


def test_a_device_that_accelerate_does_not_take_is_refused(no_gpu: None) -> None:
    """Else it would train there in the precision of another one."""
    with (
        pytest.raises(StudentError, match='chose device "cpu", but the student is on "cuda:0"'),
        accelerator_on(Device("cuda:0")),
    ):
        pass


def test_a_run_under_a_launcher_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: `mpirun` starts four runs, and Accelerate takes them for one training of four."""
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "4", "PMI_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    with accelerator_on(CPU) as accelerator:
        assert accelerator.num_processes == 1
    assert find_device() == CPU
    assert os.environ["WORLD_SIZE"] == "4"


def test_accelerate_is_not_touched_before_an_encoder_is_needed() -> None:
    code = (
        "import sys, pgkd; from pgkd.config import Config\n"
        "from pgkd.tasks.classification.assembly import make_student_from\n"
        "make_student_from(Config.parse({}), ('a', 'b')).clone()\n"
        "print([m for m in ('accelerate', 'torch', 'transformers') if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_fine_tuning_gives_back_the_state_of_its_generators(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU those of all CUDA devices too, and torch's choice of algorithms is left alone."""
    import torch

    from pgkd.encoders.training import reproducible

    forked: list[Any] = []
    before = torch.random.fork_rng

    def fork_rng(devices: Any) -> Any:
        forked.append(devices)
        return before(devices=[])

    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device, algorithms in ((CPU, True), (Device("cuda:1"), False)):
        with reproducible(device, 7):
            assert torch.initial_seed() == 7
            assert torch.are_deterministic_algorithms_enabled() == algorithms
    assert forked == [[], [0, 1]]
    assert not torch.are_deterministic_algorithms_enabled()


def test_no_warning_comes_from_training(tiny_encoder: Path) -> None:
    forget_encoders()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student = EncoderStudent(CLASSES, encoder=str(tiny_encoder), recipe="finetune")
        student.fit(TEXTS, LABELS)
