"""What is read: files of rows and texts in any common form."""

from pgkd.data.cells import name_of, one_column
from pgkd.data.reading import raise_unusable, read_texts, stream_texts
from pgkd.text import text_key

__all__ = [
    "name_of",
    "one_column",
    "raise_unusable",
    "read_texts",
    "stream_texts",
    "text_key",
]
