"""From questions to labelled texts of the pool: call, write down, read, keep."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pgkd.generation.rejection import Drop, Reason, Sample
from pgkd.generation.writer import Writer
from pgkd.tasks.classification.data.example import Example, Origin
from pgkd.tasks.classification.prompts.labelling import read_labels, read_many_labels
from pgkd.teachers.base import Reply
from pgkd.usage.concurrency import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.errors import TeacherError
    from pgkd.events import Hooks
    from pgkd.generation.curator import Curator
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.taxonomy import Taxonomy
    from pgkd.tasks.classification.feedback.exam import Examiner
    from pgkd.tasks.classification.feedback.self_verification import SelfVerification
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.prompts.labelling import Labelled
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Request, Teacher


class PoolWriter(Writer):
    """A writer that brings back labels, too, where an ask is the question for one.

    Args:
        teacher: as a `Writer`'s.
        curator: as a `Writer`'s; no text near a labelled one is kept later.
        run: where the texts go.
        hooks: who is told.
        repairs: as a `Writer`'s; a question is asked once.
        taxonomy: the classes that a label may be.
        self_verification: as a `Writer`'s; of texts that the teacher wrote.
    """

    def __init__(
        self,
        teacher: Teacher,
        curator: Curator,
        run: RunFolder,
        hooks: Hooks,
        *,
        repairs: int,
        taxonomy: Taxonomy,
        self_verification: SelfVerification | None = None,
    ) -> None:
        super().__init__(
            teacher, curator, run, hooks, repairs=repairs, self_verification=self_verification
        )
        self._taxonomy = taxonomy
        self.examiner: Examiner | None = None
        self._read: list[Reply] = []  # of all questions so far: they show what the teacher prefers

    def verify(self, texts: Sequence[Example], student: Student) -> list[Example]:
        """See `Writer.verify`; before, the teacher is examined on its first texts."""
        if self.examiner is not None:
            self.examiner.examine_texts(texts)
            written = [text for text in texts if text.is_written]
            labelled = [text for text in texts if not text.is_written]
            texts = [*self.examiner.weighed(written), *labelled]
        return super().verify(texts, student)

    @property
    def margin(self) -> float:
        """See `Exam.margin`; 0 where nobody was examined."""
        examined = self.examiner is not None and self.examiner.exam.rows.asked
        return self.examiner.exam.margin if self.examiner is not None and examined else 0.0

    @property
    def scored(self) -> bool:
        """Whether the teacher tells the scores of all classes, so that those are asked for."""
        return self._teacher.scores_choices

    def write(self, number: int, asks: Sequence[Ask]) -> list[Example]:
        """See `Writer.write`; a question that is answered keeps its text, under the label."""
        questions = [ask for ask in asks if ask.question is not None]
        if not questions:
            return super().write(number, asks)
        kept: list[Example] = []
        for ask, label in zip(questions, self._labels(questions), strict=True):
            kept += self._keep_labelled(number, ask, label)
        return kept

    def agreements(self, questions: Sequence[Ask], rows: Sequence[Example]) -> list[bool]:
        """For which rows the teacher names the class that they have. They are not kept.

        Args:
            questions: for the classes of the rows.
            rows: n rows, which no question shows.

        Raises:
            TeacherError: as `write`.
        """
        labels = self._labels(questions, prepare=False)  # a batch would take a day
        return [a.label == row.label for a, row in zip(labels, rows, strict=True)]

    def label_many(self, call: str, request: Request, n: int) -> list[str | None]:
        """What the teacher answers to a request for the classes of n texts.

        Raises:
            TeacherError: as `write`.
        """
        answer = self._ask(call, request)
        self._note(answer)
        reply = answer if isinstance(answer, Reply) else None
        return read_many_labels(reply, n, self._taxonomy)

    def _labels(self, questions: Sequence[Ask], *, prepare: bool = True) -> list[Labelled]:
        """What the teacher says of each; no label where it failed or refused.

        Where it tells scores, what it prefers whatever the text is is taken off (`read_labels`), as
        all questions of the run show it, the earlier ones too.
        """
        if prepare:
            self._teacher.prepare([replace(ask.request, id=ask.id) for ask in questions])
        replies: list[Reply | None] = []
        with closing(in_order(self._teacher, self._question, questions)) as answers:
            for ask, answer in zip(questions, answers, strict=True):
                self._note(answer)
                replies.append(answer if isinstance(answer, Reply) else None)
                if isinstance(answer, Reply):
                    self._hooks.on_reply(ask, answer)
        found = read_labels([*self._read, *replies], self._taxonomy, scored=self.scored)
        labels = found[len(self._read) :]
        self._read += [reply for reply in replies if reply is not None]
        return labels

    def _question(self, ask: Ask) -> Reply | TeacherError:
        return self._ask(ask.id, ask.request)

    def _keep_labelled(self, number: int, ask: Ask, given: Labelled) -> list[Example]:
        text = ask.question
        assert text is not None  # `write` has seen to it
        kept: list[Example] = []
        if given.label is None:
            drop = Drop(Sample(text.text, "", 0), Reason.NO_LABEL, f"{text.id}, asked once")
            self._run.record_dropped(ask.id, (), (drop,))
            self._unused(drop.reason, text.text)
        else:
            parents = tuple(row.id for row in ask.shown)
            origin = Origin(number, ask.id, parents, labelled=True, confidence=given.confidence)
            kept.append(Example(text.text, given.label, text.id, origin))
            self._curator.remember(text.text)
        self._hooks.on_curated(ask, len(kept), 1 - len(kept))
        return kept
