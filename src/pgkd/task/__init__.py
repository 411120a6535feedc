"""What is classified: the classes, the rows, how they are read, checked and split."""

from pgkd.task.arrays import one_column
from pgkd.task.assembly import Task
from pgkd.task.cells import name_of
from pgkd.task.classes import read_taxonomy
from pgkd.task.example import Example, Origin
from pgkd.task.loading import load_task, read_rows, task_from_arrays
from pgkd.task.pool import Pool, PoolText, pool_of, read_pool
from pgkd.task.reading import raise_unusable, read_texts, stream_texts
from pgkd.task.sameness import text_key
from pgkd.task.splitting import draw_per_class, limit_rows, stratified_folds, stratified_split
from pgkd.task.taxonomy import LabelClass, Taxonomy

__all__ = [
    "Example",
    "LabelClass",
    "Origin",
    "Pool",
    "PoolText",
    "Task",
    "Taxonomy",
    "draw_per_class",
    "limit_rows",
    "load_task",
    "name_of",
    "one_column",
    "pool_of",
    "raise_unusable",
    "read_pool",
    "read_rows",
    "read_taxonomy",
    "read_texts",
    "stratified_folds",
    "stratified_split",
    "stream_texts",
    "task_from_arrays",
    "text_key",
]
