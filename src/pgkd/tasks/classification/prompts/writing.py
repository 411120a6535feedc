"""A prompt for synthetic texts: templates, schema, sampling, shown rows, parsing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pgkd.task import Parsed, Prompt
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.prompts.parsing import parse_samples
from pgkd.tasks.common.samples import LengthTarget, answer_tokens, closed
from pgkd.teachers.base import Message, Reply, Request, Sampling

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class WritePrompt(Prompt):
    """Asks for synthetic texts.

    Attributes:
        labels: the only ones that the reply may use.
        wanted: texts asked for of each of the labels; empty where the teacher chooses.
        masks: placeholders that a text may hold, for the user's rows hold them.
    """

    shown: tuple[LabelledText, ...]
    labels: tuple[str, ...] = ()
    wanted: tuple[int, ...] = ()
    masks: frozenset[str] = frozenset()

    def parse(self, reply: Reply, count: int) -> Parsed:
        """See `Prompt.parse`."""
        found = parse_samples(
            reply.text, self.labels, masks=self.masks,
            count=None if self.wanted else count,  # `select` counts label by label
            cut_off=reply.finish_reason == "length",
        )  # fmt: skip
        doubted = [row for i, row in enumerate(self.shown, start=1) if i in found.doubtful]
        return Parsed(found.samples, found.faults, tuple(doubted))

    def select(self, accepted: Sequence[Any]) -> list[bool]:
        """See `Prompt.select`: of each label so many, where that was said."""
        room = Counter(dict(zip(self.labels, self.wanted, strict=True)) if self.wanted else {})
        taken: list[bool] = []
        for sample in accepted:
            fits = sum(taken) < self.count and (not self.wanted or room[sample.label] > 0)
            room[sample.label] -= fits
            taken.append(fits)
        return taken

    def repair_schema(self, accepted: Sequence[Any], missing: int) -> dict[str, Any] | None:
        """See `Prompt.repair_schema`."""
        got = Counter(sample.label for sample in accepted)
        left = [(label, n - got[label]) for label, n in zip(self.labels, self.wanted, strict=False)]
        portions = [(label, n) for label, n in left if n > 0]
        return texts_schema(portions) if portions else None

    def parents(self, example: Any) -> tuple[str, ...]:
        """See `Prompt.parents`: those with the same label."""
        return tuple(row.id for row in self.shown if row.label == example.label)

    def to_json(self) -> dict[str, Any]:
        """See `Prompt.to_json`."""
        labels = self.labels if len(self.labels) == 1 else "all"
        return {**super().to_json(), "labels": labels}


def texts_schema(portions: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """JSON schema of an answer: so many texts of each class, numbered as the prompt numbers them.

    Args:
        portions: class names, each with the number of texts that is asked for.
    """
    answers = {
        str(number): closed(
            {
                "label": {"type": "string", "enum": [label]},
                "texts": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": count,
                    "maxItems": count,
                },
            }
        )
        for number, (label, count) in enumerate(portions, start=1)
    }
    return closed({**answers, "doubtful": {"type": "array", "items": {"type": "integer"}}})


def samples_schema(labels: Sequence[str], count: int) -> dict[str, Any]:
    """JSON schema of an answer: exactly `count` samples with a class from the list."""
    sample = {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": list(labels)},
            "text": {"type": "string"},
        },
        "required": ["label", "text"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "samples": {"type": "array", "items": sample, "minItems": count, "maxItems": count},
            "doubtful": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["samples", "doubtful"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How texts are asked for, the same in every request of a run.

    Attributes:
        length: words of a usual text.
        temperature: randomness of the answer.
        top_p: nucleus sampling.
        max_tokens: bound of an answer; None derives it from what is asked.
        seed: the run's; every request draws its own from it and its id.
        masks: placeholders that the user's rows hold.
    """

    length: LengthTarget
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int | None = None
    seed: int = 0
    masks: frozenset[str] = frozenset()

    def request(
        self,
        number: str,
        system: str,
        user: str,
        labels: Sequence[str],
        count: int,
        schema: dict[str, Any] | None = None,
    ) -> Request:
        """A request to write `count` texts of these classes.

        Args:
            number: id of the request.
            system: the system prompt.
            user: what the user says.
            labels: the only classes that the answer may use.
            count: texts in all.
            schema: of the answer; default: `samples_schema`.
        """
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens or answer_tokens(count, self.length),
            seed=crc32(f"{self.seed}/{number}".encode()) >> 1,  # fits a signed 32-bit integer
        )
        messages = (Message("system", system), Message("user", user))
        return Request(messages, schema or samples_schema(labels, count), sampling)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Prompts are plain text for a model; HTML escaping would put entities into them.
    return Environment(
        loader=PackageLoader("pgkd.tasks.classification.prompts", "templates"),
        undefined=StrictUndefined,
        trim_blocks=False,
        autoescape=False,  # noqa: S701
    )


def render(template: str, /, **values: Any) -> str:
    """Fill a template.

    Args:
        template: name of a ``.j2`` file, without the suffix.
        values: every hole of the template; a missing one raises.
    """
    return _environment().get_template(f"{template}.j2").render(**values).strip()
