"""The data that a run ends with, as a folder for others: Hugging Face `datasets`, or Argilla.

``rows.py`` gathers it, ``card.py`` says what it is, and each format has a file of its own.
"""

from pgkd.integrations.datasets.folder import FORMATS, Written, write_dataset
from pgkd.integrations.datasets.rows import FinalData, FinalRow, final_data

__all__ = ["FORMATS", "FinalData", "FinalRow", "Written", "final_data", "write_dataset"]
