"""A labeller of known quality: a classifier trained on the whole training file."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pgkd.errors import TeacherRequestError
from pgkd.teachers.base import Reply, Request, Teacher

if TYPE_CHECKING:
    from pgkd.tasks.classification.students.base import Student

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
