"""From prompts to accepted texts: ask, parse, repair, curate; every rejection has a reason."""

from pgkd.generation.curator import Curation, Curator
from pgkd.generation.rejection import Drop, Fault, Reason, Sample
from pgkd.generation.repair import repair_request

__all__ = [
    "Curation",
    "Curator",
    "Drop",
    "Fault",
    "Reason",
    "Sample",
    "repair_request",
]
