"""Carries out the state machine's instructions: all I/O of a running sweep, and no decision.

Each event is written to the ledger before Optuna hears of it. Optuna refuses changes to a trial
that has ended, and only its unfinished trials are looked at on the next start (see `recovery`). So
after a crash the ledger may be ahead of Optuna, which can be made up for, and never behind it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trytable.orchestrator.backends.base import Backend, WorkerEvent, WorkerMessage
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.scheduler import events
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.storage.rows import TERMINAL, TrialRow
from trytable.trainers.protocol.messages import Job

POLL_SECONDS = 0.2
KEPT_CHECKPOINTS = 3
"""How many completed trials, the best ones, keep their checkpoints on disk."""

JobMaker = Callable[[TrialRow, events.StartAttempt], Job]


def best_first(
    completed: Iterable[tuple[float, int]], objective: Objective
) -> list[tuple[float, int]]:
    """Sort pairs of value and trial number: the best first, ties by number."""
    return sorted(completed, key=lambda pair: (objective.rank(pair[0]), pair[1]))


def best_completed(trials: Iterable[TrialRow], objective: Objective) -> list[tuple[float, int]]:
    """Return value and number of the completed trials that were not imported, best first."""
    completed = (
        (trial.best_value, trial.number)
        for trial in trials
        if trial.status == "completed" and trial.best_value is not None and not trial.origin
    )
    return best_first(completed, objective)


class SweepListener(Protocol):
    """Shows the user what happens in a sweep; changes nothing."""

    def on_instruction(self, instruction: events.Instruction, trial: TrialRow) -> None:
        """Called when an instruction for a trial is carried out."""

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Called with what workers sent; empty if nothing came in time."""

    def print_line(self, text: str) -> None:
        """Print a message for the user."""


class Listeners:
    """Several listeners as one; each is called in turn."""

    def __init__(self, *listeners: SweepListener) -> None:
        self._listeners = listeners

    def on_instruction(self, instruction: events.Instruction, trial: TrialRow) -> None:
        for listener in self._listeners:
            listener.on_instruction(instruction, trial)

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        for listener in self._listeners:
            listener.on_messages(messages)

    def print_line(self, text: str) -> None:
        for listener in self._listeners:
            listener.print_line(text)


