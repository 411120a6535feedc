"""What a run will cost, before it costs anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgkd.distill.assembly import curator_of, guide_of
from pgkd.distill.events import Hooks
from pgkd.distill.store import RunFolder
from pgkd.distill.writing import Writer
from pgkd.teacher import FakeTeacher
from pgkd.teacher.account.budget import most_tokens, prompt_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from pgkd.config import Config
    from pgkd.guidance import Ask
    from pgkd.task import Task
    from pgkd.teacher.account import Prices

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the label around each text of an answer


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all rounds will use if each asks like the first, and none is left out.

    Attributes:
        calls: requests, without repairs.
        input_tokens: of prompts, about.
        output_tokens: of answers, about.
        most_tokens: what a budget would reserve for all of them.
        usd: US dollars, about; None where no price is known.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    most_tokens: int
    usd: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; dollars as a decimal in words."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "most_tokens": self.most_tokens,
            "usd": None if self.usd is None else str(self.usd),
        }


def first_asks(config: Config, task: Task) -> tuple[Ask, ...]:
    """The requests of round 1, from a student that is trained for it. No teacher is asked."""
    with TemporaryDirectory(prefix="pgkd-") as folder:
        run, hooks = RunFolder(Path(folder)), Hooks()
        # It stands in where the teacher would describe the task: a sentence of every prompt.
        writer = Writer(FakeTeacher(), curator_of(config, task), run, hooks, repairs=0)
        guide = guide_of(config, task, writer, run, hooks)
        assessment = guide.assess(guide.train([]), [])
        return tuple(guide.ask(1, assessment, []))


def estimate(
    asks: Sequence[Ask], rounds: int, texts: Sequence[str], prices: Prices, model: str
) -> Estimate:
    """What `rounds` rounds of such requests will use.

    Args:
        asks: the requests of one round.
        rounds: rounds that will be run at most.
        texts: real texts, as long as those that will be written.
        prices: of the teacher.
        model: that is asked.
    """
    prompts = sum(prompt_bytes(ask.request) for ask in asks) // _BYTES_A_TOKEN
    length = sum(len(text.encode()) for text in texts) / len(texts) / _BYTES_A_TOKEN
    answers = sum(round(ask.count * (length + _AROUND_A_TEXT)) for ask in asks)
    most = sum(most_tokens(ask.request) for ask in asks)
    usd = prices.cost(model, prompts * rounds, answers * rounds)
    return Estimate(len(asks) * rounds, prompts * rounds, answers * rounds, most * rounds, usd)
