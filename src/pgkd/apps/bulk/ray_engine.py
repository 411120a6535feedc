"""Answers from a cluster: Ray Data moves the chunks, pgkd reads, answers and writes them.

One task reads the file on the machine that started the work. Actors, one per CPU, hold the
model. Chunks, answers and their order are those of the other engine.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.data

from pgkd.apps.bulk.predicting import BulkJob, load_model
from pgkd.errors import EngineError, PgkdError


class _Answerer:
    """An actor that holds the model of a job."""

    def __init__(self, job: BulkJob, first: bool) -> None:
        self._job = job
        self._first = first
        self._model = load_model(job.model, threads=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        texts = json.loads(row["texts"])
        data = self._job.answer(self._model, texts, first=row["number"] == 0 and self._first)
        return {"number": row["number"], "rows": len(texts), "data": data}


def answer_on_cluster(
    job: BulkJob, skip: int = 0, *, first: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Rows and answers of all chunks in order, from the cluster of ``RAY_ADDRESS`` or this machine.

    The folder of the model has to be on every machine, the file on this one.

    Args:
        job: what to answer.
        skip: texts at the beginning that are answered already.
        first: whether the file of answers is still empty.

    Raises:
        EngineError: the cluster cannot be reached, is too small, or fails.
        DataError: the texts cannot be read.
    """
    load_model(job.model, threads=1)  # a broken model fails here, outside Ray
    try:
        with connected():
            for due, row in enumerate(_dataset(job, skip, _count_actors(), first).iter_rows()):
                if row["number"] != due:
                    raise EngineError(f"Ray gave chunk {row['number']}, but {due} was due.")
                yield row["rows"], row["data"]
    except ray.exceptions.RayError as error:
        raise _pgkd_error(error) from error


@contextmanager
def connected() -> Iterator[None]:
    """A connection to a cluster; an existing one is used, and stays open.

    Raises:
        EngineError: the cluster cannot be reached or started.
    """
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(f"Ray cannot be reached or started: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _count_actors() -> int:
    """One actor per CPU, but for one.

    If actors took all CPUs, the task that reads would find none, and all would wait forever
    (https://github.com/ray-project/ray/issues/44687).
    """
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < 2:
        raise EngineError(f"Ray has {cpus} CPUs. It needs two: one reads, the others answer.")
    return cpus - 1


def _dataset(job: BulkJob, skip: int, actors: int, first: bool) -> Any:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # one block per chunk: else one actor gets hundreds

    def read(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, texts in enumerate(job.source.chunks(skip)):
            # As JSON: NumPy's arrays of strings lose a NUL at the end of a text.
            yield {"number": [number], "texts": [json.dumps(texts).encode()]}

    node = str(ray.get_runtime_context().get_node_id())
    # Half a CPU, for Ray fuses steps with equal needs: one actor would read and classify all.
    chunks = ray.data.from_items([{"skip": skip}], override_num_blocks=1).map_batches(
        read, batch_size=None, num_cpus=0.5, label_selector={"ray.io/node-id": node}
    )
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=actors)
    return chunks.map(_Answerer, fn_constructor_args=(job, first), num_cpus=1, compute=pool)


def _pgkd_error(error: Exception) -> PgkdError:
    """Pgkd's own error on the other machine, or one that quotes Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PgkdError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return EngineError(f"Ray failed: {error}")
