"""Micro-batching that delays nobody: what came while the model was busy is predicted together.

A free model starts at once on whatever there is, be it one text. Requests take turns, text by text,
so that a short one never waits for all the texts of a long one. What is taken together is bounded
by its tokens, not by its texts: a turn takes about as long whatever the texts are. The model sorts
each turn by length.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pgkd.apps.server.refusal import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_BUDGET = 1536  # tokens: four batches of the model (`onnx_model`)
_LONGEST = 256  # tokens: students seldom read more


def about_tokens(text: str) -> int:
    """Tokens of a text, roughly: four bytes make one, and what is too long is cut."""
    return min(2 + len(text.encode("utf-8", "replace")) // 4, _LONGEST)


@dataclass(eq=False, slots=True)
class _Job:
    """The texts of one request, and as many of their rows as are computed."""

    texts: Sequence[str]
    answer: asyncio.Future[NDArray[np.float64]]
    taken: int = 0
    rows: list[NDArray[np.float64]] = field(default_factory=list)


class Batcher:
    """Predicts in a thread of its own, one turn after the other.

    Args:
        predict: texts to probabilities of shape (n, n_classes), a text's row the same beside
            whatever others; called from one thread only.
        waiting: texts that may be accepted and not answered.
        budget: tokens of a turn; one text is taken however long it is.
        on_turn: called with the number of texts of each turn.
    """

    def __init__(
        self,
        predict: Callable[[list[str]], NDArray[np.float64]],
        *,
        waiting: int,
        budget: int = _BUDGET,
        on_turn: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._predict = predict
        self._most = waiting
        self._budget = budget
        self._on_turn = on_turn
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._turns: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    @property
    def waiting(self) -> int:
        """Texts accepted and not answered yet."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether not even one text more is accepted."""
        return self._waiting >= self._most

    async def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the texts of one request, shape (n, n_classes), n at least 1.

        Raises:
            OverloadedError: too many texts wait already; nothing was done.
        """
        if not texts:
            raise ValueError("Give at least one text.")
        if self._waiting + len(texts) > self._most:
            raise OverloadedError
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._waiting += len(texts)
        if self._turns is None:
            self._turns = asyncio.create_task(self._take_turns())
        try:
            return await job.answer
        finally:
            self._waiting -= len(texts)

    async def close(self) -> None:
        """Finish what was accepted, and end the thread."""
        if self._turns is not None:
            await self._turns
        self._thread.shutdown()

    async def _take_turns(self) -> None:
        while turn := self._next_turn():
            self._on_turn(len(turn))
            await self._answer(turn)
        self._turns = None

    def _next_turn(self) -> list[tuple[_Job, str]]:
        """A text of each job in turn until the budget is spent; empty where nothing waits."""
        turn: list[tuple[_Job, str]] = []
        tokens = 0
        while self._jobs and tokens < self._budget:
            job = self._jobs.popleft()
            if job.answer.done():
                continue  # it failed, or nobody waits for it any more
            text = job.texts[job.taken]
            job.taken += 1
            turn.append((job, text))
            tokens += about_tokens(text)
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return turn

    async def _answer(self, turn: list[tuple[_Job, str]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            texts = [text for _, text in turn]
            rows = await loop.run_in_executor(self._thread, self._predict, texts)
        except Exception as error:  # noqa: BLE001  # whatever it is, the request has to end
            await self._answer_apart(turn, error)
            return
        for (job, _), row in zip(turn, rows, strict=True):
            job.rows.append(row)
            if len(job.rows) == len(job.texts) and not job.answer.done():
                job.answer.set_result(np.stack(job.rows))

    async def _answer_apart(self, turn: list[tuple[_Job, str]], error: Exception) -> None:
        """After a failure: each job alone, so that it is the failure of one request only."""
        jobs = list(dict.fromkeys(job for job, _ in turn))
        if len(jobs) > 1:
            for job in jobs:
                await self._answer([(other, text) for other, text in turn if other is job])
        elif not jobs[0].answer.done():
            jobs[0].answer.set_exception(error)
