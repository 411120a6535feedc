"""Pinned model weights: where they come from and where they are kept."""

from pgkd.weights.fetch import cached, ensure, models_folder, pull
from pgkd.weights.pins import (
    DEFAULT_EMBEDDINGS,
    DEFAULT_STUDENT,
    DEFAULT_TEACHER,
    Weights,
    catalogue,
    find,
)

__all__ = [
    "DEFAULT_EMBEDDINGS",
    "DEFAULT_STUDENT",
    "DEFAULT_TEACHER",
    "Weights",
    "cached",
    "catalogue",
    "ensure",
    "find",
    "models_folder",
    "pull",
]
