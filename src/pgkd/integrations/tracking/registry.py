"""Trackers by name: pgkd's own, and those that installed packages bring.

A package adds one with an entry point of the group ``pgkd.trackers``; it names a callable without
arguments that returns a `Tracker`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pgkd.errors import ConfigError
from pgkd.integrations.tracking.mlflow import MLflowTracker
from pgkd.integrations.tracking.opentelemetry import OpenTelemetryTracker
from pgkd.integrations.tracking.tensorboard import TensorBoardTracker
from pgkd.integrations.tracking.wandb import WandbTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgkd.integrations.tracking.base import Tracker

_GROUP = "pgkd.trackers"
_OWN: dict[str, Callable[[], Tracker]] = {
    "mlflow": MLflowTracker,
    "otel": OpenTelemetryTracker,
    "tensorboard": TensorBoardTracker,
    "wandb": WandbTracker,
}


def trackers() -> tuple[str, ...]:
    """Names of all trackers that are at hand."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


def make_tracker(name: str) -> Tracker:
    """Make a tracker. It connects to nothing before a run begins.

    Args:
        name: one of `trackers()`.

    Raises:
        ConfigError: there is no such tracker.
        MissingExtraError: its extra is not installed.
    """
    if name in _OWN:
        return _OWN[name]()
    for point in entry_points(group=_GROUP, name=name):
        maker: Callable[[], Tracker] = point.load()
        return maker()
    raise ConfigError(f"There is no tracker '{name}'. There are: {', '.join(trackers())}.")
