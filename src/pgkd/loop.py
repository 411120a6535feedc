"""Algorithm 1 of PGKD (Di Palo et al., EMNLP 2024): the loop, and nothing else.

The loop knows no kind of task. The learner trains, evaluates and writes prompts; the synthesizer
asks the teacher and accepts examples; the stop rule judges; the run folder remembers.
"""

from __future__ import annotations

from pgkd.errors import TeacherError
from pgkd.events import Hooks, Outcome, Round, StopReason
from pgkd.runs.folder import RunFolder
from pgkd.stopping import StopRule
from pgkd.synthesis import Synthesizer
from pgkd.task import Example, Learner, Model


def distill(
    learner: Learner,
    synthesizer: Synthesizer,
    rule: StopRule,
    run: RunFolder,
    hooks: Hooks,
    *,
    rounds: int,
) -> Outcome:
    """Run the loop and leave the best student in the run folder.

    Ctrl-C, a stop signal (`Control`) and a failing teacher end the loop like any other stop: the
    best student so far is kept.

    Raises:
        KeyboardInterrupt: Ctrl-C before there was a student of round 0.
    """
    finished: list[Round] = []
    synthetic: list[Example] = []
    student: Model
    stopped_by: StopReason = "rounds"
    best, detail = 0, ""
    hooks.on_run_start(rounds)
    try:
        for number in range(rounds + 1):
            asked, accepted = 0, []
            if number > 0:
                prompts = learner.prompts(number, finished[-1].evaluation, synthetic)
                asked = sum(prompt.count for prompt in prompts)
                hooks.on_round_start(number, prompts)
                accepted = synthesizer.synthesize(number, prompts, student)  # noqa: F821
                if not accepted:
                    stopped_by = "budget" if synthesizer.exhausted else "nothing usable"
                    detail = synthesizer.exhausted or synthesizer.last_error
                    break
                synthetic += accepted
            hooks.on_training(number)
            student = learner.train(synthetic)
            evaluation = learner.evaluate(student, synthetic)
            verdict = rule.judge(evaluation.losses, evaluation.margin)
            if verdict.keep:
                best = number
            run.save_student(student, number, best=verdict.keep)
            finished.append(
                Round(number, asked, len(accepted), len(synthetic), evaluation, verdict)
            )
            hooks.on_round_end(finished[-1])
            if verdict.stop:
                stopped_by = "patience"
                break
            if synthesizer.exhausted:
                stopped_by = "budget"
                break
    except KeyboardInterrupt as stop:
        if not finished:
            raise
        stopped_by, detail = "interrupted", str(stop)
    except TeacherError as error:
        stopped_by, detail = "teacher failed", str(error)
    outcome = Outcome(tuple(finished), best, stopped_by, detail or synthesizer.exhausted)
    hooks.on_run_end(outcome)
    return outcome
