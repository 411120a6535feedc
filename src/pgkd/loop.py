"""Algorithm 1 of PGKD (Di Palo et al., EMNLP 2024): the loop, and nothing else.

The loop knows no class and no model. The guide trains, assesses and asks; the writer brings back
what is kept of the teacher's answers; the rule judges; the run folder remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.errors import TeacherError
from pgkd.events import Hooks, Outcome, Round

if TYPE_CHECKING:
    from pgkd.events import StopReason
    from pgkd.generation.writer import Writer
    from pgkd.runs.folder import RunFolder
    from pgkd.stopping import StopRule
    from pgkd.task import Guide
    from pgkd.tasks.classification.data.example import Example
    from pgkd.tasks.classification.students.base import Student


def distill(
    guide: Guide, writer: Writer, rule: StopRule, run: RunFolder, hooks: Hooks, *, rounds: int
) -> Outcome:
    """Run the loop and leave the best student in the run folder.

    Ctrl-C, a stop signal (`Control`) and a failing teacher end the loop like any other stop: the
    best student so far is kept.

    Raises:
        KeyboardInterrupt: Ctrl-C before the student of round 0 was there.
    """
    finished: list[Round] = []
    written: list[Example] = []
    student: Student
    stopped_by: StopReason = "rounds"
    best, detail = 0, ""
    hooks.on_run_start(rounds)
    try:
        for number in range(rounds + 1):
            asked, kept = 0, []
            if number > 0:
                asks = guide.ask(number, finished[-1].assessment, written)
                asked = sum(ask.count for ask in asks)
                hooks.on_round_start(number, asks)
                kept = writer.verify(writer.write(number, asks), student)  # noqa: F821
                if not kept:
                    stopped_by = "budget" if writer.exhausted else "nothing usable"
                    detail = writer.exhausted or writer.trouble
                    break
                written += kept
            hooks.on_training(number)
            student = guide.train(written)
            assessment = guide.assess(student, written)
            verdict = rule.judge(assessment.losses)
            if verdict.keep:
                best = number
            run.save_student(student, number, best=verdict.keep)
            finished.append(Round(number, asked, len(kept), len(written), assessment, verdict))
            hooks.on_round_end(finished[-1])
            if verdict.stop:
                stopped_by = "patience"
                break
            if writer.exhausted:
                stopped_by = "budget"
                break
    except KeyboardInterrupt as stop:
        if not finished:
            raise
        stopped_by, detail = "interrupted", str(stop)
    except TeacherError as error:
        stopped_by, detail = "teacher failed", str(error)
    outcome = Outcome(tuple(finished), best, stopped_by, detail or writer.exhausted)
    hooks.on_run_end(outcome)
    return outcome
