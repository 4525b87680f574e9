"""As many trials share a GPU as fit; if memory runs out, fewer do, and no trial is lost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.orchestrator.scheduler.test_machine import failed, finished
from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.events import (
    AnnounceGpuFit,
    AnnounceSharingLimit,
    AskTrial,
    AttemptLost,
    EndAttempt,
    Instruction,
    Interrupt,
    NewTrial,
    SchedulerEvent,
    StartAttempt,
    Tick,
)
from trytable.orchestrator.scheduler.gpu_sharing import USABLE_SHARE, GpuFit, GpuSharing
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.scheduler.placement import Placement
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.results.storage.rows import TERMINAL
from trytable.trainers.protocol.messages import Epoch, Failed

GIB = 2**30
CARD = 80 * GIB
GPU, OTHER = "GPU-1111", "GPU-2222"
THREE = (Slot("1", GPU), Slot("2", GPU), Slot("3", GPU))
TWO_EACH = (Slot("1", GPU), Slot("2", OTHER), Slot("3", GPU), Slot("4", OTHER))
UIDS = "abcdefghijklmnopqrstuvwxyz"


def epoch(number: int = 1, gib: float | None = 20, attempt: int = 1) -> Epoch:
    """An epoch after which a worker has held so many GiB at most; None on a CPU."""
    return Epoch(
        attempt=attempt,
        epoch=number,
        step=number,
        peak_device_bytes=None if gib is None else int(gib * GIB),
        device_bytes=None if gib is None else CARD,
    )


def out_of_memory(attempt: int = 1, shared: bool = True) -> Failed:
    return Failed(attempt=attempt, kind="oom", message="CUDA out of memory", shared_device=shared)


class Desk:
    """A machine and what it started; the trials that it asks for, "a" first, have these shapes."""

    def __init__(
        self, shapes: Sequence[str], slots: Sequence[Slot] = THREE, **options: Any
    ) -> None:
        self.shapes = dict(zip(UIDS, shapes, strict=False))
        self.slots = slots
        self.machine = StateMachine(len(shapes), **{"memory_reported": True, **options})
        self.live: dict[str, StartAttempt] = {}
        self.asked = 0
        self.instructions: list[Instruction] = []

    def tick(self) -> dict[str, str]:
        """The slots of the trials that start now."""
        before = set(self.live)
        taken = [one.slot for one in self.live.values()]
        self.feed(Tick(0.0, tuple(slot for slot in self.slots if slot not in taken)))
        return {uid: one.slot.name for uid, one in self.live.items() if uid not in before}

    def feed(self, event: SchedulerEvent) -> list[Instruction]:
        """What is done of an event, answers included."""
        instructions: list[Instruction] = []
        for instruction in self.machine.handle(event):
            instructions.append(instruction)
            match instruction:
                case AskTrial(slot):
                    uid = UIDS[self.asked]
                    self.asked += 1
                    instructions += self.feed(NewTrial(slot, uid, self.asked - 1, self.shapes[uid]))
                case StartAttempt(uid):
                    self.live[uid] = instruction
                case EndAttempt(uid):
                    self.live.pop(uid, None)
        self.instructions += instructions
        return instructions

    def tell(self, uid: str, gib: float = 20, number: int = 1) -> list[Instruction]:
        attempt = self.live[uid].attempt
        return self.feed(WorkerEvent(uid, attempt, epoch(number, gib, attempt)))

    def run_out(self, uid: str) -> tuple[list[Instruction], EndAttempt]:
        """Memory runs out for a trial; what comes of the word, and of its end."""
        attempt, shared = self.live[uid].attempt, self.live[uid].shared
        said = self.feed(WorkerEvent(uid, attempt, out_of_memory(attempt, shared)))
        (settle,) = self.feed(WorkerExit(uid, attempt, "exit code 0"))
        assert isinstance(settle, EndAttempt)
        return said, settle

    def finish(self, uid: str) -> None:
        attempt = self.live[uid].attempt
        self.feed(WorkerEvent(uid, attempt, finished(attempt)))
        self.feed(WorkerExit(uid, attempt, "exit code 0"))


def sharing(*peaks: tuple[str, float], slots: Sequence[Slot] = THREE) -> GpuSharing:
    """The state after trials of these shapes have reported these peaks, in GiB."""
    state = GpuSharing()
    for slot in slots:
        state.add_slot(slot.device, slot.name)
    for shape, gib in peaks:
        state.record_peak(GPU, shape, int(gib * GIB), CARD)
    return state


# The rule.


def test_an_empty_gpu_takes_any_trial_and_a_trial_that_is_measured_stays_alone() -> None:
    known = sharing(("small", 10))
    assert known.has_room(GPU, [], "new")
    assert not known.has_room(GPU, ["new"], "small")
    assert not known.has_room(GPU, ["small"], "new")
    assert known.has_room(GPU, ["small"], "small")


def test_peaks_may_add_up_to_nine_tenths() -> None:
    assert sharing(("a", 36)).has_room(GPU, ["a"], "a")
    assert not sharing(("a", 36.1)).has_room(GPU, ["a"], "a")
    assert sharing(("a", 60), ("b", 12)).has_room(GPU, ["b"], "a")
    assert not sharing(("a", 60), ("b", 12)).has_room(GPU, ["a", "b"], "b")


def test_the_largest_peak_that_was_told_counts() -> None:
    assert not sharing(("a", 30), ("a", 40), ("a", 35)).has_room(GPU, ["a"], "a")


def test_a_gpu_whose_memory_nobody_told_takes_no_second_trial() -> None:
    assert not sharing(("a", 1), slots=TWO_EACH).has_room(OTHER, ["a"], "a")


def test_memory_decides_neither_on_the_cpu_nor_if_no_worker_reports_it() -> None:
    for device, memory_reported in (("cpu", True), (GPU, False)):
        slot, trial = Slot("4", device), LiveTrial("z", 9, shape="new")
        running = [LiveTrial(uid, 0, "running", device=device, shape="a") for uid in "ab"]
        health = DeviceHealth(3)
        placement = Placement(running, health, sharing(), memory_reported=memory_reported)
        assert placement.has_room(slot, trial)
        assert not placement.is_shared(slot, trial)
        assert placement.slots_for_new_trials([slot]) == [slot]


def test_how_many_fit_is_told_once() -> None:
    known = sharing()
    assert known.record_peak(GPU, "a", 7 * GIB, CARD) == GpuFit(3, 7 * GIB, CARD)  # by its slots
    assert known.record_peak(GPU, "a", 8 * GIB, CARD) is None
    assert known.record_peak(GPU, "b", 30 * GIB, CARD) == GpuFit(2, 30 * GIB, CARD)  # by its memory
    assert known.record_peak(GPU, "c", 75 * GIB, CARD) == GpuFit(1, 75 * GIB, CARD)


def test_how_many_fit_reads_as_people_say_it() -> None:
    assert GpuFit(3, int(7.1 * GIB), CARD).description == (
        "3 such trials fit on one GPU (7.1 of 80.0 GiB each)"
    )
    assert (
        GpuFit(1, 75 * GIB, CARD).description == "1 such trial fits on one GPU (75.0 of 80.0 GiB)"
    )


def test_memory_that_runs_out_lowers_the_limit_of_its_shape_alone() -> None:
    known = sharing(("a", 10), ("b", 10))
    assert known.record_out_of_memory(GPU, "a", 3) == 2
    assert known.record_out_of_memory(GPU, "a", 3) is None
    assert known.has_room(GPU, ["a"], "a")
    assert not known.has_room(GPU, ["a", "b"], "b")
    assert known.has_room(GPU, ["b", "b"], "b")
    assert known.record_out_of_memory(GPU, "a", 2) == 1
    assert not known.has_room(GPU, ["a"], "b")
    assert not known.has_room(GPU, ["b"], "a")
    assert not known.is_shared(GPU, "a")
    assert known.is_shared(GPU, "b")
    assert known.record_out_of_memory(GPU, "a", 1) is None


@given(
    st.lists(st.sampled_from("abc"), max_size=6),
    st.sampled_from("abc"),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 100), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.integers(2, 5), max_size=3),
)
def test_whoever_joins_is_known_and_fits(
    there: list[str], shape: str, peaks: dict[str, int], ran_out: dict[str, int]
) -> None:
    known = sharing(*peaks.items())
    for one, together in ran_out.items():
        known.record_out_of_memory(GPU, one, together)
    joins = known.has_room(GPU, there, shape)
    if not there:
        assert joins
    elif joins:
        now = [*there, shape]
        assert sum(peaks[one] for one in now) <= USABLE_SHARE * 80
        assert all(len(now) <= ran_out.get(one, 99) - 1 for one in now)


# The machine.


def test_the_first_trial_is_alone_until_it_has_told_what_it_takes() -> None:
    desk = Desk("ssss")
    assert desk.tick() == {"a": "1"}
    assert desk.tick() == {}
    assert desk.tell("a", 20) == [AnnounceGpuFit("a", GpuFit(3, 20 * GIB, CARD))]
    assert desk.tick() == {"b": "2"}
    assert desk.tick() == {"c": "3"}
    assert [one.shared for one in desk.live.values()] == [True] * 3
    desk.finish("a")
    assert desk.tick() == {"d": "1"}


def test_only_as_many_as_fit() -> None:
    desk = Desk("sss")
    desk.tick()
    desk.tell("a", 30)
    desk.tick()
    assert (desk.tick(), desk.asked) == ({}, 2)


def test_an_empty_gpu_comes_before_one_to_share() -> None:
    desk = Desk("sssss", TWO_EACH)
    assert desk.tick() == {"a": "1", "b": "2"}
    desk.tell("a")
    assert desk.tick() == {"c": "3"}
    desk.finish("a")
    desk.finish("b")
    assert desk.tick() == {"d": "2", "e": "1"}
    desk.run_out("e")
    desk.finish("d")
    assert desk.tick() == {"e": "2"}


def test_a_trial_of_a_new_shape_waits_for_an_empty_gpu_and_nobody_comes_before_it() -> None:
    desk = Desk("stsss")
    desk.tick()
    desk.tell("a", 10)
    assert (desk.tick(), desk.asked) == ({}, 2)
    assert [one.status for one in desk.machine.trials.values()] == ["running", "waiting"]
    assert (desk.tick(), desk.asked) == ({}, 2)
    desk.finish("a")
    assert desk.tick() == {"b": "1"}
    assert (desk.tick(), desk.asked) == ({}, 2)  # it is measured
    desk.tell("b", 10)
    assert desk.tick() == {"c": "2"}


def test_a_trial_that_waits_for_another_gpu_keeps_nobody_off_its_own() -> None:
    desk = Desk("sss", (Slot("1", GPU), Slot("2", OTHER)))
    desk.tick()
    desk.feed(WorkerEvent("a", 1, failed("error")))
    desk.feed(WorkerExit("a", 1, "exit code 1"))
    assert desk.tick() == {"c": "1"}  # "a" failed there, and "b" runs elsewhere
    desk.finish("b")
    assert desk.tick() == {"a": "2"}


def test_on_a_gpu_with_one_slot_nothing_is_shared() -> None:
    desk = Desk("sss", (Slot("1", GPU), Slot("2", OTHER)))
    assert desk.tick() == {"a": "1", "b": "2"}
    assert [one.shared for one in desk.live.values()] == [False, False]
    assert desk.tell("a") == []
    desk.finish("a")
    assert desk.tick() == {"c": "1"}


def test_trials_that_tell_no_memory_take_every_slot_at_once() -> None:
    desk = Desk(["", "", ""], memory_reported=False)
    assert desk.tick() == {"a": "1", "b": "2", "c": "3"}
    assert not any(one.shared for one in desk.live.values())
    assert desk.run_out("a")[1].status == "failed"


def test_memory_that_runs_out_limits_sharing_and_counts_as_no_failure() -> None:
    desk = Desk("sss", max_attempts=1)
    desk.tick()
    desk.tell("a", 20)
    desk.tick()
    desk.tick()
    said, settle = desk.run_out("c")
    assert said == [AnnounceSharingLimit("c", 3, 2)]
    assert (settle.status, settle.failures) == ("waiting", 0)
    assert settle.reason == "oom: CUDA out of memory"
    assert desk.tick() == {}
    desk.finish("b")
    assert desk.tick() == {"c": "2"}
    said, settle = desk.run_out("c")
    assert said == [AnnounceSharingLimit("c", 2, 1)]
    assert desk.tick() == {}
    desk.finish("a")
    assert desk.tick() == {"c": "1"}
    assert not desk.live["c"].shared  # only now its worker halves the micro-batch
    assert desk.run_out("c")[1].status == "failed"


def test_trials_that_run_out_together_limit_sharing_once() -> None:
    desk = Desk("sss")
    desk.tick()
    desk.tell("a", 20)
    desk.tick()
    desk.tick()
    assert desk.run_out("b")[0] == [AnnounceSharingLimit("b", 3, 2)]
    assert desk.run_out("c")[0] == []
    assert desk.tick() == {"b": "2"}
    assert desk.run_out("a")[0] == []  # it was one of three, too


def test_a_trial_that_runs_out_while_it_is_alone_has_its_gpu_to_itself() -> None:
    desk = Desk("ss")
    desk.tick()
    assert desk.live["a"].shared  # others would come once it is measured
    assert desk.run_out("a")[0] == [AnnounceSharingLimit("a", 1, 1)]
    assert desk.tick() == {"a": "1"}
    assert not desk.live["a"].shared
    desk.tell("a", 79)
    assert desk.tick() == {}


def test_a_gpu_is_not_blamed_if_sharing_used_up_its_memory() -> None:
    desk = Desk("sss", TWO_EACH, gpu_failures=1)
    desk.tick()
    desk.tell("a", 20)
    desk.tick()
    desk.run_out("c")
    assert desk.machine.trials["c"].failed_device == ""
    assert desk.tick() == {}
    desk.finish("a")
    assert desk.tick() == {"c": "1"}


def test_an_excluded_gpu_is_shared_no_more() -> None:
    desk = Desk("ssssss", TWO_EACH, gpu_failures=1)
    desk.tick()
    desk.tell("a", 20)
    desk.tell("b", 20)
    desk.feed(WorkerEvent("b", 1, failed("error")))
    desk.feed(WorkerExit("b", 1, "exit code 1"))
    assert desk.tick() == {"b": "3"}
    assert desk.tick() == {}
    assert {one.slot.device for one in desk.live.values()} == {GPU}


def test_memory_that_ran_out_under_an_orchestrator_that_died_is_no_failure() -> None:
    """Nobody knows any more how many there were, so that nothing is learnt of it."""
    left = LiveTrial("z", 0, status="running", attempt=1, shape="s")
    desk = Desk("s", unfinished=[left])
    assert desk.feed(WorkerEvent("z", 1, epoch(gib=20))) == []
    assert desk.feed(WorkerEvent("z", 1, out_of_memory())) == []
    (settle,) = desk.feed(AttemptLost("z"))
    assert isinstance(settle, EndAttempt)
    assert (settle.status, settle.failures) == ("waiting", 0)
    assert desk.tick() == {"z": "1"}
    assert desk.tell("z", 20, number=2) == [AnnounceGpuFit("z", GpuFit(3, 20 * GIB, CARD))]
    assert desk.tick() == {"a": "2"}


def test_a_trial_that_waits_for_its_place_goes_on_in_the_next_run() -> None:
    desk = Desk("st")
    desk.tick()
    desk.tell("a")
    desk.tick()
    desk.feed(Interrupt())
    assert not desk.machine.is_done
    desk.feed(WorkerExit("a", 1, "exit code 0"))
    assert desk.machine.is_done
    assert desk.machine.trials["b"].status == "waiting"


class Crowds(RuleBasedStateMachine):
    """Trials of three shapes in any order of events, on two GPUs with three slots each."""

    SLOTS = tuple(Slot(str(i), GPU if i % 2 else OTHER) for i in range(1, 7))
    SHAPES = "abcabcaabbccabcabc"

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(self.SHAPES, self.SLOTS, max_attempts=2, gpu_failures=100)
        self.peaks: dict[str, int] = {}
        self.totals: set[str] = set()
        self.crowds: Counter[str] = Counter()

    def shapes_on(self, device: str) -> list[str]:
        return [
            self.desk.shapes[uid]
            for uid, start in self.desk.live.items()
            if start.slot.device == device
        ]

    @rule()
    def tick(self) -> None:
        before = {device: self.shapes_on(device) for device in (GPU, OTHER)}
        started = self.desk.tick()
        for device in (GPU, OTHER):
            now = self.shapes_on(device)
            if len(now) > max(len(before[device]), 1):
                assert self.peaks.keys() >= set(now)
                assert device in self.totals
                assert sum(self.peaks[one] for one in now) <= USABLE_SHARE * 80
        waiting = [one for one in self.desk.machine.trials.values() if one.status != "running"]
        assert sum(one.attempt == 0 for one in waiting) <= 1, "trials pile up"
        empty = [device for device in (GPU, OTHER) if not self.shapes_on(device)]
        refused = [one for one in waiting if set(empty) - {one.failed_device}]
        assert not refused, "an empty GPU refused a trial"
        if empty and not waiting:
            assert self.desk.asked == len(self.SHAPES)
        assert len(started) <= len(self.SLOTS)

    @precondition(lambda self: self.desk.live)
    @rule(data=st.data(), gib=st.integers(5, 60))
    def tell(self, data: st.DataObject, gib: int) -> None:
        uid = data.draw(st.sampled_from(sorted(self.desk.live)))
        shape = self.desk.shapes[uid]
        self.desk.tell(uid, gib, data.draw(st.integers(1, 3)))
        self.peaks[shape] = max(gib, self.peaks.get(shape, 0))
        self.totals.add(self.desk.live[uid].slot.device)

    @precondition(lambda self: self.desk.live)
    @rule(data=st.data())
    def run_out(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.desk.live)))
        shared, failures = self.desk.live[uid].shared, self.desk.machine.trials[uid].failures
        _, settle = self.desk.run_out(uid)
        assert settle.status == ("waiting" if shared else "failed")
        assert settle.failures == failures + (not shared)

    @precondition(lambda self: self.desk.live)
    @rule(data=st.data(), well=st.booleans())
    def end(self, data: st.DataObject, well: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.desk.live)))
        if well:
            self.desk.finish(uid)
        else:
            self.desk.feed(WorkerExit(uid, self.desk.live[uid].attempt, "killed by SIGKILL"))

    @invariant()
    def no_slot_is_taken_twice(self) -> None:
        slots = Counter(start.slot for start in self.desk.live.values())
        assert max(slots.values(), default=1) == 1

    def teardown(self) -> None:
        """However it went, the sweep comes to its end."""
        for _ in range(200):
            self.tick()
            if self.desk.machine.is_done:
                break
            for uid in list(self.desk.live):
                self.desk.finish(uid)
        assert self.desk.machine.is_done
        ended = Counter(
            one.uid
            for one in self.desk.instructions
            if isinstance(one, EndAttempt) and one.status in TERMINAL
        )
        assert ended == Counter(list(self.desk.shapes))


Crowds.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestCrowds = Crowds.TestCase


@pytest.mark.parametrize("slots", [3, 6])
@given(needs=st.dictionaries(st.sampled_from("abc"), st.integers(1, 80), min_size=3))
@settings(deadline=None)
def test_whatever_trials_need_in_truth_each_ends_without_a_failure(
    slots: int, needs: dict[str, int]
) -> None:
    """They tell less than they need, so that memory runs out; each such time lowers a limit."""
    places = [Slot(str(i), GPU) for i in range(slots)]
    desk = Desk("abcabcabc", places, max_attempts=1)
    ran_out = 0
    for _ in range(9 + 3 * slots):
        desk.tick()
        for uid in desk.live:
            desk.tell(uid, needs[desk.shapes[uid]] / 2)
        desk.tick()
        if sum(needs[desk.shapes[uid]] for uid in desk.live) > 80:
            last = list(desk.live)[-1]
            assert desk.live[last].shared
            desk.run_out(last)
            ran_out += 1
        elif desk.live:
            desk.finish(next(iter(desk.live)))
    assert desk.machine.is_done
    assert ran_out < 3 * slots
    settles = [one for one in desk.instructions if isinstance(one, EndAttempt)]
    assert sum(one.status == "completed" for one in settles) == 9
    assert not any(one.failures for one in settles)
