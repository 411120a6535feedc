"""How long a student takes for a text, and on which machine."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.students.base import Student

_TEXTS = 50  # enough for a median, done in a second
_WARM_UP = "The first text pays for what is loaded late."


@dataclass(frozen=True, slots=True)
class Timing:
    """Texts asked for one after the other, in this process.

    Attributes:
        n: texts.
        median: seconds of a text.
        p95: seconds that 95% of the texts stay under.
        machine: where it was measured.
    """

    n: int
    median: float
    p95: float
    machine: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def time_student(student: Student, texts: Sequence[str]) -> Timing:
    """Time single predictions on the first texts; each text has to be new to the student.

    A student remembers the features of texts that it has seen, so time it before all else.

    Args:
        student: a fitted student.
        texts: at least one.
    """
    student.predict_proba([_WARM_UP])
    seconds = [_seconds(student, text) for text in list(dict.fromkeys(texts))[:_TEXTS]]
    return Timing(
        n=len(seconds),
        median=float(np.median(seconds)),
        p95=float(np.percentile(seconds, 95)),
        machine=machine(),
    )


def _seconds(student: Student, text: str) -> float:
    start = time.perf_counter()
    student.predict_proba([text])
    return time.perf_counter() - start


def machine() -> str:
    """The machine in words: processor, cores, system."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}"
