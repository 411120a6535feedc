"""Answers from a cluster: Ray Data moves the chunks, pgkd reads, classifies and writes them.

One task reads the file on the machine that started the work. Actors, one a CPU, hold the
classifier. The chunks are those of the other engine, and so are the answers and their order.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from pgkd.apps.bulk.job import Job, Piece
from pgkd.apps.bulk.models import load_model
from pgkd.errors import EngineError, PgkdError

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Answerer:
    """An actor that holds the classifier of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model = load_model(job.model, threads=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        piece = self._job.answer(self._model, json.loads(row["texts"]))
        return {"number": row["number"], "rows": piece.rows, "data": piece.data}


def answer_on_cluster(job: Job, skip: int = 0) -> Iterator[Piece]:
    """Answers to all chunks in their order, from the cluster of ``RAY_ADDRESS`` or this machine.

    Args:
        job: what to answer. The folder of its model has to be on every machine, its file on this
            one.
        skip: texts that are answered already, from the first one on.

    Raises:
        EngineError: the cluster cannot be reached, is too small, or fails.
        DataError: the texts cannot be read.
    """
    load_model(job.model, threads=1)  # what is wrong with it is told here, without Ray around
    try:
        with started():
            for due, row in enumerate(_dataset(job, skip, _actors()).iter_rows()):
                if row["number"] != due:
                    raise EngineError(f"Ray gave chunk {row['number']} where {due} was due.")
                yield Piece(row["rows"], row["data"])
    except ray.exceptions.RayError as error:
        raise _told(error) from error


@contextmanager
def started() -> Iterator[None]:
    """A connection to a cluster; one that is there already is used, and stays.

    Raises:
        EngineError: the cluster cannot be reached or started.
    """
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(f"Ray cannot be reached or started: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _actors() -> int:
    """As many actors as CPUs but one.

    Where actors take all CPUs, the task that reads finds none, and all wait for ever
    (https://github.com/ray-project/ray/issues/44687).
    """
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < 2:
        raise EngineError(f"Ray has {cpus} CPUs. It needs two: one reads, the others classify.")
    return cpus - 1


def _dataset(job: Job, skip: int, actors: int) -> Any:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # a block a chunk: else one actor would get hundreds

    def read(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, texts in enumerate(job.source.chunks(skip)):
            # As JSON: of arrays of strings, NumPy's lose a zero at the end of a text.
            yield {"number": [number], "texts": [json.dumps(texts).encode()]}

    # Half a CPU, for Ray joins steps that need the same: one actor would read and classify all.
    chunks = ray.data.from_items([{"skip": skip}], override_num_blocks=1).map_batches(
        read, batch_size=None, num_cpus=0.5, label_selector={"ray.io/node-id": _this_node()}
    )
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=actors)
    return chunks.map(_Answerer, fn_constructor_args=(job,), num_cpus=1, compute=pool)


def _this_node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _told(error: Exception) -> PgkdError:
    """What went wrong: pgkd's own error on the other machine, or Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PgkdError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return EngineError(f"Ray failed: {error}")
