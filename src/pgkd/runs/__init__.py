"""A run on disk: its folder, journal, resume, control, and what people decide on it."""

from pgkd.runs.folder import RunFolder
from pgkd.runs.resume import Resumed

__all__ = [
    "Resumed",
    "RunFolder",
]
