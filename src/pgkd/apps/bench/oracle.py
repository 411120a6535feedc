"""A writer of known quality: its texts are real rows of the training file that the run has not.

With it a grid runs in minutes and without an LLM, and shows what guidance is worth where writing is
as good as it can be. A share of its texts can be wrong on purpose: rows of the class that is most
like the one asked for, under the label asked for, as a small teacher slips into the neighbour.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from pgkd.errors import TeacherRequestError
from pgkd.tasks.classification.prompts.labelling import as_shown, label_prompt
from pgkd.teachers.base import Reply, Request, Teacher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgkd.tasks.classification.data.examples import LabelledText

_MISTAKE = re.compile(r"=> (.+?) \(student says ")
"""How a prompt shows a row that the student gets wrong, with its class."""
_NUMBERED = re.compile(r"\d+\. ")


class OracleTeacher(Teacher):
    """Answers requests for texts with real rows, each given once.

    The rows of a class come in one order, drawn by the seed: two arms that ask for the same number
    of texts of a class get the same ones, so that they differ by what they ask for alone. A class
    whose rows run out gets fewer texts than were asked for.

    Where a request leaves the class to the teacher, it draws among the classes of the mistakes that
    the prompt shows, each as often as it is shown, and among all classes where none is shown. It
    reads nothing else of a prompt.

    Where a request asks for the class of a text that is a row, it tells the true one.

    Args:
        rows: rows that the run does not have.
        known: rows whose classes it tells besides.
        error_share: share of the texts that are rows of the most similar class.
        seed: of all that is drawn.
    """

    name = "oracle"
    model = "rows of the training file"

    def __init__(
        self,
        rows: Sequence[LabelledText],
        known: Sequence[LabelledText] = (),
        *,
        error_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._seed = seed
        self._error_share = error_share
        self._label_of = {row.text: row.label for row in rows}
        self._known = (*known, *rows)
        self._left: dict[str, list[str]] = {}
        for row in rows:
            self._left.setdefault(row.label, []).append(row.text)
        for label, texts in self._left.items():
            order = np.random.default_rng([seed, crc32(label.encode())]).permutation(len(texts))
            self._left[label] = [texts[i] for i in order]
        self._rival_of = nearest_classes(self._left) if error_share else {}
        self._asked: Counter[str] = Counter()

    def recall(self, replies: Iterable[Reply]) -> None:
        """Remember what an earlier life of the run was answered: those rows are given."""
        for reply in replies:
            answer = json.loads(reply.text)
            groups = [g for g in answer.values() if isinstance(g, dict) and "texts" in g]
            samples = [(g["label"], text) for g in groups for text in g["texts"]]
            samples += [(s["label"], s["text"]) for s in answer.get("samples", ())]
            for label, text in samples:
                self._asked[label] += 1
                given = self._left.get(self._label_of[text], [])
                if text in given:
                    given.remove(text)

    def complete(self, request: Request) -> Reply:
        """Real rows.

        Raises:
            TeacherRequestError: it asks for something else than texts and the classes of rows.
        """
        answer = json.dumps(self._answer(request), ensure_ascii=False)
        words = sum(len(message.content.split()) for message in request.messages)
        return Reply(answer, self.model, words, len(answer.split()))

    def _answer(self, request: Request) -> dict[str, Any]:
        properties = (request.schema or {}).get("properties", {})
        if "description" in properties:
            return {"description": ""}  # it knows nothing of the task but its rows
        if "classes" in properties:
            return {"about": "", "classes": {}}
        if "labels" in properties:
            return {"labels": self._labels(request.messages[-1].content, properties["labels"])}
        if "1" in properties:
            return {**self._by_class(properties), "doubtful": []}
        if "samples" not in properties:
            label = self._label_by_prompt.get(request.messages[-1].content)
            if "label" not in properties or label is None:
                raise TeacherRequestError("The oracle writes texts, and labels none but its rows.")
            return {"label": label}
        item = properties["samples"]["items"]["properties"]
        labels = self._choose(
            item["label"]["enum"], request.messages[-1].content, properties["samples"]["minItems"]
        )
        samples = [(label, text) for label in labels if (text := self._write(label))]
        return {
            "samples": [{"label": label, "text": text} for label, text in samples],
            "doubtful": [],
        }

    def _labels(self, prompt: str, wanted: dict[str, Any]) -> list[str]:
        """The classes of the texts that a prompt numbers; any class of a text that is no row."""
        texts = [line.partition(". ")[2] for line in prompt.splitlines() if _NUMBERED.match(line)]
        labels = [self._label_by_text.get(text, wanted["items"]["enum"][0]) for text in texts]
        return labels[: wanted["minItems"]]

    def _by_class(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Texts of each class that a request asks for, as many as are left."""
        found: dict[str, Any] = {}
        for number, part in properties.items():
            if number.isdigit():
                [label] = part["properties"]["label"]["enum"]
                drawn = (self._write(label) for _ in range(part["properties"]["texts"]["minItems"]))
                found[number] = {"label": label, "texts": [text for text in drawn if text]}
        return found

    @cached_property
    def _label_by_text(self) -> dict[str, str]:
        """The class of every row, by its text as a prompt shows it."""
        return {as_shown(row.text): row.label for row in self._known}

    @cached_property
    def _label_by_prompt(self) -> dict[str, str]:
        """The class of every row, by the question for it."""
        return {label_prompt(row.text): row.label for row in self._known}

    def _choose(self, labels: Sequence[str], prompt: str, count: int) -> list[str]:
        """The classes of `count` texts."""
        if len(labels) == 1:
            return [labels[0]] * count
        shown = [label for label in _MISTAKE.findall(prompt) if label in labels]
        rng = np.random.default_rng([self._seed, self._asked.total()])
        return [str(label) for label in rng.choice(shown or list(labels), size=count)]

    def _write(self, label: str) -> str | None:
        """The next text under this label; None where no row is left."""
        drawn = np.random.default_rng([self._seed, crc32(label.encode()), self._asked[label]])
        rival = self._left.get(self._rival_of.get(label, ""), [])
        own = self._left.get(label, [])
        if rival and drawn.random() < self._error_share:
            text = rival.pop()  # the last one: the first ones are kept for their own class
        elif own:
            text = own.pop(0)
        else:
            return None
        self._asked[label] += 1
        return text


def nearest_classes(texts_of: dict[str, list[str]]) -> dict[str, str]:
    """For every class the one whose texts are most like its own, by cosine of TF-IDF of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = sorted(texts_of)
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(
        " ".join(texts_of[name]) for name in names
    )
    alike = (vectors @ vectors.T).toarray()
    np.fill_diagonal(alike, -1.0)
    return {name: names[int(alike[i].argmax())] for i, name in enumerate(names)}