@dataclass(kw_only=True)
class SweepLoop:
    """Connects the state machine of a sweep with its study, ledger and backend.

    Args:
        machine: decides what to do.
        study: the study in Optuna.
        recorder: writes the ledger.
        backend: runs the workers.
        folders: the folders of the study.
        listener: shows the user what happens.
        full_settings: returns the full settings of a point.
        make_job: returns the job of an attempt.
        interrupt_count: returns how often the user has pressed Ctrl-C so far.
        now: returns monotonic seconds.
        objective: the metric that the sweep optimizes.
        best: value and number of the best completed trials; those of earlier runs at the start.
        after_end: called with a trial after its end was told to Optuna.
        check_early_stopping: returns advice to stop the trial that a message is from, or None.
        memory_shape: names the settings that decide a trial's memory.
    """

    machine: StateMachine
    study: OptunaStudy
    recorder: Recorder
    backend: Backend
    folders: Folders
    listener: SweepListener
    full_settings: Callable[[dict[str, Any]], dict[str, Any]]
    make_job: JobMaker
    interrupt_count: Callable[[], int] = lambda: 0
    now: Callable[[], float] = time.monotonic
    objective: Objective = DEFAULT_OBJECTIVE
    best: list[tuple[float, int]] = field(default_factory=list)
    after_end: Callable[[TrialRow], None] = lambda _: None
    check_early_stopping: Callable[[WorkerMessage], events.SchedulerEvent | None] = lambda _: None
    memory_shape: Callable[[dict[str, Any]], str] = lambda _: ""
    _handled_interrupts: int = field(default=0, init=False)

    def run(self) -> None:
        """Run until there is nothing left to do or to wait for."""
        while not self.turn():
            pass

    def turn(self) -> bool:
        """Start what can start, then wait for messages and act on them; return True at the end."""
        self._feed_interrupts()
        self._feed(events.Tick(self.now(), self.backend.free_slots()))
        if self.machine.is_done:
            return True
        messages = self.backend.poll(POLL_SECONDS)
        self.recorder.record_messages(messages)
        for message in messages:
            self._on_message(message)
        self.listener.on_messages(messages)
        return False

    def replay(self, trial: LiveTrial) -> None:
        """Act on the events that the last attempt at a trial wrote to its file, then on its end.

        The earlier orchestrator may not have received all of them. A result among them is used
        instead of training the trial again.
        """
        written_events = self.folders.events(trial.number, trial.attempt)
        messages = [WorkerEvent(trial.uid, trial.attempt, event) for event in written_events]
        self.recorder.record_messages(messages)
        for message in messages:
            self._on_message(message)
        self._feed(events.AttemptLost(trial.uid))

    def _on_message(self, message: WorkerMessage) -> None:
        self._feed(message)
        advice = self.check_early_stopping(message)
        if advice is not None:
            self._feed(advice)

    def _feed_interrupts(self) -> None:
        while self._handled_interrupts < self.interrupt_count():
            self._handled_interrupts += 1
            self._feed(events.Interrupt())

    def _feed(self, event: events.SchedulerEvent) -> None:
        for instruction in self.machine.handle(event):
            answer = self._carry_out(instruction)
            if answer is not None:
                self._feed(answer)

    def _carry_out(self, instruction: events.Instruction) -> events.SchedulerEvent | None:
        match instruction:
            case events.AskTrial():
                return self._ask(instruction)
            case events.StartAttempt():
                self._start(instruction)
            case events.ReportValue(uid, epoch, value):
                number = self.recorder.trial(uid).number
                should_prune = self.study.report(number, epoch, value)
                return events.PruneAdvice(uid) if should_prune else None
            case events.StopWorker(uid, reason):
                self.listener.on_instruction(instruction, self.recorder.trial(uid))
                self.backend.stop(uid, reason)
            case events.EndAttempt():
                self._end(instruction)
            case events.AnnounceGpuExclusion(device):
                self.listener.print_line(
                    f"GPU {device} is set aside: one trial after another failed on it. The "
                    "other GPUs keep running; the next run uses it again."
                )
            case events.AnnounceGpuFit(uid, fit):
                self.listener.print_line(
                    f"Try {self.recorder.trial(uid).number + 1}: {fit.description}"
                )
            case events.AnnounceSharingLimit():
                self.listener.print_line(self._sharing_limit_message(instruction))
            case events.KillWorkers():
                self.backend.close()
        return None

    def _sharing_limit_message(self, limit: events.AnnounceSharingLimit) -> str:
        number = self.recorder.trial(limit.uid).number
        sharing = f" while {limit.sharing} trials shared the GPU" if limit.sharing > 1 else ""
        rule = (
            "each such trial has a GPU to itself"
            if limit.limit == 1
            else f"at most {limit.limit} such trials share one"
        )
        return f"Try {number + 1} ran out of GPU memory{sharing}. From now on {rule}."

    def _ask(self, ask: events.AskTrial) -> events.SchedulerEvent:
        trial = self.study.ask()
        if trial is None:
            return events.SearchExhausted()
        full_settings = self.full_settings(trial.params)
        self.recorder.record_trial(trial, full_settings)
        return events.NewTrial(ask.slot, trial.uid, trial.number, self.memory_shape(full_settings))

    def _start(self, start: events.StartAttempt) -> None:
        trial = self.recorder.trial(start.uid)
        self.folders.claim(trial.number, trial.uid)
        job = self.make_job(trial, start)
        self.recorder.record_start(start, job)
        self.listener.on_instruction(start, trial)
        self.backend.start(job, start.slot)

    def _end(self, end: events.EndAttempt) -> None:
        trial = self.recorder.record_end(end)
        if end.status in TERMINAL:
            self.study.tell(trial.number, end.status, trial.best_value)
            self._delete_checkpoints(trial)
            self.after_end(trial)
        self.listener.on_instruction(end, trial)

    def _delete_checkpoints(self, trial: TrialRow) -> None:
        """Delete the checkpoints of all ended trials except the best completed ones."""
        ended_numbers = {number for _, number in self.best} | {trial.number}
        if trial.status == "completed" and trial.best_value is not None:
            self.best.append((trial.best_value, trial.number))
        self.best = best_first(self.best, self.objective)
        del self.best[KEPT_CHECKPOINTS:]
        self.folders.keep_checkpoints({number for _, number in self.best}, ended_numbers)
