"""Experiment tracking: MLflow, Weights & Biases, TensorBoard, OpenTelemetry.

A tracker gets settings and metrics, and never a text, a prompt or a key: it cannot leak what it
does not have. `hook.py` calls trackers as a run proceeds. A package adds a tracker with an entry
point of the group ``pgkd.trackers``: a callable without arguments that returns a `Tracker`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from pgkd.config import Config
from pgkd.errors import ConfigError
from pgkd.runs.resume import flat_settings
from pgkd.teachers.base import Teacher

__all__ = ["Ending", "TrackedRun", "Tracker", "make_tracker", "tracked_settings", "trackers"]

Setting = str | int | float | bool

_GROUP = "pgkd.trackers"
_OWN = {
    "mlflow": ("experiments", "MLflowTracker"),
    "otel": ("opentelemetry", "OpenTelemetryTracker"),
    "tensorboard": ("experiments", "TensorBoardTracker"),
    "wandb": ("experiments", "WandbTracker"),
}
_PRIVATE = ("teacher.api_key_env", "track", "out")
"""The first one is the name of a variable, but some people put the key there."""
_TEXTS = ("guidance.instructions",)  # part of every prompt
_URLS = ("teacher.base_url",)
_PATHS = (
    "data.train", "data.validation", "data.unlabelled", "data.classes",
    "student.encoder", "student.embeddings", "teacher.model",
)  # fmt: skip
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
_SECRET = re.compile(r"(?i)key|token|secret|password|headers")
_SHORTEST_SECRET = 8  # characters; a shorter one would be found in any sentence


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run that is about to begin, or to be resumed.

    Attributes:
        name: of the run folder.
        folder: the run folder; a tracker that writes files may write them there.
        settings: by dotted names, from `tracked_settings`.
        id: what `Tracker.begin` returned in an earlier session of the run; None in the first.
    """

    name: str
    folder: Path
    settings: Mapping[str, Setting]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        best: round of the best student.
        stopped_by: why the run stopped, a `StopReason`.
        figures: of the best round, as `Tracker.log` got them; empty where no round ended.
        rounds: the metrics of every round and of each class, as plain data.
    """

    best: int
    stopped_by: str
    figures: Mapping[str, float]
    rounds: Sequence[Mapping[str, Any]]

    @property
    def summary(self) -> dict[str, float]:
        """The best round and its figures, under names that begin with ``best/``."""
        best = {f"best/{name}": value for name, value in self.figures.items()}
        return {**best, "best/round": self.best}


class Tracker(ABC):
    """Reports a run to another tool. A plug-in implements `begin`, `log` and `end`.

    Its methods are called one after the other, in a thread of their own. An exception in one of
    them ends the tracking, and not the run. The address of the tool and the key come from the
    environment.
    """

    name: str = "tracker"

    @abstractmethod
    def begin(self, run: TrackedRun) -> str:
        """The run begins, or is resumed under its id.

        Returns:
            Its id in the tool. Another id than before means that the tool does not know the run:
            all rounds are then logged again.
        """

    def begin_round(self, number: int) -> None:  # noqa: B027  (most wait for its end)
        """A round begins that has not been logged yet."""

    @abstractmethod
    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """A round has ended that has not been logged yet.

        Args:
            number: of the round.
            figures: by names such as ``validation/accuracy``; sums are over all rounds so far.
        """

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """The run has ended. If it was interrupted, it may be resumed later."""

    def close(self, *, failed: bool) -> None:  # noqa: B027  (some hold nothing)
        """Nothing more comes.

        Args:
            failed: the run broke off, so that `end` was not called.
        """

    def traced(self, teacher: Teacher) -> Teacher:
        """The teacher, wrapped to watch its calls; or as it is."""
        return teacher


def trackers() -> tuple[str, ...]:
    """Names of all available trackers."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


def make_tracker(name: str) -> Tracker:
    """Make a tracker. It connects to nothing before a run begins.

    Args:
        name: one of `trackers()`.

    Raises:
        ConfigError: the name is unknown.
        MissingExtraError: its extra is not installed.
    """
    if name in _OWN:
        module, kind = _OWN[name]
        return cast("Tracker", getattr(import_module(f"{__name__}.{module}"), kind)())
    for point in entry_points(group=_GROUP, name=name):
        return cast("Tracker", point.load()())
    raise ConfigError(f'Unknown tracker "{name}". Choose from: {", ".join(trackers())}.')


def tracked_settings(config: Config) -> dict[str, Setting]:
    """The settings of a run that other tools may see, by dotted names.

    Of a path they get the last part, of a URL the host, and of the instructions their length.
    Settings without a value are left out.
    """
    settings = flat_settings(config.model_dump(mode="json"))
    return {
        name: _harmless(name, value)
        for name, value in settings.items()
        if value is not None and name not in _PRIVATE
    }


def _harmless(name: str, value: Any) -> Setting:
    if name in _TEXTS:
        return f"{len(value)} characters"
    if name in _URLS:
        return urlsplit(value).hostname or ""
    if name in _PATHS:
        return basename(str(value))
    return value if isinstance(value, int | float | bool) else str(value)


def basename(name: str) -> str:
    """The name of a file, a folder or a model; of a path its last part."""
    path = Path(name)
    return path.name if path.is_absolute() or path.exists() else name


def redact(message: str) -> str:
    """A message of a tool without secrets of the environment and credentials in URLs."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            message = message.replace(value, f"[{name}]")
    return _CREDENTIALS.sub("[user]@", message)
