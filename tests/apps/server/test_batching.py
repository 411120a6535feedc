"""Nobody is delayed, nobody is starved, what waits is bounded, a failure stays with its request."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.apps.server.batching import Batcher, estimate_tokens
from pgkd.apps.server.http import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from numpy.typing import NDArray


class Model:
    """Answers a text with its length; waits at a gate, and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, texts: list[str]) -> NDArray[np.float64]:
        self.batches.append(texts)
        assert self.gate.wait(10)
        if "bad" in texts:
            raise ValueError("cannot read this")
        return np.array([[len(text), 0.0] for text in texts])


@pytest.fixture
def model() -> Model:
    return Model()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 20)

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def lengths(rows: list[Any]) -> list[int]:
    return [int(row[0]) for row in rows]


def test_a_lone_request_starts_at_once(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        assert lengths(await batcher.predict(["one"])) == [3]
        assert lengths(await batcher.predict(["four"])) == [4]
        await batcher.close()

    run(main)
    assert model.batches == [["one"], ["four"]]


def test_what_came_while_the_model_was_busy_is_predicted_together(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        model.gate.clear()
        first = asyncio.create_task(batcher.predict(["a"]))
        await until(lambda: model.batches == [["a"]])
        others = [asyncio.create_task(batcher.predict([text])) for text in ("bb", "ccc")]
        await until(lambda: batcher.waiting == 3)
        model.gate.set()
        assert lengths(await first) == [1]
        assert [lengths(await other) for other in others] == [[2], [3]]
        assert batcher.waiting == 0
        await batcher.close()

    run(main)
    assert model.batches == [["a"], ["bb", "ccc"]]


def test_a_short_request_does_not_wait_for_a_long_one(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=100, budget=4 * estimate_tokens("x" * 40))
        model.gate.clear()
        long = asyncio.create_task(batcher.predict([f"{i:040}" for i in range(12)]))
        await until(lambda: len(model.batches) == 1)
        short = asyncio.create_task(batcher.predict(["short"]))
        await until(lambda: batcher.waiting == 13)
        model.gate.set()
        assert lengths(await short) == [5]
        assert not long.done()
        assert lengths(await long) == [40] * 12
        await batcher.close()

    run(main)
    assert "short" in model.batches[1]
    # In order, and no batch beyond its budget by more than the text that spends it.
    assert [text for batch in model.batches for text in batch if text != "short"] == [
        f"{i:040}" for i in range(12)
    ]
    assert max(map(len, model.batches)) <= 5


def test_a_batch_is_bounded_by_tokens_and_not_by_texts() -> None:
    assert (
        estimate_tokens("") < estimate_tokens("a few words") < estimate_tokens("a few words " * 9)
    )
    assert estimate_tokens("word " * 100_000) == estimate_tokens("word " * 200_000)


def test_more_than_may_wait_is_refused_and_leaves_nothing_behind(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=3)
        model.gate.clear()
        first = asyncio.create_task(batcher.predict(["a", "b"]))
        await until(lambda: len(model.batches) == 1)
        with pytest.raises(OverloadedError):
            await batcher.predict(["c", "d"])
        assert not batcher.full
        last = asyncio.create_task(batcher.predict(["e"]))
        await until(lambda: batcher.full)
        model.gate.set()
        await asyncio.gather(first, last)
        assert lengths(await batcher.predict(["f", "g", "h"])) == [1, 1, 1]
        await batcher.close()

    run(main)
    assert not {"c", "d"} & {text for batch in model.batches for text in batch}


def test_a_failure_stays_with_its_request(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        model.gate.clear()
        first = asyncio.create_task(batcher.predict(["a"]))
        await until(lambda: len(model.batches) == 1)
        bad = asyncio.create_task(batcher.predict(["bad", "x"]))
        good = asyncio.create_task(batcher.predict(["good"]))
        await until(lambda: batcher.waiting == 4)
        model.gate.set()
        await first
        with pytest.raises(ValueError, match="cannot read this"):
            await bad
        assert lengths(await good) == [4]
        assert lengths(await batcher.predict(["after"])) == [5]
        assert batcher.waiting == 0
        await batcher.close()

    run(main)


def test_texts_that_nobody_waits_for_any_more_are_not_predicted(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        model.gate.clear()
        first = asyncio.create_task(batcher.predict(["a"]))
        await until(lambda: len(model.batches) == 1)
        gone = asyncio.create_task(batcher.predict(["gone"]))
        await until(lambda: batcher.waiting == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        model.gate.set()
        await first
        await batcher.close()

    run(main)
    assert model.batches == [["a"]]


def test_closing_finishes_what_was_accepted(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        model.gate.clear()
        task = asyncio.create_task(batcher.predict(["a"]))
        await until(lambda: len(model.batches) == 1)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        model.gate.set()
        await closing
        assert lengths(await task) == [1]

    run(main)


def test_the_loop_is_free_while_the_model_predicts(model: Model) -> None:
    async def main() -> None:
        batcher = Batcher(model, waiting=10)
        model.gate.clear()
        task = asyncio.create_task(batcher.predict(["a"]))
        await until(lambda: len(model.batches) == 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        model.gate.set()
        await task
        await batcher.close()

    run(main)
