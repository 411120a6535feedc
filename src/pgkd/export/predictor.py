"""An export, loaded and asked; nothing of what trained it is imported.

Texts are sorted by length and computed in small batches, each padded to its own longest text:
padding costs more than anything else does. What a graph of pgkd computes for a text is the same
in every batch (`pgkd.export.quantize` tells why that is no matter of course).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from pgkd.encoders.head import Head
from pgkd.encoders.transformer import spanning
from pgkd.errors import ConfigError, ExportError, StudentError
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.encoders.transformer import TokenFeatures

    Inputs = NDArray[np.int64]

Format = Literal["plain", "onnx", "onnx-int8", "huggingface"]
FORMATS: tuple[Format, ...] = get_args(Format)

FILE = "export.json"
_VERSION = 1
_SERVED: tuple[Format, ...] = ("onnx-int8", "onnx", "plain")  # the smallest first


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself.

    Attributes:
        format: which of the formats it has.
        task: the kind of task.
        details: what the task has to know beside the files, such as label names.
        parity: how near it came to its student, as `Parity.to_json` tells it.
    """

    format: Format
    task: str
    details: dict[str, Any]
    parity: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the folder of an export."""
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from the folder of an export.

        Raises:
            ExportError: there is none, it is damaged, or a later version of pgkd wrote it.
        """
        path = folder / FILE
        if not path.is_file():
            raise ExportError(f"{folder} is no export: it has no {FILE}. Make one: pgkd export RUN")
        try:
            data = dict(json.loads(path.read_text(encoding="utf-8")))
            version = data.pop("version")
            found = cls(**{**data, "details": dict(data["details"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path} is damaged: {error!r}. Export the run again.") from error
        if version != _VERSION:
            raise ExportError(f"{path} has version {version}; this pgkd reads {_VERSION}.")
        if found.format not in FORMATS:
            raise ExportError(f"{path} is damaged: there is no format {found.format!r}.")
        return found


def find_export(path: Path) -> Path:
    """The export at a path that `pgkd.load` can read: the folder itself, or the smallest of a run.

    Raises:
        ExportError: there is none.
    """
    if (path / FILE).is_file():
        return path
    for name in _SERVED:
        if (path / "export" / name / FILE).is_file():
            return path / "export" / name
    raise ExportError(
        f"{path} is no export and holds none that can be served. Make one: pgkd export {path}"
    )


GRAPH, TOKENIZER, HEAD = "model.onnx", "tokenizer.json", "head.safetensors"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "features"
_JOB = "An exported encoder"
_EXTRA = "serve"
_BATCH = 256  # tokens with their padding: what fits a core's cache (benchmarks/serving.py)


class OnnxEncoder:
    """A session and a tokenizer: features of texts, or of pairs of texts that are read as one.

    Args:
        session: an `onnxruntime.InferenceSession` of a graph with `INPUTS` and `OUTPUT`.
        tokenizer: a `tokenizers.Tokenizer` that cuts and does not pad.
        loaded_from: arguments of the `load` that made it.
    """

    def __init__(self, session: Any, tokenizer: Any, loaded_from: tuple[Any, ...] = ()) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._loaded_from = loaded_from
        self.width = session.get_outputs()[0].shape[-1]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, load the folder again: a session cannot be pickled."""
        return OnnxEncoder.load, self._loaded_from

    @classmethod
    def load(cls, folder: Path, max_length: int, threads: int | None) -> Self:
        """Load the encoder that `save_model` wrote.

        Raises:
            ExportError: a file is missing or damaged, or the files do not fit each other.
            MissingExtraError: the extra ``serve`` is not installed.
        """
        if type(max_length) is not int or max_length < 1:
            raise ExportError(
                f"{folder} is damaged: a text cannot be cut to {max_length!r} tokens."
            )
        session = _session(folder / GRAPH, threads)
        given = tuple(found.name for found in session.get_inputs())
        if given != INPUTS or [found.name for found in session.get_outputs()] != [OUTPUT]:
            raise ExportError(f"{folder} is damaged: its files do not fit each other.")
        again = (folder.resolve(), max_length, threads)
        return cls(session, _tokenizer(folder / TOKENIZER, max_length), again)

    def features(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        """Features of unit length of n texts or pairs, n at least 1, shape (n, width)."""
        ids = [found.ids for found in self._tokenizer.encode_batch_fast(list(texts))]
        features = np.empty((len(ids), self.width))
        for batch, inputs in batches(ids):
            features[batch] = self._session.run((OUTPUT,), inputs)[0]
        return features

    def token_features(self, texts: Sequence[str]) -> list[TokenFeatures]:
        """As `pgkd.encoders.transformer.Encoder.token_features`, of a graph that does not pool."""
        encoded = self._tokenizer.encode_batch(list(texts))
        features: list[Any] = [None] * len(encoded)
        for batch, inputs in batches([found.ids for found in encoded]):
            for i, hidden in zip(batch, self._session.run((OUTPUT,), inputs)[0], strict=True):
                offsets = np.array(encoded[i].offsets, dtype=np.int64)
                features[i] = spanning(offsets, hidden)
        return features


class OnnxModel:
    """An exported encoder under a head.

    Args:
        encoder: of the export.
        head: of as many features as the encoder gives.
    """

    def __init__(self, encoder: OnnxEncoder, head: Head) -> None:
        self._encoder = encoder
        self._head = head
        self.n_outputs = len(head.bias)

    @classmethod
    def load(cls, folder: Path, max_length: int, threads: int | None) -> Self:
        """Load what `save_model` wrote; `max_length` is of a text, in tokens.

        Raises:
            ExportError: a file is missing or damaged, or the files do not fit each other.
            MissingExtraError: the extra ``serve`` is not installed.
        """
        head = load_head(folder / HEAD)
        encoder = OnnxEncoder.load(folder, max_length, threads)
        if head.weights.shape != (len(head.bias), encoder.width):
            raise ExportError(f"{folder} is damaged: its files do not fit each other.")
        return cls(encoder, head)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities of n texts, n at least 1, shape (n, n_classes)."""
        return self._head.predict_proba(self.features(texts))

    def features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `OnnxEncoder.features`."""
        return self._encoder.features(texts)


def batches(rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], dict[str, Inputs]]]:
    """Inputs of a graph for texts, the shortest first, in batches of about as many tokens.

    Args:
        rows: token ids of n texts.

    Yields:
        The indices of a batch, and its inputs, both of shape (texts, length of the longest); the
        attention mask hides what pads it.
    """
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and (len(batch) + 1) * len(rows[i]) > _BATCH:
            yield batch, _padded([rows[i] for i in batch])
            batch = []
        batch.append(i)
    if batch:
        yield batch, _padded([rows[i] for i in batch])


def _padded(rows: Sequence[Sequence[int]]) -> dict[str, Inputs]:
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return dict(zip(INPUTS, (ids, mask), strict=True))


def save_model(graph: Any, tokenizer: Any, head: Head, folder: Path) -> None:
    """Write what `OnnxModel.load` reads.

    Args:
        graph: an `onnx.ModelProto` with `INPUTS` and `OUTPUT`.
        tokenizer: of the encoder, as transformers loads it.
        head: of the student.
        folder: where to; it exists.

    Raises:
        ExportError: the tokenizer exists in Python alone.
    """
    from safetensors.numpy import save_file

    if not getattr(tokenizer, "is_fast", False):
        raise ExportError(
            f"The encoder's tokenizer, {type(tokenizer).__name__}, has no tokenizer.json: it "
            "cannot run without transformers. The run itself predicts: pgkd predict RUN"
        )
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    arrays = {"weights": head.weights, "bias": head.bias}
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / HEAD)


def load_head(path: Path) -> Head:
    """The head that `save_model` wrote.

    Raises:
        ExportError: it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        return Head(arrays["weights"], arrays["bias"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ExportError(f"{path} cannot be read: {error!r}. Export the run again.") from error


def _session(path: Path, threads: int | None) -> Any:
    """A session on the CPU that leaves the cores to others while it waits."""
    onnxruntime = require("onnxruntime", extra=_EXTRA, job=_JOB)
    options = onnxruntime.SessionOptions()
    # It sees neither OMP_NUM_THREADS nor the quota of a container: it has to be told.
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, one class a status code
        raise ExportError(f"{path} cannot be loaded: {error}. Export the run again.") from error


def _tokenizer(path: Path, max_length: int) -> Any:
    tokenizers = require("tokenizers", extra=_EXTRA, job=_JOB)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads are the caller's to choose
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # of the class Exception itself, and no other: tokenizers' own
        raise ExportError(f"{path} cannot be read: {error}. Export the run again.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def load(path: str | Path, *, threads: int | None = 1) -> Any:
    """Load an export for prediction, without torch, transformers or scikit-learn.

    A ``plain`` export is the exception: it is the student as it was saved, and needs what that
    needs.

    Args:
        path: a folder that `pgkd export` wrote.
        threads: CPU threads of one prediction; None takes all cores. A server does best with one
            thread a process, and several processes.

    Returns:
        A `pgkd.task.Answering`; for a classifier a `Predictor`.

    Raises:
        ExportError: the folder is no export, is damaged, or is for other libraries.
        MissingExtraError: the extra ``serve`` is not installed, and this export needs it.
    """
    folder = Path(path)
    manifest = Manifest.read(folder)
    if manifest.format == "huggingface":
        raise ExportError(
            f"{folder} is for transformers: its README.md says how to use it. pgkd.load takes the "
            "formats onnx, onnx-int8 and plain."
        )
    return load_any(folder, manifest, threads)


def load_any(folder: Path, manifest: Manifest, threads: int | None) -> Any:
    """As `load`, of every format: what is written for other libraries is loaded with them."""
    from pgkd.tasks import make_task

    try:
        task = make_task(manifest.task)
        return task.load_export(folder, manifest.format, manifest.details, threads)
    except (StudentError, ConfigError) as error:
        raise ExportError(f"{folder} is damaged: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"{folder / FILE} is damaged: {error!r}. Export the run again."
        ) from error
