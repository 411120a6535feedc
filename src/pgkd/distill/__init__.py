"""The loop: Algorithm 1, its stop rule, its hooks and its run folder."""

from pgkd.distill.distiller import Distiller
from pgkd.distill.estimate import Estimate
from pgkd.distill.events import Hooks, Outcome, Round
from pgkd.distill.loop import distill
from pgkd.distill.resume import Resumed
from pgkd.distill.stopping import StopRule, Verdict
from pgkd.distill.store import RunFolder

__all__ = [
    "Distiller",
    "Estimate",
    "Hooks",
    "Outcome",
    "Resumed",
    "Round",
    "RunFolder",
    "StopRule",
    "Verdict",
    "distill",
]
