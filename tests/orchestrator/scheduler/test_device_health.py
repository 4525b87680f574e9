"""A GPU on which one trial after another fails is set aside, and no trial is lost by it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orchestrator.playing import as_scripted, play, sweep_of
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.fake import Script, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.gpu_sharing import GpuSharing
from trytable.orchestrator.scheduler.placement import Placement
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.integrity import check_studies
from trytable.trainers.protocol.messages import AnyEvent, Failed, FailureKind, Job

GOOD, BAD = "GPU-1111", "GPU-2222"
SLOTS = [Slot("1", GOOD), Slot("2", BAD)]
SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 3}
parameters:
  value: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
"""


def dies_on(*devices: str, kind: FailureKind = "error") -> Script:
    def script(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
        if job.device in devices:
            yield 0.1, Failed(attempt=job.attempt, kind=kind, message="an illegal memory access")
            return
        yield from as_scripted(job)

    return script


@pytest.mark.parametrize("limit", [1, 3])
def test_a_gpu_that_fails_again_and_again_is_set_aside(tmp_path: Path, limit: int) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    sweep = sweep_of(tmp_path, SWEEP + f"gpu_failures: {limit}\nattempts: 2\n")
    printed = play(sweep, folders, dies_on(BAD), SLOTS)
    assert printed.count(f"GPU {BAD} is set aside") == 1
    (found,) = check_studies(folders)
    assert (found.counts, found.problems) == ({"completed": 8}, ())
    assert printed.count("will be retried") == limit


def test_the_last_gpu_is_never_set_aside(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    sweep = sweep_of(tmp_path, SWEEP + "gpu_failures: 1\nattempts: 1\n")
    printed = play(sweep, folders, dies_on(GOOD, BAD), SLOTS)
    assert printed.count("is set aside") == 1
    (found,) = check_studies(folders)
    assert (found.counts, found.problems) == ({"failed": 8}, ())


def test_a_fault_of_the_settings_is_not_the_gpus(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    sweep = sweep_of(tmp_path, SWEEP + "gpu_failures: 1\n")
    printed = play(sweep, folders, dies_on(BAD, kind="user"), SLOTS)
    assert "set aside" not in printed


def test_cores_are_never_set_aside(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    sweep = sweep_of(tmp_path, SWEEP + "gpu_failures: 1\nattempts: 1\n")
    assert "set aside" not in play(sweep, folders, dies_on("cpu"))


def test_a_trial_counts_once_and_a_success_resets_the_count() -> None:
    health = DeviceHealth(2)
    health.add_gpus([GOOD, BAD])
    health.record_failure(BAD, "a")
    health.record_failure(BAD, "a")
    assert not health.excluded
    health.record_success(BAD)
    health.record_failure(BAD, "b")
    assert not health.excluded
    health.record_failure(BAD, "c")
    assert health.excluded == {BAD}


def test_an_excluded_gpu_is_no_alternative() -> None:
    health = DeviceHealth(1)
    health.add_gpus([GOOD, BAD])
    assert health.has_alternative(GOOD)
    health.record_failure(BAD, "a")
    assert health.excluded == {BAD}
    assert not health.has_alternative(GOOD)
    health.record_failure(GOOD, "b")
    assert health.excluded == {BAD}


def placement_with(slots: list[Slot]) -> Placement:
    placement = Placement([], DeviceHealth(3), GpuSharing(), memory_reported=False)
    assert placement.usable_slots(slots) == slots
    return placement


def test_a_trial_waits_for_another_gpu_than_the_one_it_failed_on() -> None:
    failed, new = LiveTrial("a", 0, failed_device=BAD), LiveTrial("b", 1)
    placement = placement_with(SLOTS)
    assert placement.find_slot(failed, [SLOTS[1]]) is None
    assert not placement.is_blocked(failed, [SLOTS[1]])
    assert placement.find_slot(failed, SLOTS[::-1]) == SLOTS[0]
    assert placement.find_slot(new, [SLOTS[1]]) == SLOTS[1]
    assert placement_with([SLOTS[1]]).find_slot(failed, [SLOTS[1]]) == SLOTS[1]
