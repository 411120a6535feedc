"""Micro-batching without delay: texts that arrive while the model is busy are predicted together.

An idle model starts at once on whatever there is, be it one text. A batch takes one text of each
request in turn, so that a short request never waits for all texts of a long one. A batch is bounded
by tokens, not by texts, so that it takes about as long whatever the texts are. The model sorts each
batch by length.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgkd.apps.server.http import OverloadedError

if TYPE_CHECKING:
    from pgkd.task import Input

_BUDGET = 1536  # tokens: four batches of the model (`onnx_model`)
_MAX_TOKENS = 256  # per text: students seldom read more


def estimate_tokens(text: Input) -> int:
    """Tokens of an input, roughly: four bytes make one, and long texts are cut."""
    if isinstance(text, tuple):
        return sum(map(estimate_tokens, text))
    return min(2 + len(text.encode("utf-8", "replace")) // 4, _MAX_TOKENS)


@dataclass(eq=False, slots=True)
class _Job:
    """The inputs of one request, how many are taken, and the rows computed so far."""

    texts: Sequence[Input]
    answer: asyncio.Future[list[Any]]
    taken: int = 0
    rows: list[Any] = field(default_factory=list)


_Batch = list[tuple[_Job, "Input"]]


class Batcher:
    """Predicts in a thread of its own, one batch after the other.

    Args:
        predict: n inputs to n rows, an input's row the same beside whatever others; called from
            one thread only.
        waiting: maximum number of texts that are accepted and not yet answered.
        budget: tokens of a batch; one text is taken however long it is.
        on_batch: called with the number of texts of each batch.
    """

    def __init__(
        self,
        predict: Callable[[list[Any]], Iterable[Any]],
        *,
        waiting: int,
        budget: int = _BUDGET,
        on_batch: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._predict = predict
        self._max_waiting = waiting
        self._budget = budget
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self.waiting = 0
        """Texts accepted and not answered yet."""

    @property
    def full(self) -> bool:
        """Whether not even one more text is accepted."""
        return self.waiting >= self._max_waiting

    async def predict(self, texts: Sequence[Input]) -> list[Any]:
        """The rows of the inputs of one request, at least one.

        Raises:
            OverloadedError: too many texts are waiting already; nothing was done.
        """
        if not texts:
            raise ValueError("Give at least one text.")
        if self.waiting + len(texts) > self._max_waiting:
            raise OverloadedError
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.waiting += len(texts)
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            return await job.answer
        finally:
            self.waiting -= len(texts)

    async def close(self) -> None:
        """Finish what was accepted, and end the thread."""
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def _work(self) -> None:
        while batch := self._next_batch():
            self._on_batch(len(batch))
            await self._answer(batch)
        self._task = None

    def _next_batch(self) -> _Batch:
        """A text of each job in turn until the budget is spent; empty if nothing waits."""
        batch: _Batch = []
        tokens = 0
        while self._jobs and tokens < self._budget:
            job = self._jobs.popleft()
            if job.answer.done():
                continue  # it failed, or its client has gone
            text = job.texts[job.taken]
            job.taken += 1
            batch.append((job, text))
            tokens += estimate_tokens(text)
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return batch

    async def _answer(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        try:
            texts = [text for _, text in batch]
            rows = await loop.run_in_executor(self._thread, self._predict, texts)
        except Exception as error:  # noqa: BLE001  # whatever it is, the request has to end
            await self._answer_one_by_one(batch, error)
            return
        for (job, _), row in zip(batch, rows, strict=True):
            job.rows.append(row)
            if len(job.rows) == len(job.texts) and not job.answer.done():
                job.answer.set_result(job.rows)

    async def _answer_one_by_one(self, batch: _Batch, error: Exception) -> None:
        """After a failure: each job alone, so that only one request fails."""
        jobs = list(dict.fromkeys(job for job, _ in batch))
        if len(jobs) > 1:
            for job in jobs:
                await self._answer([(other, text) for other, text in batch if other is job])
        elif not jobs[0].answer.done():
            jobs[0].answer.set_exception(error)
