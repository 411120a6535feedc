"""Benchmarks: a grid of data sets, arms, seeds and numbers of rows, run with one command."""

from pgkd.apps.bench.arms import ARMS, Arm
from pgkd.apps.bench.harness import Bench, Listener, Outlook
from pgkd.apps.bench.labeller import LabellerTeacher
from pgkd.apps.bench.oracle import OracleTeacher
from pgkd.apps.bench.plan import Cell, Plan, cells_of, read_plan

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
