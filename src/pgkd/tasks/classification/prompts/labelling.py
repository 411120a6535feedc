"""The teacher as a classifier: the class list as an enum, with or without examples.

Three ways to ask, by what a provider can tell of its answer:

- ``"score"``: the probability of every class, where the teacher tells it (`scores_choices`). Models
  prefer some label words whatever the text is; the mean probability of each class over all texts,
  its prior, is taken off (batch calibration, Zhou et al., ICLR 2024). Not the mean log-probability:
  over many classes that is ruled by how unlikely the unlikely ones are.
- ``"answer"``: one answer; its probability, where the provider tells it.
- ``"agree"``: several answers drawn at random; the class that most of them name, and their share
  (self-consistency, Wang et al., ICLR 2023).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pgkd.errors import ConfigError, TeacherError, TeacherRequestError
from pgkd.tasks.classification.prompts.writing import render
from pgkd.teachers.base import Message, Reply, Request, Sampling
from pgkd.teachers.replies import objects
from pgkd.text import shortened
from pgkd.usage.retry import in_order, with_breaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.teachers.base import Teacher

Method = Literal["auto", "score", "answer", "agree"]
METHODS: tuple[Method, ...] = ("auto", "score", "answer", "agree")

_TEXT_WORDS = 300  # of a text that is shown: the context of a local teacher is small
_SHOWN = 300  # characters of a reply that an error shows
_TEMPERATURE = 0.7  # of answers that are drawn to see whether they agree
_ENOUGH_FOR_PRIOR = 20  # texts: the mean over fewer says more of them than of the model


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a teacher says of one text.

    Attributes:
        label: a class of the list; None where the answer is none of them, or the teacher refused
            the text. Nothing is put in its place: a wrong answer is an answer.
        confidence: probability of the label as far as the teacher tells; None where it does not.
        probabilities: of all classes, in their order; None but for ``"score"``.
    """

    label: str | None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None


def label_texts(
    teacher: Teacher,
    texts: Sequence[str],
    taxonomy: Taxonomy,
    *,
    examples: Sequence[LabelledText] = (),
    method: Method = "auto",
    samples: int = 5,
    calibrate: bool = True,
    seed: int = 0,
    on_reply: Callable[[Reply], object] = lambda reply: None,
    needs_some: bool = False,
) -> list[Labelled]:
    """Let a teacher classify texts, as many at once as it takes.

    Args:
        teacher: who is asked.
        texts: n texts.
        taxonomy: the classes.
        examples: labelled rows that every request shows; none asks zero-shot.
        method: how, see the module; ``"auto"`` is ``"score"`` where the teacher can, else
            ``"answer"``.
        samples: answers that are drawn for each text by ``"agree"``.
        calibrate: whether ``"score"`` takes the prior of the classes off, where there are 20 texts
            or more. It supposes that the classes are about equally common among them.
        seed: of every request. A single answer is drawn at temperature 0, so most providers have no
            use for it.
        on_reply: called with every reply, in the order asked: the place to show progress.
        needs_some: whether it is an error if no text at all gets a label.

    Returns:
        n answers, in the order of the texts.

    Raises:
        TeacherError: a call gave no reply, or so many in a row were refused that it cannot be the
            texts; or no text got a label, and some are needed.
        ConfigError: the teacher tells no scores, and the method needs them.
    """
    chosen = _method(method, teacher)
    teacher = with_breaker(teacher)
    repeats = samples if chosen == "agree" else 1
    requests = (
        request
        for text in texts
        for request in _requests(text, taxonomy, chosen, repeats, examples=examples, seed=seed)
    )
    replies = list(_replies(teacher, requests, on_reply))
    if chosen == "agree":
        starts = range(0, len(replies), repeats)
        found = [_agreed(replies[start : start + repeats], taxonomy) for start in starts]
    else:
        found = read_labels(replies, taxonomy, scored=chosen == "score", calibrate=calibrate)
    if needs_some and found and all(answer.label is None for answer in found):
        raise TeacherError(_nothing_read(len(found), replies))
    return found


