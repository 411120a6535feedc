"""Classifying files of any size: bounded memory, in order, resumable."""

from pgkd.apps.bulk.answers import check_out
from pgkd.apps.bulk.classify import (
    BulkJob,
    Engine,
    Source,
    Watcher,
    classify_file,
    classify_stream,
    find_model,
    load_model,
)

__all__ = [
    "BulkJob",
    "Engine",
    "Source",
    "Watcher",
    "check_out",
    "classify_file",
    "classify_stream",
    "find_model",
    "load_model",
]
