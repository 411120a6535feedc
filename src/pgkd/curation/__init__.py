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
from pgkd.curation.self_verification import SelfVerification, Verified
from pgkd.curation.unlabelled import without_rows

__all__ = [
    "Curation",
    "Curator",
    "Drop",
    "Fault",
    "Limits",
    "Parsed",
    "Reason",
    "Sample",
    "SelfVerification",
    "Verified",
    "masks_in",
    "parse_samples",
    "read_description",
    "read_json",
    "repair_request",
    "without_rows",
]
