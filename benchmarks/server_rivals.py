"""Servers to compare `pgkd serve` with.

python benchmarks/server_rivals.py minimal EXPORT PORT      # FastAPI and onnxruntime, by hand
python benchmarks/server_rivals.py apart EXPORT PORT        # pgkd serve without micro-batching
python benchmarks/server_rivals.py budget=768 EXPORT PORT   # pgkd serve with another budget

The minimal handler is what somebody who knows these libraries writes in half an hour: the same
int8 graph on one thread a worker, the same tokenizer, texts padded to the longest of the request,
two workers of uvicorn, a plain `def` endpoint, which FastAPI runs in its pool of threads.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

import pgkd.server.app
from pgkd.server import Limits, serve
from pgkd.server.batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import FastAPI
    from numpy.typing import NDArray

WORKERS = len(os.sched_getaffinity(0))
_EXPORT = "BENCHMARK_EXPORT"
_ROOM = 4096  # texts that may wait: connections fall unevenly on workers, and none is to be refused


class Question(pydantic.BaseModel):
    """What the minimal handler is asked."""

    text: str | None = None
    texts: list[str] | None = None


class Prediction(pydantic.BaseModel):
    """What it answers for a text."""

    label: str
    probability: float


class Answer(pydantic.BaseModel):
    """What it answers."""

    predictions: list[Prediction]


def minimal() -> FastAPI:
    """The minimal handler; uvicorn calls this in every worker."""
    import onnxruntime
    from fastapi import FastAPI
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    from pgkd.serving.manifest import Manifest

    folder = Path(os.environ[_EXPORT])
    manifest = Manifest.read(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(manifest.max_length or 128)
    tokenizer.enable_padding()
    head = load_file(folder / "head.safetensors")
    app = FastAPI()

    @app.post("/predict")
    def predict(question: Question) -> Answer:
        texts = [question.text] if question.text is not None else question.texts or []
        found = tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": np.array([row.ids for row in found], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in found], dtype=np.int64),
        }
        [features] = session.run(None, inputs)
        scores = features @ head["weights"].T + head["bias"]
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        rows = raised / raised.sum(axis=1, keepdims=True)
        best = rows.argmax(axis=1)
        return Answer(
            predictions=[
                Prediction(label=manifest.classes[i], probability=float(row[i]))
                for i, row in zip(best, rows, strict=True)
            ]
        )

    return app


class Apart:
    """Stands for the batcher: every request is predicted by itself, in the order of arrival."""

    full = False

    def __init__(
        self, predict: Callable[[list[str]], NDArray[np.float64]], **settings: Any
    ) -> None:
        self._predict = predict
        self._thread = ThreadPoolExecutor(1)

    async def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the texts of one request."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._predict, list(texts))

    async def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def change_pgkd(which: str) -> None:
    """Make `pgkd serve` of this process what `which` says; its workers read this module too."""
    if which == "apart":
        setattr(pgkd.server.app, "Batcher", Apart)  # noqa: B010  (mypy knows it for a class)
    elif which.startswith("budget="):
        settings = Batcher.__init__.__kwdefaults__
        assert settings is not None
        settings["budget"] = int(which.removeprefix("budget="))


if len(sys.argv) > 1:
    change_pgkd(sys.argv[1])

if __name__ == "__main__":
    which, export, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if which == "minimal":
        import uvicorn

        os.environ[_EXPORT] = export
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        uvicorn.run(
            "server_rivals:minimal", factory=True, port=port, workers=WORKERS,
            app_dir=str(Path(__file__).parent), log_level="warning", access_log=False,
        )  # fmt: skip
    else:
        serve(Path(export), port=port, workers=WORKERS, limits=Limits(waiting=_ROOM))
