"""A small run of the benchmark of scale: that all of it comes out right, not how fast."""

from pathlib import Path

import pytest

from benchmarks.scale import measure


@pytest.mark.slow
def test_every_trial_of_many_slots_ends_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """More trials than sampler and pruner look at, each judged in the study and the ledger."""
    made = measure(tmp_path, slots=50, trials=1100, epochs=4)
    assert made.problems == []
    assert sum(made.states.values()) == 1100
    assert set(made.states) == {"completed", "pruned"}
    assert made.reports >= 2 * 1100  # the median judges after an epoch of warm-up
    assert len(made.waits) == 1100 - 50
    assert len(made.asks) == 1100
    assert made.peak_bytes > 0
