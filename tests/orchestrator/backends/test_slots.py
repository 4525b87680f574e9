"""Slots times threads never exceed the cores; GPUs are shared out in turn."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.orchestrator.backends.slots import (
    WORKER_BYTES,
    divide_slots,
    find_slots,
    visible_gpus,
)
from trytable.orchestrator.errors import UserError

GPUS = ["GPU-aa11", "GPU-bb22", "GPU-cc33"]
PLENTY = 64 * WORKER_BYTES


@given(st.integers(1, 128), st.none() | st.integers(1, 128))
def test_on_the_cpu_slots_times_threads_never_exceed_the_cores(
    cores: int, wanted: int | None
) -> None:
    if wanted is not None and wanted > cores:
        with pytest.raises(UserError, match=f"Allowed: 1 to {cores}"):
            divide_slots(wanted, [], cores, PLENTY)
        return
    slots = divide_slots(wanted, [], cores, PLENTY)
    assert sum(slot.threads for slot in slots) <= cores
    assert {slot.device for slot in slots} == {"cpu"}
    assert len({slot.name for slot in slots}) == len(slots) == (wanted or min(cores, 4))


def test_little_memory_means_fewer_slots() -> None:
    assert len(divide_slots(None, [], 16, 2 * WORKER_BYTES)) == 2
    assert len(divide_slots(None, [], 16, 0)) == 1


def test_one_slot_a_gpu_and_more_in_turn() -> None:
    assert [slot.device for slot in divide_slots(None, GPUS, 12, PLENTY)] == GPUS
    assert [slot.device for slot in divide_slots(4, GPUS, 12, PLENTY)] == [*GPUS, GPUS[0]]
    assert [slot.threads for slot in divide_slots(4, GPUS, 12, PLENTY)] == [3, 3, 3, 3]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 128), st.none() | st.integers(1, 50))
def test_gpus_are_filled_side_by_side(
    gpus: int, max_per_gpu: int, cores: int, wanted: int | None
) -> None:
    slots = divide_slots(wanted, [f"GPU-{i}" for i in range(gpus)], cores, PLENTY, max_per_gpu)
    by_gpu = Counter(slot.device for slot in slots)
    assert max(by_gpu.values()) - min(by_gpu.values()) <= 1
    assert [slot.device for slot in slots[:gpus]] == [f"GPU-{i}" for i in range(len(slots[:gpus]))]
    assert len({slot.name for slot in slots}) == len(slots)
    if wanted is None:
        assert max(by_gpu.values()) <= max_per_gpu
        assert gpus <= len(slots) <= max(gpus, cores)
        assert len(slots) == gpus * max_per_gpu or len(slots) == max(gpus, cores)
    else:
        assert len(slots) == wanted
    assert all(slot.threads == max(1, cores // len(slots)) for slot in slots)


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        (None, GPUS),
        ("", []),
        ("1", ["GPU-bb22"]),
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("GPU-bb", ["GPU-bb22"]),
        ("0,7,1", ["GPU-aa11"]),
        ("-1", []),
        ("none", []),
    ],
)
def test_cuda_visible_devices_is_heeded(setting: str | None, kept: list[str]) -> None:
    assert visible_gpus(GPUS, setting) == kept


def test_no_slot_is_refused() -> None:
    with pytest.raises(UserError, match="SLOTS=0"):
        find_slots(0)


def test_this_machine_has_a_slot() -> None:
    assert find_slots(None)
