"""Classifying files of any size: bounded memory, in order, resumable."""

from pgkd.apps.bulk.answers import check_out
from pgkd.apps.bulk.classify import (
    Engine,
    BulkJob,
    Source,
    Watcher,
    classify_file,
    classify_stream,
    find_model,
    load_model,
)

__all__ = [
    "Engine",
    "BulkJob",
    "Source",
    "Watcher",
    "check_out",
    "classify_file",
    "classify_stream",
    "find_model",
    "load_model",
]
