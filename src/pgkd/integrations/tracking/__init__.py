"""Where else a run is told of: MLflow, Weights & Biases, TensorBoard, OpenTelemetry.

A tracker is given settings and figures, and never a text, a prompt or a key: it cannot let slip
what it does not know. `integrations/tracking/hook.py` tells trackers what happens in a run.
"""

from pgkd.integrations.tracking.base import Ending, TrackedRun, Tracker
from pgkd.integrations.tracking.registry import make_tracker, trackers
from pgkd.integrations.tracking.settings import told_settings

__all__ = ["Ending", "TrackedRun", "Tracker", "make_tracker", "told_settings", "trackers"]
