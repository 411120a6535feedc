"""Teachers of known quality, and the calls that the cells of a grid share.

The oracle's texts are real rows of the training file that the run has not. With it a grid runs in
minutes and without an LLM, and shows what guidance is worth where writing is as good as it can be.
A share of its texts can be wrong on purpose: rows of the class that is most
like the one asked for, under the label asked for, as a small teacher slips into the neighbour.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from pgkd.errors import TeacherRequestError
from pgkd.tasks.classification.assembly import make_student_from
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.prompts.labelling import as_shown, label_prompt
from pgkd.teachers import teacher_from
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pgkd.apps.bench.plan import Cell
    from pgkd.apps.bench.sets import DataSet
    from pgkd.config import Config
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student
    from pgkd.usage.cache import ReplyCache

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


_BEFORE, _AFTER = "Text: ", "\n\nWhich class does the text belong to?"
"""What stands around the text in `label_user.j2`."""


class LabellerTeacher(Teacher):
    """Answers the requests of `label_texts` with what a classifier predicts.

    Args:
        student: fitted; its classes are those that requests offer.
    """

    name = "labeller"
    model = "classifier of the whole training file"

    def __init__(self, student: Student) -> None:
        self._student = student

    def complete(self, request: Request) -> Reply:
        """The most probable of the classes that the request offers.

        Raises:
            TeacherRequestError: it is no request for the class of a text.
        """
        offered = (request.schema or {}).get("properties", {}).get("label", {}).get("enum")
        asked = request.messages[-1].content
        if not offered or not (asked.startswith(_BEFORE) and asked.endswith(_AFTER)):
            raise TeacherRequestError("The labeller tells the class of a text, and nothing else.")
        text = asked.removeprefix(_BEFORE).removesuffix(_AFTER)
        probabilities = self._student.predict_proba([text])[0]
        found = {c: float(p) for c, p in zip(self._student.classes, probabilities, strict=True)}
        label = max(offered, key=lambda name: found.get(name, 0.0))
        share = found.get(label, 0.0) / max(sum(found.get(name, 0.0) for name in offered), 1e-12)
        answer = json.dumps({"label": label}, ensure_ascii=False)
        words = sum(len(message.content.split()) for message in request.messages)
        logprob = math.log(max(share, 1e-12)) if request.wants_logprob else None
        return Reply(answer, self.model, words, len(answer.split()), logprob=logprob)


class SharedReplies(Teacher):
    """A teacher that is asked what no cell has asked before.

    Args:
        teacher: who is asked.
        cache: the replies so far.

    Attributes:
        asked: calls that have left.
        found: replies that were there.
    """

    def __init__(self, teacher: Teacher, cache: ReplyCache) -> None:
        self._copy_traits(teacher)
        self._teacher = teacher
        self._cache = cache
        self.asked = 0
        self.found = 0
        self._counting = Lock()

    def complete(self, request: Request) -> Reply:
        """The reply that was given before, or a new one.

        Raises:
            TeacherError: as the teacher's.
        """
        reply = self._cache.find(self._teacher, request)
        with self._counting:
            self.asked += reply is None
            self.found += reply is not None
        if reply is not None:
            return reply
        reply = self._teacher.complete(request)
        self._cache.save(self._teacher, request, reply)
        return reply

    def close(self) -> None:
        """Close the teacher."""
        self._teacher.close()


class Teachers:
    """Makes teachers for cells, and keeps those that are dear to make.

    Args:
        cache: replies that all cells share.
    """

    def __init__(self, cache: ReplyCache) -> None:
        self._cache = cache
        self._shared: dict[str, SharedReplies] = {}
        self._labellers: dict[str, LabellerTeacher] = {}

    def writer(
        self,
        cell: Cell,
        config: Config,
        data: DataSet,
        pool: Sequence[LabelledText],
        ledger: Path,
    ) -> Teacher:
        """Who answers the requests of a run.

        Args:
            cell: the cell.
            config: its settings.
            data: its data set.
            pool: rows of the training file that the run does not have.
            ledger: the ledger of the run, where an earlier life has left some.
        """
        if cell.arm.asks == "teacher" and cell.known is None:
            return self._real(config)
        if cell.known is not None and cell.known.provider == "labeller":
            return self.classifier(cell, config, data)
        share = cell.known.error_share if cell.known and cell.arm.asks == "teacher" else 0.0
        rows = data.all_rows(config)
        oracle = OracleTeacher(pool, rows, error_share=share, seed=cell.seed)
        if ledger.is_file():
            with Ledger(ledger) as usage:
                oracle.recall(call.reply for call in usage.calls() if call.reply is not None)
        return oracle

    def classifier(self, cell: Cell, config: Config, data: DataSet) -> Teacher:
        """Who tells the class of texts, and writes none."""
        if cell.known is None:
            return self._real(config)
        if cell.data not in self._labellers:
            rows = data.all_rows(config)
            classes = Taxonomy.from_names(sorted({row.label for row in rows})).names
            student = make_student_from(config, classes).fit(
                [r.text for r in rows], [r.label for r in rows]
            )
            self._labellers[cell.data] = LabellerTeacher(student)
        return self._labellers[cell.data]

    @property
    def asked(self) -> int:
        """Calls that left for a teacher that is no known one."""
        return sum(teacher.asked for teacher in self._shared.values())

    @property
    def found(self) -> int:
        """Replies that another cell, or an earlier benchmark, had asked for."""
        return sum(teacher.found for teacher in self._shared.values())

    def close(self) -> None:
        """Release what the teachers hold."""
        for teacher in self._shared.values():
            teacher.close()

    def _real(self, config: Config) -> Teacher:
        key = config.teacher.model_dump_json()
        if key not in self._shared:
            self._shared[key] = SharedReplies(teacher_from(config), self._cache)
        return self._shared[key]
