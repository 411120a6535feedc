"""Benchmarks: a grid of data sets, arms, seeds and numbers of rows, run with one command."""

from pgkd.apps.bench.harness import Bench, Listener, Outlook
from pgkd.apps.bench.plan import ARMS, Arm, Cell, Plan, cells_of, read_plan
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
    "cells_of",
    "read_plan",
]
