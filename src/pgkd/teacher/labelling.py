"""The teacher as a classifier: the class list as an enum, with or without examples."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgkd.teacher.base import Message, Request, Sampling
from pgkd.teacher.prompts import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgkd.task.example import Example
    from pgkd.task.taxonomy import Taxonomy
    from pgkd.teacher.base import Reply, Teacher

_TEXT_WORDS = 300  # of a text that is shown: the context of a local teacher is small


def label_texts(
    teacher: Teacher,
    texts: Sequence[str],
    taxonomy: Taxonomy,
    *,
    examples: Sequence[Example] = (),
    seed: int = 0,
    on_reply: Callable[[Reply], object] = lambda reply: None,
) -> list[str | None]:
    """Let a teacher classify texts, one request each.

    Args:
        teacher: who is asked.
        texts: n texts.
        taxonomy: the classes.
        examples: labelled rows that every request shows; none asks zero-shot.
        seed: of every request. The temperature is 0, so most providers have no use for it.
        on_reply: called with every reply: the place to show progress.

    Returns:
        n class names; None where the answer is not a class of the list. Nothing is put in its
        place: a wrong answer is an answer.

    Raises:
        TeacherError: a call gave no reply.
    """
    answers = []
    for i, text in enumerate(texts, start=1):
        request = label_request(text, taxonomy, examples=examples, seed=seed)
        request = replace(request, id=f"label-{i:05d}")
        reply = teacher.complete(request)
        on_reply(reply)
        answers.append(_label_of(reply, taxonomy))
    return answers


def label_request(
    text: str, taxonomy: Taxonomy, *, examples: Sequence[Example] = (), seed: int = 0
) -> Request:
    """The request that classifies one text; classes and examples come first, for prefix caches."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(taxonomy.names)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    answers = [json.dumps({"label": row.label}, ensure_ascii=False) for row in examples]
    shown = [(_shorten(row.text), answer) for row, answer in zip(examples, answers, strict=True)]
    messages = (
        Message("system", render("label_system", taxonomy=taxonomy, examples=shown)),
        Message("user", render("label_user", text=_shorten(text))),
    )
    return Request(messages, schema, Sampling(temperature=0.0, max_tokens=96, seed=seed), "label")


def _shorten(text: str) -> str:
    return " ".join(text.split()[:_TEXT_WORDS])


def _label_of(reply: Reply, taxonomy: Taxonomy) -> str | None:
    try:
        answer = json.loads(reply.text)
    except (ValueError, RecursionError):
        return None
    label = answer.get("label") if isinstance(answer, dict) else None
    return label if isinstance(label, str) and label in taxonomy.index else None
