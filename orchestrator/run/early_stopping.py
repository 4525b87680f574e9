"""Listens to running trials and says when a diagnosis would end one. No I/O, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trytable.orchestrator.backends.base import WorkerEvent, WorkerMessage
from trytable.orchestrator.run.recorder import step_row
from trytable.orchestrator.scheduler.events import EarlyStopAdvice
from trytable.results.analysis.diagnosis.api import stopping_symptom
from trytable.results.analysis.diagnosis.messages import describe
from trytable.results.analysis.diagnosis.thresholds import Thresholds
from trytable.results.analysis.diagnosis.types import DiagnosedTrial, Task
from trytable.results.storage.rows import EpochRow, StepRow
from trytable.results.storage.study import EpochResult
from trytable.trainers.protocol.messages import Epoch, Started, Step


@dataclass
class _Course:
    """What a trial has said so far, each step and epoch once."""

    attempt: int = 0
    steps: dict[int, StepRow] = field(default_factory=dict)
    epochs: dict[int, EpochResult] = field(default_factory=dict)

    def forget_after(self, step: int) -> None:
        """A new attempt goes on from this step: what came after it did not happen."""
        self.steps = {at: row for at, row in self.steps.items() if at <= step}


class EarlyStopping:
    """Judges every trial by its course, the part that earlier runs heard included.

    Args:
        task: what is known of the classes.
        limit: which diagnoses end a trial, and past which window.
        steps, epochs: what the ledger holds of trials that go on.
    """

    def __init__(
        self,
        task: Task,
        limit: Thresholds,
        steps: Iterable[StepRow] = (),
        epochs: Iterable[EpochRow] = (),
    ) -> None:
        self._task = task
        self._limit = limit
        self._courses: dict[str, _Course] = {}
        for row in steps:
            self._course(row.trial_uid).steps[row.step] = row
        for epoch in epochs:
            known = EpochResult(epoch.epoch, dev_accuracy=epoch.dev_accuracy)
            self._course(epoch.trial_uid).epochs[epoch.epoch] = known

    def check(self, message: WorkerMessage) -> EarlyStopAdvice | None:
        """Take in a message; the advice to stop its trial, or None."""
        if not self._limit.stopping_kinds or not isinstance(message, WorkerEvent):
            return None
        course, event = self._course(message.trial_uid), message.event
        match event:
            case Started():
                course.attempt = event.attempt
                course.forget_after(event.resumed_from_step)
            case Epoch():
                known = EpochResult(event.epoch, dev_accuracy=event.dev_accuracy)
                course.epochs[event.epoch] = known
            case Step() if event.attempt == course.attempt:
                course.steps[event.step] = step_row(message.trial_uid, event)
                return self._verdict(message.trial_uid, course)
            case _:
                pass
        return None

    def forget(self, uid: str) -> None:
        """A trial has ended for good."""
        self._courses.pop(uid, None)

    def _verdict(self, uid: str, course: _Course) -> EarlyStopAdvice | None:
        trial = DiagnosedTrial(
            status="running",
            steps=tuple(course.steps[at] for at in sorted(course.steps)),
            curve=tuple(course.epochs.values()),
        )
        found = stopping_symptom(trial, self._task, self._limit)
        return EarlyStopAdvice(uid, f"{found.kind}: {describe(found).message}") if found else None

    def _course(self, uid: str) -> _Course:
        return self._courses.setdefault(uid, _Course())
