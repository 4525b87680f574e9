"""Carries the state machine's instructions out: all the I/O of a running sweep, and no decision."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from trytable.orchestrator.backends.base import Backend, WorkerEvent, WorkerMessage
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.scheduler.events import (
    AnnounceGpuExclusion,
    AnnounceGpuFit,
    AnnounceSharingLimit,
    AskTrial,
    AttemptLost,
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
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.storage.rows import TERMINAL, TrialRow
from trytable.trainers.protocol.messages import Job

POLL_SECONDS = 0.2
KEPT_CHECKPOINTS = 3
"""The best weights of so many completed trials stay on disk."""


def best_first(
    completed: Iterable[tuple[float, int]], objective: Objective
) -> list[tuple[float, int]]:
    """Pairs of value and trial number, best first; ties by number."""
    return sorted(completed, key=lambda pair: (objective.rank(pair[0]), pair[1]))


JobMaker = Callable[[TrialRow, StartAttempt], Job]


class SweepListener(Protocol):
    """Sees all that happens, for the person's eyes; changes nothing."""

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """An instruction about a trial is being carried out."""

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Messages have come; none where the wait ran out."""

    def print_line(self, text: str) -> None:
        """Something that the person should read now."""


class SweepLoop:
    """Runs a machine against a study, a book and a backend until it is done.

    Args:
        requested: the full settings of a trial, from its point.
        make_job: the job of an attempt.
        interrupts: how many times the person has pressed Ctrl-C so far.
        now: monotonic seconds.
        objective: what the sweep is after.
        best: completed trials of earlier runs, as (value, number).
        after_end: called with a trial whose end has been told.
        judge: what a diagnosis says to a message, if anything.
        shape: names what of a trial's full settings decides its memory.
    """

    def __init__(
        self,
        *,
        machine: StateMachine,
        study: OptunaStudy,
        recorder: Recorder,
        backend: Backend,
        folders: Folders,
        listener: SweepListener,
        full_settings: Callable[[dict[str, Any]], dict[str, Any]],
        make_job: JobMaker,
        interrupt_count: Callable[[], int] = lambda: 0,
        now: Callable[[], float] = time.monotonic,
        objective: Objective = DEFAULT_OBJECTIVE,
        best: Iterable[tuple[float, int]] = (),
        after_end: Callable[[TrialRow], None] = lambda _: None,
        check_early_stopping: Callable[[WorkerMessage], SchedulerEvent | None] = lambda _: None,
        memory_shape: Callable[[dict[str, Any]], str] = lambda _: "",
    ) -> None:
        self._machine = machine
        self._study = study
        self._recorder = recorder
        self._backend = backend
        self._folders = folders
        self._listener = listener
        self._full_settings = full_settings
        self._make_job = make_job
        self._interrupt_count = interrupt_count
        self._now = now
        self._objective = objective
        self._completed = list(best)
        self._after_end = after_end
        self._check_early_stopping = check_early_stopping
        self._memory_shape = memory_shape
        self._seen_interrupts = 0

    def run(self) -> None:
        """Go on until nothing is left to do or to wait for."""
        while not self.turn():
            pass

    def turn(self) -> bool:
        """Start what can start, then hear and do what comes of it; True where all is done."""
        self._feed_interrupts()
        self._feed(Tick(self._now(), self._backend.free_slots()))
        if self._machine.is_done:
            return True
        messages = self._backend.poll(POLL_SECONDS)
        self._recorder.record_messages(messages)
        for message in messages:
            self._take(message)
        self._listener.on_messages(messages)
        return False

    def replay(self, trial: LiveTrial) -> None:
        """Take in what an earlier orchestrator's last attempt at a trial wrote down, then its end.

        So a result that was written and never told is adopted instead of trained again.
        """
        events = self._folders.events(trial.number, trial.attempt)
        messages = [WorkerEvent(trial.uid, trial.attempt, event) for event in events]
        self._recorder.record_messages(messages)
        for message in messages:
            self._take(message)
        self._feed(AttemptLost(trial.uid))

    def _take(self, message: WorkerMessage) -> None:
        self._feed(message)
        advice = self._check_early_stopping(message)
        if advice is not None:
            self._feed(advice)

    def _feed_interrupts(self) -> None:
        while self._seen_interrupts < self._interrupt_count():
            self._seen_interrupts += 1
            self._feed(Interrupt())

    def _feed(self, event: SchedulerEvent) -> None:
        for instruction in self._machine.handle(event):
            answer = self._carry_out(instruction)
            if answer is not None:
                self._feed(answer)

    def _carry_out(self, instruction: Instruction) -> SchedulerEvent | None:
        match instruction:
            case AskTrial():
                return self._ask(instruction)
            case StartAttempt():
                self._start(instruction)
            case ReportValue(uid, epoch, value):
                number = self._recorder.trial(uid).number
                advised = self._study.report(number, epoch, value)
                return PruneAdvice(uid) if advised else None
            case StopWorker(uid, reason):
                self._listener.on_instruction(instruction, self._recorder.trial(uid))
                self._backend.stop(uid, reason)
            case EndAttempt():
                self._settle(instruction)
            case AnnounceGpuExclusion(device):
                self._listener.print_line(
                    f"GPU {device} is set aside: one trial after another failed there. The others "
                    "go on; the next run uses it again."
                )
            case AnnounceGpuFit(uid, fit):
                self._listener.print_line(
                    f"Try {self._recorder.trial(uid).number + 1}: {fit.description}"
                )
            case AnnounceSharingLimit():
                self._listener.print_line(self._repacked(instruction))
            case KillWorkers():
                self._backend.close()
        return None

    def _repacked(self, told: AnnounceSharingLimit) -> str:
        name = f"Try {self._recorder.trial(told.uid).number + 1}"
        if told.limit == 1:
            beside = "" if told.sharing == 1 else f" beside {told.sharing - 1} more"
            return f"Memory ran out for {name}{beside}: its like have a GPU each from now on."
        return (
            f"Memory ran out for {name} where {told.sharing} shared a GPU: its like are at most "
            f"{told.limit} on one from now on."
        )

    def _ask(self, ask: AskTrial) -> SchedulerEvent:
        asked = self._study.ask()
        if asked is None:
            return SearchExhausted()
        full_settings = self._full_settings(asked.params)
        self._recorder.record_trial(asked, full_settings)
        return NewTrial(ask.slot, asked.uid, asked.number, self._memory_shape(full_settings))

    def _start(self, start: StartAttempt) -> None:
        trial = self._recorder.trial(start.uid)
        self._folders.claim(trial.number, trial.uid)
        job = self._make_job(trial, start)
        self._recorder.record_start(start, job)
        self._listener.on_instruction(start, trial)
        self._backend.start(job, start.slot)

    def _settle(self, settle: EndAttempt) -> None:
        trial = self._recorder.record_end(settle)
        if settle.status in TERMINAL:
            self._study.tell(trial.number, settle.status, trial.best_value)
            self._tidy(trial)
            self._after_end(trial)
        self._listener.on_instruction(settle, trial)

    def _tidy(self, trial: TrialRow) -> None:
        """Keep the checkpoints of the best completed trials and no other ended trial's."""
        ended = {number for _, number in self._completed} | {trial.number}
        if trial.status == "completed" and trial.best_value is not None:
            self._completed.append((trial.best_value, trial.number))
        self._completed = best_first(self._completed, self._objective)
        del self._completed[KEPT_CHECKPOINTS:]
        self._folders.keep_checkpoints({number for _, number in self._completed}, ended)
