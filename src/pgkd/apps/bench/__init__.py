"""Benchmarks: a grid of data sets, arms, seeds and numbers of rows, run with one command."""

from pgkd.apps.bench.harness import Bench, Listener, Outlook
from pgkd.apps.bench.plan import ARMS, Arm, Cell, Plan, list_cells, read_plan
from pgkd.apps.bench.teachers import LabellerTeacher, OracleTeacher

__all__ = [
    "ARMS",
    "Arm",
    "Bench",
    "Cell",
    "LabellerTeacher",
    "Listener",
    "OracleTeacher",
    "Outlook",
    "Plan",
    "list_cells",
    "read_plan",
]
