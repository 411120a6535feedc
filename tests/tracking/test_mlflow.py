"""MLflow itself, with a store of its own on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking.conftest import (
    Writing,
    assert_keeps_secrets,
    distil,
    files_below,
)
from tests.tracking.test_tracking import Heard

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.config import Config

mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