def label_request(
    text: str,
    taxonomy: Taxonomy,
    *,
    examples: Sequence[LabelledText] = (),
    seed: int = 0,
    scored: bool = False,
) -> Request:
    """The request that classifies one text; classes and examples come first, for prefix caches.

    Args:
        text: what to classify.
        taxonomy: the classes.
        examples: labelled rows to show.
        seed: of the answer.
        scored: whether the scores of all class names are wanted, and not an answer in JSON.
    """
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(taxonomy.names)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    names = [row.label for row in examples]
    answers = names if scored else [json.dumps({"label": n}, ensure_ascii=False) for n in names]
    shown = [(as_shown(row.text), answer) for row, answer in zip(examples, answers, strict=True)]
    system = render("label_system", taxonomy=taxonomy, examples=shown, scored=scored)
    return Request(
        (Message("system", system), Message("user", label_prompt(text))),
        schema=None if scored else schema,
        sampling=Sampling(temperature=0.0, max_tokens=96, seed=seed),
        purpose="label",
        choices=taxonomy.names if scored else (),
    )


def label_many_request(texts: Sequence[str], taxonomy: Taxonomy, *, seed: int = 0) -> Request:
    """The request that classifies several texts at once.

    Args:
        texts: n texts; n labels are wanted, in their order.
        taxonomy: the classes.
        seed: of the answer.
    """
    label = {"type": "string", "enum": list(taxonomy.names)}
    labels = {"type": "array", "items": label, "minItems": len(texts), "maxItems": len(texts)}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"labels": labels},
        "required": ["labels"],
        "additionalProperties": False,
    }
    system = render("label_many_system", taxonomy=taxonomy)
    user = render("label_many_user", texts=[as_shown(text) for text in texts])
    longest = max(len(name.encode()) for name in taxonomy.names)
    bound = 64 + len(texts) * (8 + longest // 2)
    return Request(
        (Message("system", system), Message("user", user)),
        schema=schema,
        sampling=Sampling(temperature=0.0, max_tokens=bound, seed=seed),
        purpose="exam",
    )


def read_many_labels(reply: Reply | None, n: int, taxonomy: Taxonomy) -> list[str | None]:
    """What a reply to `label_many_request` says, one a text; None where it says no class.

    A reply with another number of labels says nothing: nobody knows which text each is of.
    """
    found = [] if reply is None else objects(reply.text, "labels")
    labels = found[-1]["labels"] if found else None
    if not isinstance(labels, list) or len(labels) != n:
        return [None] * n
    return [x if isinstance(x, str) and x in taxonomy.index else None for x in labels]


def label_prompt(text: str) -> str:
    """What the user says in a request for the class of a text."""
    return render("label_user", text=as_shown(text))


def read_labels(
    replies: Sequence[Reply | None],
    taxonomy: Taxonomy,
    *,
    scored: bool,
    calibrate: bool = True,
) -> list[Labelled]:
    """What replies to `label_request` say, one a text.

    Args:
        replies: n replies; None where the teacher refused a text.
        taxonomy: the classes.
        scored: whether scores were asked for.
        calibrate: see `label_texts`.
    """
    if scored:
        return _scored(replies, taxonomy, calibrate=calibrate)
    return [_answered(reply, taxonomy) for reply in replies]


def without_prior(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class probabilities when each class's mean probability over the texts is divided out.

    The mean counts one more text, in which all classes are alike: a class that is unlikely
    everywhere does not win where it is a little less so.

    Args:
        scores: log-probabilities, shape (n_texts, n_classes).

    Returns:
        Probabilities of the same shape; rows sum to one.
    """
    n_texts, n_classes = scores.shape
    prior = (_softmax(scores).sum(axis=0) + 1 / n_classes) / (n_texts + 1)
    return _softmax(scores - np.log(prior))


def _method(method: Method, teacher: Teacher) -> Method:
    if method == "auto":
        return "score" if teacher.scores_choices else "answer"
    if method == "score" and not teacher.scores_choices:
        raise ConfigError(
            f"The teacher {teacher.name} does not tell the probability of every class: "
            "label by 'answer' or 'agree' instead of 'score'."
        )
    return method


def _requests(
    text: str,
    taxonomy: Taxonomy,
    method: Method,
    repeats: int,
    *,
    examples: Sequence[LabelledText],
    seed: int,
) -> Iterator[Request]:
    scored = method == "score"
    request = label_request(text, taxonomy, examples=examples, seed=seed, scored=scored)
    if scored:
        yield request
    elif method == "answer":
        yield replace(request, wants_logprob=True)
    else:
        for k in range(repeats):
            drawn = replace(request.sampling, temperature=_TEMPERATURE, seed=seed + k)
            yield replace(request, sampling=drawn, repeat=k)


def _replies(
    teacher: Teacher, requests: Iterable[Request], on_reply: Callable[[Reply], object]
) -> Iterator[Reply | None]:
    """One reply a request; None where the teacher refuses one, as a filter does with some texts."""
    with closing(in_order(teacher, partial(_ask, teacher), requests)) as answers:
        for answer in answers:
            if answer is not None:
                on_reply(answer)
            yield answer


def _ask(teacher: Teacher, request: Request) -> Reply | None:
    # Named by what it asks, not by its place: a file with other rows finds the old replies.
    request = replace(request, id=f"label-{request.key[:12]}")
    try:
        return teacher.complete(request)
    except TeacherRequestError:
        return None


def _scored(
    replies: Sequence[Reply | None], taxonomy: Taxonomy, *, calibrate: bool
) -> list[Labelled]:
    told = [reply.scores for reply in replies if reply is not None]
    if not told:
        return [Labelled(None)] * len(replies)
    scores = np.array(told, dtype=np.float64)
    off = calibrate and len(told) >= _ENOUGH_FOR_PRIOR
    rows = iter(without_prior(scores) if off else _softmax(scores))
    return [Labelled(None) if r is None else _likeliest(next(rows), taxonomy) for r in replies]


def _likeliest(probabilities: NDArray[np.float64], taxonomy: Taxonomy) -> Labelled:
    best = int(probabilities.argmax())
    return Labelled(
        taxonomy.names[best], float(probabilities[best]), tuple(map(float, probabilities))
    )


def _nothing_read(n: int, replies: Sequence[Reply | None]) -> str:
    """Why no text has a label, with one reply as an example."""
    message = f"The teacher named a class of the list for none of {n} texts."
    last = next((reply for reply in reversed(replies) if reply is not None), None)
    if last is None:
        return f"{message} It refused them all."
    if last.finish_reason == "length":
        message += " Its replies are cut off at their bound of tokens: raise teacher.max_tokens."
    refused = ", a refusal" if last.finish_reason == "refusal" else ""
    return f"{message} One reply{refused}: {' '.join(last.text.split())[:_SHOWN]!r}"


def _answered(reply: Reply | None, taxonomy: Taxonomy) -> Labelled:
    label = _label_of(reply, taxonomy)
    if reply is None or label is None or reply.logprob is None:
        return Labelled(label)
    return Labelled(label, math.exp(min(0.0, reply.logprob)))


def _agreed(replies: Sequence[Reply | None], taxonomy: Taxonomy) -> Labelled:
    """The class that most answers name, the first named of several.

    An answer off the list votes for none, and lowers the share.
    """
    named = (_label_of(reply, taxonomy) for reply in replies)
    votes = Counter(label for label in named if label is not None)
    if not votes:
        return Labelled(None)
    label, count = votes.most_common(1)[0]
    return Labelled(label, count / len(replies))


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def as_shown(text: str) -> str:
    """A text as a question for its class shows it."""
    return shortened(text, _TEXT_WORDS)


def _label_of(reply: Reply | None, taxonomy: Taxonomy) -> str | None:
    """The class that a reply names; of several answers the last one counts."""
    answers = [] if reply is None else objects(reply.text, "label")
    label = answers[-1]["label"] if answers else None
    return label if isinstance(label, str) and label in taxonomy.index else None
