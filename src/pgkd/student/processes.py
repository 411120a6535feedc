"""Fine-tuning split over several processes, on a GPU each; all else stays in the one of the run.

The process of the run writes encoder, head and rows into a folder, starts the workers by torch's
launcher, and reads weights from the folder when they have ended. A student of 22M parameters and a
thousand rows gains nothing by it; a large encoder may.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.student.devices import place_of
from pgkd.student.encoders import load_encoder, save_encoder
from pgkd.student.finetune import FineTuning, fine_tune
from pgkd.student.head import Head

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.student.devices import Place
    from pgkd.student.features import Encoder

_JOB = "Fine-tuning"
_ENCODER, _ROWS, _ARRAYS = "encoder", "rows.json", "arrays.safetensors"
_TUNED_ENCODER, _TUNED_HEAD = "tuned.safetensors", "head.safetensors"
_WORKER = "import pathlib, sys, pgkd.student.processes as p; p.work(pathlib.Path(sys.argv[1]))"
_TOLD = 2000  # characters of what a worker said that an error repeats


def fine_tune_together(
    encoder: Encoder,
    head: Head,
    texts: Sequence[str],
    gold: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    seed: int,
    processes: int,
    recipe: FineTuning | None = None,
) -> tuple[Encoder, Head]:
    """`fine_tune`, with each batch split over several processes.

    Without dropout it gives the weights that one process gives, but for rounding; dropout is drawn
    by each process for its rows.

    Args:
        encoder: where training starts, on a CPU or on CUDA; it is not changed.
        head: fitted on the encoder's features.
        texts: n texts.
        gold: shape (n,), class indices.
        weights: shape (n,), the weight of each row's loss.
        seed: of the order of the rows and of dropout.
        processes: how many, each on a GPU of its own where the encoder lies on one.
        recipe: how long and how fast.

    Raises:
        StudentError: there are fewer GPUs than processes, or a worker failed.
    """
    from safetensors.numpy import load_file, save_file
    from safetensors.torch import load_model

    torch = require("torch", extra="train", job=_JOB)
    _check(torch, encoder.place, processes)
    with TemporaryDirectory(prefix="pgkd-") as name:
        folder = Path(name)
        save_encoder(encoder, folder / _ENCODER)
        told = {
            "texts": list(texts), "seed": seed, "recipe": asdict(recipe or FineTuning()),
            "max_length": encoder.max_length, "kind": encoder.place.kind,
            "precision": encoder.place.precision,
        }  # fmt: skip
        (folder / _ROWS).write_text(json.dumps(told), encoding="utf-8")
        arrays = {"gold": gold, "row_weights": weights, "weights": head.weights, "bias": head.bias}
        save_file(arrays, folder / _ARRAYS)
        _run_workers(folder, processes, threads=max(1, torch.get_num_threads() // processes))
        model = copy.deepcopy(encoder.model)
        load_model(model, folder / _TUNED_ENCODER, device=encoder.place.device)
        return encoder.trained(model), Head(**load_file(folder / _TUNED_HEAD))


def _check(torch: Any, place: Place, processes: int) -> None:
    gpus = torch.cuda.device_count() if place.kind == "cuda" else 0
    if place.kind != "cpu" and processes > gpus:
        raise StudentError(
            f"{processes} processes need a CUDA device each, and there are {gpus}. Lower "
            "`processes`, or give the device cpu."
        )


def _run_workers(folder: Path, processes: int, *, threads: int) -> None:
    """Start the workers on this machine and wait for them; they end with this process's call."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1",
        f"--nproc-per-node={processes}", "--no-python", sys.executable, "-c", _WORKER, str(folder),
    ]  # fmt: skip
    # Modules come from where this process has them, and never from the folder it happens to be in.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    settings = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    kept = {k: v for k, v in os.environ.items() if k != "ACCELERATE_TORCH_DEVICE"}  # one for all
    with subprocess.Popen(  # noqa: S603
        command, env={**kept, **settings}, stderr=subprocess.PIPE, text=True
    ) as launcher:
        try:
            _, said = launcher.communicate()
        except BaseException:
            launcher.terminate()  # it ends its workers; a kill would leave them
            raise
    if launcher.returncode:
        raise StudentError(f"A process of fine-tuning failed:\n{said[-_TOLD:]}")


def work(folder: Path) -> None:
    """One worker: train on a share of every batch; the first one writes the weights."""
    from safetensors.numpy import load_file, save_file
    from safetensors.torch import save_model

    torch = require("torch", extra="train", job=_JOB)
    told = json.loads((folder / _ROWS).read_text(encoding="utf-8"))
    arrays = load_file(folder / _ARRAYS)
    device = "cpu" if told["kind"] == "cpu" else f"cuda:{os.environ['LOCAL_RANK']}"
    place = place_of(device, told["precision"])
    encoder = load_encoder(str(folder / _ENCODER), told["max_length"], place)
    tuned, head = fine_tune(
        encoder, Head(arrays["weights"], arrays["bias"]), told["texts"], arrays["gold"],
        arrays["row_weights"], seed=told["seed"], recipe=FineTuning(**told["recipe"]),
        together=True,
    )  # fmt: skip
    if torch.distributed.get_rank() == 0:
        save_model(tuned.model, folder / _TUNED_ENCODER)
        save_file({"weights": head.weights, "bias": head.bias}, folder / _TUNED_HEAD)
    torch.distributed.destroy_process_group()
