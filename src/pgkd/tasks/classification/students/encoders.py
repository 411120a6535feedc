"""Pretrained encoders: found, loaded once, and written into the folder of a student.

Models come from safetensors alone: a pickle, or a model that brings its own code, is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.files import link_or_copy, write_anew
from pgkd.tasks.classification.students.devices import CPU, Place
from pgkd.tasks.classification.students.features import Encoder
from pgkd.weights.fetch import ensure
from pgkd.weights.pins import find

_JOB = "The encoder student"
_FILES = (
    "config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "LICENSE*", "NOTICE*",
)  # fmt: skip

_Stamp = tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an encoder was loaded from.

    Two origins are equal where the files are: hard links of one file count as the same, a file that
    was written anew does not.

    Attributes:
        source: folder, or name on the hub.
        stamp: name, device, inode, size and time of every file; for a hub name, the name.
    """

    source: str = field(compare=False)
    stamp: _Stamp

    @classmethod
    def of(cls, source: Path | str) -> Origin:
        """The origin as it is now; a `Path` is a folder, a string a name on the hub."""
        if isinstance(source, str):
            return cls(source, ((source,),))
        found = [(path.name, path.stat()) for path in _files(source)]
        stamp = tuple((n, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for n, s in found)
        return cls(str(source), stamp)

    def unchanged_files(self) -> list[Path]:
        """The files, if they are still the ones that were loaded; else none."""
        folder = Path(self.source)
        return _files(folder) if folder.is_dir() and Origin.of(folder) == self else []


def load_encoder(source: str, max_length: int, place: Place = CPU) -> Encoder:
    """Load an encoder once; students that share it share its cache.

    Args:
        source: a name of `pgkd models list`, a folder, or a name on the Hugging Face hub.
        max_length: tokens of a text that are read.
        place: where it shall lie.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``train`` is not installed.
    """
    known = find(source) is not None or Path(source).is_dir()
    return _load(Origin.of(Path(ensure(source)) if known else source), max_length, place)


def forget_encoders() -> None:
    """Drop all loaded encoders and their features from memory."""
    _load.cache_clear()


@lru_cache(maxsize=4)
def _load(origin: Origin, max_length: int, place: Place) -> Encoder:
    transformers = require("transformers", extra="train", job=_JOB)
    require("torch", extra="train", job=_JOB)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns of every later fork
    here = Path(origin.source).is_dir() or os.environ.get("PGKD_OFFLINE") == "1"
    safe = {"local_files_only": here, "trust_remote_code": False}
    try:
        model = transformers.AutoModel.from_pretrained(origin.source, use_safetensors=True, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(origin.source, **safe)
    except (OSError, ValueError) as error:
        raise StudentError(
            f"The encoder '{origin.source}' cannot be loaded: {str(error).splitlines()[0]} "
            "Give a name of `pgkd models list`, a folder, or a hub name that can be reached."
        ) from error
    model = model.to(place.device)
    return Encoder(model, tokenizer, max_length=max_length, origin=origin, place=place)


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write model and tokenizer; files that are still as loaded are hard-linked where possible.

    The folder is written beside and then takes its place. Nothing is ever written into a file that
    is there: it may be a hard link to the weights of every other student on this machine.
    """
    files = encoder.origin.unchanged_files() if encoder.origin else []

    def write(new: Path) -> None:
        for path in files:
            link_or_copy(path, new / path.name)
        if not files:
            encoder.model.save_pretrained(new)
            encoder.tokenizer.save_pretrained(new)

    write_anew(folder, write)


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()})
