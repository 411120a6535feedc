"""Numbers of several workers, one of them dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.behaviour.test_light import python

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_a_dead_worker_had_waiting_is_forgotten_and_what_it_counted_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    worker = "from pgkd.apps.server.metrics import ServerMetrics; m = ServerMetrics(); "
    count = "m.waiting.inc(3); m.batch_texts.observe(3); m.predictions.labels('billing').inc(); "
    python(worker + count)
    found = python(worker + count + "print(m.exposition().decode())").splitlines()
    assert "pgkd_texts_waiting 3.0" in found
    assert "pgkd_turn_texts_sum 6.0" in found
    assert 'pgkd_predictions_total{label="billing"} 2.0' in found
