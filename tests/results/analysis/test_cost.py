"""Seconds of workers and of devices: what they went on, what was saved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.analysis.cost import study_cost
from trytable.results.analysis.types import Cost, Seconds
from trytable.results.storage.rows import AttemptRow, Status
from trytable.results.storage.study import EpochResult, StudyResult, TrialResult


def _try(
    number: int,
    status: Status,
    *attempts: tuple[str, float, float | None, str],
    value: float | None = None,
    epochs: tuple[float | None, ...] = (),
) -> TrialResult:
    rows = tuple(
        AttemptRow(f"u{number}", n, "1", device, 1, start, end, outcome)
        for n, (device, start, end, outcome) in enumerate(attempts, start=1)
    )
    return TrialResult(
        number=number,
        uid=f"u{number}",
        status=status,
        reason="",
        source="baseline" if number == 0 else "grid",
        params={},
        distributions={},
        requested={"epochs": 10},
        effective={},
        curve=tuple(EpochResult(n, seconds=one) for n, one in enumerate(epochs, start=1)),
        best_epoch=None,
        best_value=value,
        best_dev_accuracy=value,
        test_accuracy=None,
        attempts=rows,
        findings=(),
        seconds=None,
    )


def _cost(*tries: TrialResult) -> Cost:
    return study_cost(StudyResult("s", None, DEFAULT_OBJECTIVE, {}, {}, None, tries))


def test_what_the_seconds_went_on() -> None:
    found = _cost(
        _try(0, "completed", ("cpu", 0, 10, "completed"), value=0.40),
        _try(1, "completed", ("cpu", 10, 14, "retried"), ("cpu", 14, 34, "completed"), value=0.42),
        _try(2, "pruned", ("cpu", 34, 37, "pruned"), epochs=(1.0, 2.0)),
        _try(3, "failed", ("cpu", 37, 42, "retried"), ("cpu", 42, 43, "failed")),
        _try(4, "stopped", ("cpu", 43, 45, "stopped"), epochs=(2.0,)),
        _try(5, "completed", ("cpu", 45, 46, "drained"), ("cpu", 50, 53, "completed"), value=0.41),
        _try(6, "running", ("cpu", 60, 61, "drained"), ("cpu", 70, None, "")),
        _try(7, "waiting"),
    )
    assert {kind: seconds.wall for kind, seconds in found.by_kind.items()} == {
        "completed": 34, "pruned": 3, "stopped": 2, "failed": 1, "retried": 9, "unfinished": 1,
    }  # fmt: skip
    assert found.total == Seconds(50, 50)
    assert found.trials[1] == Seconds(24, 24)
    assert 7 not in found.trials
    assert found.saved == {2: 8 * 1.5, 4: 9 * 2.0}
    assert found.device_seconds_per_point == pytest.approx(50 / 2)


def test_a_shared_device_is_shared() -> None:
    found = _cost(
        _try(0, "completed", ("gpu", 0, 10, "completed"), value=0.4),
        _try(1, "completed", ("gpu", 5, 15, "completed"), value=0.4),
        _try(2, "completed", ("cpu", 5, 15, "completed"), value=0.4),
    )
    assert found.trials == {0: Seconds(10, 7.5), 1: Seconds(10, 7.5), 2: Seconds(10, 10)}
    assert found.device_seconds_per_point is None, "nothing is above the baseline"


def test_what_is_not_known_is_missing() -> None:
    assert _cost(_try(0, "pruned", epochs=(None, None))).saved == {}
    assert _cost(_try(0, "completed", epochs=(1.0,))).saved == {}
    assert _cost() == Cost({}, {}, {}, None)


@given(
    st.lists(
        st.tuples(st.sampled_from(["cpu", "gpu"]), st.integers(0, 30), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    )
)
def test_device_seconds_add_up_to_the_time_in_which_devices_were_used(
    spans: list[tuple[str, int, int]],
) -> None:
    tries = (
        _try(n, "completed", (device, start, start + length, "completed"))
        for n, (device, start, length) in enumerate(spans)
    )
    found = _cost(*tries)
    used = {(device, at) for device, start, length in spans for at in range(start, start + length)}
    assert found.total.device == pytest.approx(len(used))
    assert found.total.wall == sum(length for *_, length in spans)
    assert all(0 <= one.device <= one.wall + 1e-9 for one in found.trials.values())
