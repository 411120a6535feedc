"""What is kept of what the teacher wrote; every drop has a reason."""

from pgkd.curation.curator import Curation, Curator
from pgkd.curation.parsing import (
    Limits,
    Parsed,
    masks_in,
    parse_samples,
    read_description,
    read_json,
)
from pgkd.curation.reasons import Drop, Fault, Reason, Sample
from pgkd.curation.repair import repair_request
from pgkd.curation.second_look import Look, SecondLook
from pgkd.curation.unlabelled import without_rows

__all__ = [
    "Curation",
    "Curator",
    "Drop",
    "Fault",
    "Limits",
    "Look",
    "Parsed",
    "Reason",
    "Sample",
    "SecondLook",
    "masks_in",
    "parse_samples",
    "read_description",
    "read_json",
    "repair_request",
    "without_rows",
]
