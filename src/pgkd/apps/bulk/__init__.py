"""Classifying files of any size: in bounded memory, in order, and resumed where it was cut off."""

from pgkd.apps.bulk.answers import check_out
from pgkd.apps.bulk.classify import Engine, Watcher, classify_file, classify_stream
from pgkd.apps.bulk.job import Job
from pgkd.apps.bulk.models import find_model, load_model
from pgkd.apps.bulk.source import Source

__all__ = [
    "Engine",
    "Job",
    "Source",
    "Watcher",
    "check_out",
    "classify_file",
    "classify_stream",
    "find_model",
    "load_model",
]
