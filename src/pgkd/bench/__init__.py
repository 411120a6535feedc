"""Benchmarks: a grid of data sets, arms, seeds and numbers of rows, run with one command."""

from pgkd.bench.arms import ARMS, Arm
from pgkd.bench.harness import Bench, Listener, Outlook
from pgkd.bench.labeller import LabellerTeacher
from pgkd.bench.oracle import OracleTeacher
from pgkd.bench.plan import Cell, Plan, cells_of, read_plan

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
