"""Stops a running trial if a diagnosis finds it hopeless (`gate:` in a sweep). No I/O, no clock."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from trytable.orchestrator.backends.base import WorkerEvent, WorkerMessage
from trytable.orchestrator.run.recorder import step_row
from trytable.orchestrator.scheduler.events import EarlyStopAdvice
from trytable.results.analysis.diagnosis.api import make_task, stopping_symptom, thresholds_of
from trytable.results.analysis.diagnosis.registry import describe
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial, Task
from trytable.results.storage.rows import EpochRow, StepRow, StudyLedger
from trytable.results.storage.study import EpochResult
from trytable.sweeps.config.schema import Sweep
from trytable.trainers.protocol.messages import Epoch, Started, Step


@dataclass
class _TrialCurves:
    """What a trial has reported so far: each step and each epoch once."""

    attempt: int = 0
    steps: dict[int, StepRow] = field(default_factory=dict)
    epochs: dict[int, EpochResult] = field(default_factory=dict)

    def add_epoch(self, epoch: EpochRow | Epoch) -> None:
        self.epochs[epoch.epoch] = EpochResult(epoch.epoch, dev_accuracy=epoch.dev_accuracy)

    def resume(self, attempt: int, last_step: int) -> None:
        """Drop the steps that the previous attempt took after its last checkpoint."""
        self.attempt = attempt
        self.steps = {step: row for step, row in self.steps.items() if step <= last_step}


class EarlyStopping:
    """Diagnoses every running trial from all that it has reported, in earlier runs, too.

    Args:
        task: the classes of the data, as far as they are known.
        limit: which findings stop a trial, and from which step on.
        steps, epochs: the ledger's rows of the unfinished trials of earlier runs.
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
        self._curves: dict[str, _TrialCurves] = {}
        for row in steps:
            self._curves_of(row.trial_uid).steps[row.step] = row
        for epoch in epochs:
            self._curves_of(epoch.trial_uid).add_epoch(epoch)

    def check(self, message: WorkerMessage) -> EarlyStopAdvice | None:
        """Add a worker's message to its trial's curves; return advice if the trial should stop."""
        if not self._limit.stopping_kinds or not isinstance(message, WorkerEvent):
            return None
        curves, event = self._curves_of(message.trial_uid), message.event
        match event:
            case Started():
                curves.resume(event.attempt, event.resumed_from_step)
            case Epoch():
                curves.add_epoch(event)
            case Step() if event.attempt == curves.attempt:
                curves.steps[event.step] = step_row(message.trial_uid, event)
                return self._diagnose(message.trial_uid, curves)
            case _:
                pass
        return None

    def forget(self, uid: str) -> None:
        """Drop the curves of a trial that has ended."""
        self._curves.pop(uid, None)

    def _diagnose(self, uid: str, curves: _TrialCurves) -> EarlyStopAdvice | None:
        trial = DiagnosedTrial(
            status="running",
            steps=tuple(curves.steps[step] for step in sorted(curves.steps)),
            curve=tuple(curves.epochs.values()),
        )
        symptom = stopping_symptom(trial, self._task, self._limit)
        if symptom is None:
            return None
        return EarlyStopAdvice(uid, f"{symptom.kind}: {describe(symptom).message}")

    def _curves_of(self, uid: str) -> _TrialCurves:
        return self._curves.setdefault(uid, _TrialCurves())


def open_early_stopping(
    sweep: Sweep, earlier: StudyLedger, live_uids: Container[str]
) -> EarlyStopping:
    """Return a sweep's early stopping, with what its unfinished trials have reported so far."""
    gold = {row.split: tuple(row.labels) for row in earlier.gold}
    return EarlyStopping(
        make_task(earlier.study.facts, gold.get("dev", ())),
        thresholds_of(sweep.to_json()),
        (row for row in earlier.steps if row.trial_uid in live_uids),
        (row for row in earlier.epochs if row.trial_uid in live_uids),
    )
