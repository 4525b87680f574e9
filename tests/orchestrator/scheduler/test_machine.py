"""Every order of events keeps the books balanced, and each end has its one status."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.scheduler.events import (
    AskTrial,
    AttemptLost,
    EarlyStopAdvice,
    EndAttempt,
    Instruction,
    Interrupt,
    KillWorkers,
    NewTrial,
    PruneAdvice,
    ReportValue,
    SchedulerEvent,
    SearchExhausted,
    StartAttempt,
    StopWorker,
    Tick,
)
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.scheduler.trial import TRANSITIONS, InvalidTransition, LiveTrial
from trytable.records import EpochMetrics
from trytable.results.storage.rows import TERMINAL
from trytable.trainers.protocol.messages import Checkpoint, Epoch, Failed, FailureKind, Finished

SLOT = Slot("1")


def epoch(number: int, accuracy: float = 0.5, attempt: int = 1) -> Epoch:
    return Epoch(
        attempt=attempt,
        epoch=number,
        step=number,
        **vars(
            EpochMetrics(
                value=accuracy, train_loss=1.0, dev_loss=1.0, dev_accuracy=accuracy, seconds=1.0
            )
        ),
    )


def finished(attempt: int = 1) -> Finished:
    return Finished(
        attempt=attempt,
        at=0.0,
        best_epoch=1,
        best_value=0.5,
        best_dev_accuracy=0.5,
        test_accuracy=None,
        dev_predictions=(),
        test_predictions=(),
    )


def failed(kind: FailureKind, attempt: int = 1) -> Failed:
    return Failed(attempt=attempt, kind=kind, message="it broke")


def running(to_ask: int = 1, **options: Any) -> StateMachine:
    """A machine whose first trial, "a", runs in its one slot."""
    machine = StateMachine(to_ask, **options)
    assert machine.handle(Tick(0.0, (SLOT,))) == (AskTrial(SLOT),)
    assert machine.handle(NewTrial(SLOT, "a", 0)) == (StartAttempt("a", 1, SLOT),)
    return machine


def settled(instructions: tuple[Instruction, ...]) -> EndAttempt:
    (settle,) = instructions
    assert isinstance(settle, EndAttempt)
    return settle


def test_a_finished_trial_is_completed_when_its_worker_ends() -> None:
    machine = running()
    assert machine.handle(WorkerEvent("a", 1, epoch(1))) == (ReportValue("a", 1, 0.5),)
    assert machine.handle(WorkerEvent("a", 1, finished())) == ()
    assert not machine.is_done
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert (settle.status, settle.result) == ("completed", finished())
    assert machine.is_done


def test_an_epoch_said_twice_is_reported_once() -> None:
    machine = running()
    machine.handle(WorkerEvent("a", 1, epoch(1)))
    assert machine.handle(WorkerEvent("a", 1, epoch(1, accuracy=0.9))) == ()


def test_a_killed_worker_is_tried_again_until_its_attempts_are_used_up() -> None:
    machine = running(max_attempts=2)
    settle = settled(machine.handle(WorkerExit("a", 1, "killed by SIGKILL")))
    assert (settle.status, settle.failures) == ("waiting", 1)
    assert machine.handle(Tick(1.0, (SLOT,))) == (StartAttempt("a", 2, SLOT),)
    settle = settled(machine.handle(WorkerExit("a", 2, "killed by SIGKILL")))
    assert (settle.status, settle.failures) == ("failed", 2)
    assert "SIGKILL" in settle.reason


@pytest.mark.parametrize("kind", ["user", "oom", "non_finite"])
def test_a_failure_that_would_come_again_is_not_tried_again(kind: FailureKind) -> None:
    machine = running()
    machine.handle(WorkerEvent("a", 1, failed(kind)))
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert settle.status == "failed"
    assert settle.reason == f"{kind}: it broke"


def test_messages_of_an_attempt_that_is_over_change_nothing() -> None:
    machine = running()
    machine.handle(WorkerExit("a", 1, "killed by SIGKILL"))
    machine.handle(Tick(1.0, (SLOT,)))
    assert machine.handle(WorkerEvent("a", 1, finished())) == ()
    assert machine.handle(WorkerExit("a", 1, "exit code 0")) == ()
    assert not machine.is_done


def test_a_pruned_trial_is_stopped_then_settled() -> None:
    machine = running()
    machine.handle(WorkerEvent("a", 1, epoch(1)))
    assert machine.handle(PruneAdvice("a")) == (StopWorker("a", "prune"),)
    assert machine.handle(PruneAdvice("a")) == ()
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert (settle.status, settle.reason) == ("pruned", "after epoch 1")


def test_a_trial_that_a_diagnosis_stops_is_settled_with_its_reason() -> None:
    machine = running()
    advice = EarlyStopAdvice("a", "no_learning: the mean loss is 1.609")
    assert machine.handle(advice) == (StopWorker("a", "gate"),)
    assert machine.handle(advice) == ()
    assert machine.handle(PruneAdvice("a")) == ()
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert (settle.status, settle.reason) == ("stopped", "no_learning: the mean loss is 1.609")
    assert machine.is_done


def test_the_first_to_ask_for_a_stop_names_the_end() -> None:
    machine = running()
    machine.handle(PruneAdvice("a"))
    assert machine.handle(EarlyStopAdvice("a", "no_learning")) == ()
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert settle.status == "pruned"


def test_a_diagnosis_stops_neither_a_finished_trial_nor_one_that_waits() -> None:
    machine = running()
    machine.handle(WorkerEvent("a", 1, finished()))
    assert machine.handle(EarlyStopAdvice("a", "no_learning")) == ()
    assert settled(machine.handle(WorkerExit("a", 1, "exit code 0"))).status == "completed"
    machine = running()
    machine.handle(WorkerExit("a", 1, "killed by SIGKILL"))
    assert machine.handle(EarlyStopAdvice("a", "no_learning")) == ()
    assert machine.handle(EarlyStopAdvice("b", "no_learning")) == ()


def test_a_diagnosis_holds_though_the_orchestrator_ends_before_the_worker() -> None:
    machine = StateMachine(0, unfinished=[LiveTrial("a", 0, status="running", attempt=1)])
    assert machine.handle(EarlyStopAdvice("a", "no_learning")) == (StopWorker("a", "gate"),)
    settle = settled(machine.handle(AttemptLost("a")))
    assert (settle.status, settle.reason) == ("stopped", "no_learning")


def test_a_trial_that_finishes_before_the_stop_reaches_it_keeps_its_value() -> None:
    machine = running()
    machine.handle(WorkerEvent("a", 1, epoch(1)))
    machine.handle(PruneAdvice("a"))
    machine.handle(WorkerEvent("a", 1, finished()))
    assert settled(machine.handle(WorkerExit("a", 1, "exit code 0"))).status == "completed"


def test_the_first_interrupt_drains_and_starts_nothing_more() -> None:
    machine = running(to_ask=5)
    assert machine.handle(Interrupt()) == (StopWorker("a", "drain"),)
    assert machine.handle(Tick(1.0, (Slot("2"),))) == ()
    machine.handle(WorkerEvent("a", 1, Checkpoint(attempt=1, step=3, epoch=1)))
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert (settle.status, settle.reason) == ("drained", "with a checkpoint")
    assert machine.is_done


def test_a_failure_while_draining_counts_as_a_failed_attempt() -> None:
    machine = running()
    machine.handle(Interrupt())
    machine.handle(WorkerEvent("a", 1, failed("error")))
    settle = settled(machine.handle(WorkerExit("a", 1, "exit code 0")))
    assert (settle.status, settle.failures) == ("waiting", 1)


def test_the_second_interrupt_halts() -> None:
    machine = running()
    machine.handle(Interrupt())
    halt, settle = machine.handle(Interrupt())
    assert halt == KillWorkers()
    assert isinstance(settle, EndAttempt)
    assert (settle.status, settle.failures) == ("waiting", 0)
    assert machine.is_done
    assert machine.handle(Interrupt()) == ()


def test_the_deadline_drains() -> None:
    machine = running(to_ask=5, deadline=10.0)
    assert machine.handle(Tick(9.9, ())) == ()
    assert machine.handle(Tick(10.0, ())) == (StopWorker("a", "drain"),)


def test_unfinished_trials_go_first() -> None:
    machine = StateMachine(1, unfinished=[LiveTrial("old", 3, attempt=2, failures=1)])
    slots = (Slot("1"), Slot("2"))
    assert machine.handle(Tick(0.0, slots)) == (
        StartAttempt("old", 3, slots[0]),
        AskTrial(slots[1]),
    )


def test_an_attempt_lost_with_its_orchestrator_is_no_failure() -> None:
    machine = StateMachine(0, unfinished=[LiveTrial("a", 0, status="running", attempt=1)])
    settle = settled(machine.handle(AttemptLost("a")))
    assert (settle.status, settle.failures) == ("waiting", 0)
    assert machine.handle(Tick(0.0, (SLOT,))) == (StartAttempt("a", 2, SLOT),)


def test_a_result_that_was_written_before_the_orchestrator_died_is_adopted() -> None:
    machine = StateMachine(0, unfinished=[LiveTrial("a", 0, status="running", attempt=1)])
    machine.handle(WorkerEvent("a", 1, finished()))
    assert settled(machine.handle(AttemptLost("a"))).status == "completed"
    assert machine.is_done


def test_an_illegal_move_tells_the_story_so_far() -> None:
    trial = LiveTrial("a", 0)
    trial.change_status("running", "attempt 1")
    trial.change_status("pruned", "the pruner said so")
    with pytest.raises(
        InvalidTransition, match=r"pruned -> running .* waiting -> running \(attempt 1\)"
    ):
        trial.change_status("running", "again")


def test_nothing_leads_out_of_a_terminal_status() -> None:
    assert {"completed", "pruned", "stopped", "failed"} == TERMINAL
    assert set().union(*TRANSITIONS.values()) <= TRANSITIONS.keys()


class AnyOrder(RuleBasedStateMachine):
    """Random events in any order, against a machine with three slots and a budget of six."""

    SLOTS = (Slot("1"), Slot("2"), Slot("3"))
    BUDGET = 6

    def __init__(self) -> None:
        super().__init__()
        self.machine = StateMachine(self.BUDGET, max_attempts=2)
        self.live: dict[str, tuple[int, Slot]] = {}
        self.asked = 0
        self.ended: dict[str, EndAttempt] = {}

    def feed(self, event: SchedulerEvent) -> None:
        for instruction in self.machine.handle(event):
            match instruction:
                case AskTrial(slot):
                    self.asked += 1
                    self.feed(NewTrial(slot, f"t{self.asked}", self.asked - 1))
                case StartAttempt(uid, attempt, slot):
                    assert uid not in self.live, "a trial runs twice"
                    assert uid not in self.ended, "an ended trial runs again"
                    assert slot not in [taken for _, taken in self.live.values()]
                    self.live[uid] = (attempt, slot)
                case EndAttempt():
                    if instruction.status in TERMINAL:
                        assert instruction.uid not in self.ended, "ended twice"
                        if instruction.status == "stopped":
                            assert instruction.reason == "no_learning"
                        self.ended[instruction.uid] = instruction
                case KillWorkers():
                    self.live.clear()
                case _:
                    pass

    @rule()
    def tick(self) -> None:
        taken = [slot for _, slot in self.live.values()]
        self.feed(Tick(0.0, tuple(slot for slot in self.SLOTS if slot not in taken)))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), kind=st.sampled_from(["epoch", "finished", "user", "error", "exit"]))
    def worker_says(self, data: st.DataObject, kind: str) -> None:
        uid = data.draw(st.sampled_from(sorted(self.live)))
        attempt, _ = self.live[uid]
        match kind:
            case "epoch":
                self.feed(
                    WorkerEvent(uid, attempt, epoch(data.draw(st.integers(1, 3)), attempt=attempt))
                )
            case "finished":
                self.feed(WorkerEvent(uid, attempt, finished(attempt)))
            case "user" | "error":
                self.feed(
                    WorkerEvent(
                        uid, attempt, failed("user" if kind == "user" else "error", attempt)
                    )
                )
            case _:
                del self.live[uid]
                self.feed(WorkerExit(uid, attempt, "exit code 1"))

    @rule(number=st.integers(1, 8), attempt=st.integers(1, 3))
    def late_message(self, number: int, attempt: int) -> None:
        uid = f"t{number}"
        if uid not in self.live or self.live[uid][0] != attempt:
            self.feed(WorkerEvent(uid, attempt, finished(attempt)))
            self.feed(WorkerExit(uid, attempt, "exit code 0"))

    @rule(number=st.integers(1, 8))
    def prune(self, number: int) -> None:
        self.feed(PruneAdvice(f"t{number}"))

    @rule(number=st.integers(1, 8))
    def stop_by_diagnosis(self, number: int) -> None:
        self.feed(EarlyStopAdvice(f"t{number}", "no_learning"))

    @precondition(lambda self: self.asked > 3)
    @rule()
    def interrupt(self) -> None:
        self.feed(Interrupt())

    @precondition(lambda self: self.asked > 4)
    @rule()
    def nothing_left(self) -> None:
        self.feed(SearchExhausted())

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        statuses = [trial.status for trial in self.machine.trials.values()]
        assert self.asked == len(self.ended) + len(statuses)
        assert self.asked <= self.BUDGET
        running_uids = {t.uid for t in self.machine.trials.values() if t.status == "running"}
        assert running_uids == set(self.live)


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase


@given(st.integers(1, 20), st.integers(1, 5))
def test_a_budget_is_asked_for_exactly(budget: int, slots: int) -> None:
    machine = StateMachine(budget)
    free = tuple(Slot(str(i)) for i in range(slots))
    asked = 0
    while not machine.is_done:
        for instruction in machine.handle(Tick(0.0, free)):
            assert isinstance(instruction, AskTrial)
            asked += 1
            machine.handle(NewTrial(instruction.slot, str(asked), asked))
        for uid in list(machine.trials):
            machine.handle(WorkerEvent(uid, 1, finished()))
            machine.handle(WorkerExit(uid, 1, "exit code 0"))
    assert asked == budget
