"""Synthetic texts, and labels for texts of a pool, from a teacher that is examined first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from pgkd.curation import Curator
from pgkd.errors import TeacherError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.synthesis import Synthesizer
from pgkd.task import Origin, Prompt, Rejected
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.events import TextVerified
from pgkd.tasks.classification.feedback.acquisition import LabelPrompt
from pgkd.tasks.classification.feedback.examination import Examiner, SelfVerification, Verified
from pgkd.tasks.classification.prompts.labelling import Labelled, read_labels, read_many_labels
from pgkd.tasks.classification.prompts.parsing import NO_LABEL
from pgkd.tasks.classification.students.base import Student
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.usage.retry import in_order


class ClassificationSynthesizer(Synthesizer):
    """A synthesizer that also asks for labels.

    Args:
        teacher: as a `Synthesizer`'s.
        curator: as a `Synthesizer`'s; nothing near a labelled text is accepted later.
        run: where the texts are recorded.
        hooks: hear what happens.
        repairs: as a `Synthesizer`'s; a question is asked once.
        taxonomy: the labels that a text may get.
        self_verification: how the teacher reads its texts once more; None accepts them unread.
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
        super().__init__(teacher, curator, run, hooks, repairs=repairs)
        self._taxonomy = taxonomy
        self._self_verification = self_verification
        self.examiner: Examiner | None = None
        self._read: list[Reply] = []  # of all questions so far: they show what the teacher prefers

    @property
    def margin(self) -> float:
        """See `Exam.margin`; 0 where nobody was examined."""
        examined = self.examiner is not None and self.examiner.exam.rows.asked
        return self.examiner.exam.margin if self.examiner is not None and examined else 0.0

    @property
    def scored(self) -> bool:
        """Whether the teacher gives the scores of all labels, so that those are asked for."""
        return self._teacher.scores_choices

    def agreements(
        self, questions: Sequence[LabelPrompt], rows: Sequence[LabelledText]
    ) -> list[bool]:
        """For which rows the teacher gives the label that they have. Nothing is recorded.

        Args:
            questions: for the labels of the rows.
            rows: n rows, which no question shows.

        Raises:
            TeacherError: as `synthesize`.
        """
        labels = self._labels(questions, prepare=False)  # a batch would take a day
        return [a.label == row.label for a, row in zip(labels, rows, strict=True)]

    def label_many(self, call: str, request: Request, n: int) -> list[str | None]:
        """What the teacher answers to a request for the labels of n texts.

        Raises:
            TeacherError: as `synthesize`.
        """
        return read_many_labels(self.ask(call, request), n, self._taxonomy)

    def _verify(self, examples: list[Any], student: Any) -> list[Any]:
        """The teacher is examined on its first texts, and may read all of them once more.

        Where the budget ends in between, the other texts are accepted unread.
        """
        written = [text for text in examples if text.is_synthetic]
        labelled = [text for text in examples if not text.is_synthetic]
        if self.examiner is not None:
            self.examiner.examine_texts(written)
            written = self.examiner.weighed(written)
        return [*self._self_verified(written, student), *labelled]

    def _self_verified(self, texts: Sequence[LabelledText], student: Student) -> list[LabelledText]:
        if self._self_verification is None:
            return list(texts)
        found: list[Verified] = []
        try:
            for verified in self._self_verification.verify(texts, student):
                found.append(verified)
                self._hooks.on_event(TextVerified(verified))
        except TeacherError as error:
            self._check(error)
        read = {verified.text.id for verified in found}
        weighed = [verified.weighed for verified in found]
        return [*weighed, *(text for text in texts if text.id not in read)]

    def _collect(self, number: int, prompts: Sequence[Prompt]) -> list[Any]:
        questions = [prompt for prompt in prompts if isinstance(prompt, LabelPrompt)]
        if not questions:
            return super()._collect(number, prompts)
        accepted: list[LabelledText] = []
        for question, label in zip(questions, self._labels(questions), strict=True):
            accepted += self._accept_label(number, question, label)
        return accepted

    def _labels(self, questions: Sequence[LabelPrompt], *, prepare: bool = True) -> list[Labelled]:
        """What the teacher says of each; no label where it failed or refused.

        Where it gives scores, what it prefers whatever the text is is taken off (`read_labels`), as
        all questions of the run show it, the earlier ones too.
        """
        if prepare:
            self._teacher.prepare([replace(each.request, id=each.id) for each in questions])
        replies: list[Reply | None] = []
        with closing(in_order(self._teacher, self._question, questions)) as answers:
            for question, answer in zip(questions, answers, strict=True):
                self._check(answer)
                replies.append(answer if isinstance(answer, Reply) else None)
                if isinstance(answer, Reply):
                    self._hooks.on_reply(question, answer)
        found = read_labels([*self._read, *replies], self._taxonomy, scored=self.scored)
        labels = found[len(self._read) :]
        self._read += [reply for reply in replies if reply is not None]
        return labels

    def _question(self, question: LabelPrompt) -> Reply | TeacherError:
        return self._send(question.id, question.request)

    def _accept_label(
        self, number: int, question: LabelPrompt, given: Labelled
    ) -> list[LabelledText]:
        text = question.text
        if given.label is None:
            unlabelled = LabelledText(text.text, "")
            rejected = [Rejected(NO_LABEL, f"{text.id}, asked once", example=unlabelled)]
            self._record(question, 0, rejected)
            return []
        origin = Origin(number, question.id, labelled=True, confidence=given.confidence)
        self._curator.remember(text.text)
        self._record(question, 1, ())
        return [LabelledText(text.text, given.label, text.id, origin)]
