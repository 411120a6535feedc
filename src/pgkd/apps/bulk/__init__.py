"""Answering files of any size: bounded memory, in order, resumable."""

from pgkd.apps.bulk.answers import check_out
from pgkd.apps.bulk.predicting import (
    BulkJob,
    Engine,
    Source,
    Watcher,
    find_model,
    load_model,
    predict_file,
    predict_stream,
)

__all__ = [
    "BulkJob",
    "Engine",
    "Source",
    "Watcher",
    "check_out",
    "find_model",
    "load_model",
    "predict_file",
    "predict_stream",
]
