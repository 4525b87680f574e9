"""Keeps the ledger: turns what happens into rows. The ledger is always written before Optuna."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trytable.orchestrator.backends.base import WorkerEvent, WorkerMessage
from trytable.orchestrator.scheduler.events import EndAttempt, StartAttempt
from trytable.orchestrator.study.trial_store import AskedTrial
from trytable.records import epoch_metrics, finite_or_none
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import (
    SEED,
    TERMINAL,
    AttemptRow,
    EffectiveRow,
    EpochRow,
    FindingRow,
    PredictionRow,
    Row,
    StepRow,
    TrialRow,
)
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Finding,
    Finished,
    Job,
    Started,
    Step,
)


class Recorder:
    """The rows of the trials that have not ended, and their way into the ledger."""

    def __init__(self, ledger: Ledger, study_uid: str) -> None:
        self._ledger = ledger
        self._study_uid = study_uid
        self._trials: dict[str, TrialRow] = {}
        self._attempts: dict[str, AttemptRow] = {}
        self._began: dict[str, float] = {}  # monotonic seconds: a clock may be set
        self._last_said: dict[str, float] = {}  # seconds since 1970
        self._epochs: dict[str, dict[tuple[int, int], Epoch]] = {}  # by trial, attempt and epoch

    def trial(self, uid: str) -> TrialRow:
        """The row of a trial that has not ended."""
        return self._trials[uid]

    def record_trial(self, asked: AskedTrial, requested: dict[str, Any]) -> None:
        """A new trial, with all the settings that it will be trained with."""
        row = TrialRow(
            uid=asked.uid,
            study_uid=self._study_uid,
            number=asked.number,
            requested=requested,
            source=asked.source,
            status="waiting",
            seed=asked.params.get(SEED),
        )
        self._trials[asked.uid] = row
        self._ledger.write(row)

    def resume(self, trial: TrialRow, attempt: AttemptRow | None) -> None:
        """A trial of an earlier run that goes on."""
        self._trials[trial.uid] = trial
        if attempt is not None:
            self._attempts[trial.uid] = attempt

    def record_start(self, start: StartAttempt, job: Job) -> None:
        """An attempt is about to start."""
        trial = replace(self._trials[start.uid], status="running", reason="")
        attempt = AttemptRow(
            trial_uid=start.uid,
            attempt=start.attempt,
            slot=start.slot.name,
            device=job.device,
            threads=job.threads,
            started_at=time.time(),
        )
        self._began[start.uid] = time.monotonic()
        self._trials[start.uid], self._attempts[start.uid] = trial, attempt
        self._ledger.write(trial, attempt)

    def record_messages(self, messages: Iterable[WorkerMessage]) -> None:
        """Write all that workers said, in one transaction."""
        rows: list[Row] = []
        for message in messages:
            if isinstance(message, WorkerEvent) and message.trial_uid in self._trials:
                self._last_said[message.trial_uid] = message.event.at
                rows.extend(self._rows(message))
        self._ledger.write(*rows)

    def record_end(self, settle: EndAttempt) -> TrialRow:
        """An attempt has ended; returns the trial as it stands now."""
        trial = replace(
            self._trials[settle.uid],
            status=settle.status,
            reason=settle.reason,
            failures=settle.failures,
        )
        if settle.result is not None:
            trial = replace(
                trial,
                best_epoch=settle.result.best_epoch,
                best_value=settle.result.best_value,
                best_dev_accuracy=settle.result.best_dev_accuracy,
                test_accuracy=settle.result.test_accuracy,
            )
        rows: list[Row] = [trial]
        attempt = self._attempts.pop(settle.uid, None)
        if attempt is not None and attempt.attempt == settle.attempt:
            rows.append(replace(_ended(attempt, settle), ended_at=self._end_of(attempt)))
        self._epochs.pop(settle.uid, None)
        self._trials[settle.uid] = trial
        self._ledger.write(*rows)
        if settle.status in TERMINAL:
            del self._trials[settle.uid]
            self._last_said.pop(settle.uid, None)
        return trial

    def _end_of(self, attempt: AttemptRow) -> float:
        """Seconds since 1970; its distance from the start does not depend on the clock's."""
        began = self._began.pop(attempt.trial_uid, None)
        if began is not None:
            return attempt.started_at + time.monotonic() - began
        # An earlier orchestrator's, perhaps of last week: it ended when it was heard of last.
        return max(self._last_said.get(attempt.trial_uid, 0.0), attempt.started_at)

    def _rows(self, message: WorkerEvent) -> Sequence[Row]:
        if isinstance(message.event, Started):
            return self._started(message.trial_uid, message.event)
        if isinstance(message.event, Epoch):
            return self._epoch(message.trial_uid, message.event)
        return event_rows(message.trial_uid, message.event)

    def _epoch(self, uid: str, event: Epoch) -> Sequence[Row]:
        """An epoch's row. One told twice counts as it was told first, as it does in the study."""
        told_before = self._epochs.setdefault(uid, {})
        first = told_before.setdefault((event.attempt, event.epoch), event)
        if first is event or first.model_dump(exclude={"at"}) == event.model_dump(exclude={"at"}):
            return event_rows(uid, first)
        told = {
            "epoch": event.epoch,
            "first": finite_or_none(first.value),
            "then": finite_or_none(event.value),
        }
        message = (
            f"epoch {event.epoch} was told twice and differently ({first.value}, then "
            f"{event.value}); the first counts"
        )
        return [FindingRow(uid, event.attempt, "repeated_epoch", "warning", message, told)]

    def _started(self, uid: str, event: Started) -> Sequence[Row]:
        attempt = self._attempts.get(uid)
        if attempt is None or attempt.attempt != event.attempt:
            return []
        self._attempts[uid] = attempt = replace(
            attempt,
            pid=event.pid,
            device=event.device,
            threads=event.threads,
            precision=event.precision,
            parameters=event.parameters,
            trainable_parameters=event.trainable_parameters,
            steps_total=event.steps_total,
            resumed_from_step=event.resumed_from_step,
            data_hash=event.data_hash,
            code_hash=event.code_hash,
        )
        effective = event.effective.items()
        return [attempt, *(EffectiveRow(uid, event.attempt, *item) for item in effective)]


def event_rows(uid: str, event: AnyEvent) -> Sequence[Row]:
    """The rows of what a worker said of its training; none for what only says how it stands."""
    match event:
        case Step():
            return [step_row(uid, event)]
        case Epoch():
            return [_epoch_row(uid, event)]
        case Finding():
            told = (event.kind, event.severity, event.message, event.evidence)
            return [FindingRow(uid, event.attempt, *told)]
        case Finished():
            said = {"dev": event.dev_predictions, "test": event.test_predictions}
            return [PredictionRow(uid, split, list(made)) for split, made in said.items() if made]
        case _:
            return []


def _ended(attempt: AttemptRow, settle: EndAttempt) -> AttemptRow:
    # An attempt that is followed by another has failed, whatever the trial's status is now.
    outcome = "retried" if settle.status == "waiting" else settle.status
    return replace(attempt, outcome=outcome, message=settle.reason)


def step_row(uid: str, event: Step) -> StepRow:
    """A step as the ledger keeps it: what is not finite is missing there."""
    return StepRow(
        trial_uid=uid,
        attempt=event.attempt,
        step=event.step,
        epoch=event.epoch,
        loss=finite_or_none(event.loss),
        lr=finite_or_none(event.lr),
        gradient_norm=finite_or_none(event.gradient_norm),
        weight_norm=finite_or_none(event.weight_norm),
        running_accuracy=finite_or_none(event.running_accuracy),
        layer_gradients=_finite_of(event.layer_gradients),
        layer_weights=_finite_of(event.layer_weights),
    )


def _finite_of(by_layer: Mapping[str, float] | None) -> dict[str, float] | None:
    if by_layer is None:
        return None
    return {layer: one for layer, one in by_layer.items() if finite_or_none(one) is not None}


def _epoch_row(uid: str, event: Epoch) -> EpochRow:
    return EpochRow(
        trial_uid=uid,
        attempt=event.attempt,
        epoch=event.epoch,
        step=event.step,
        metrics={
            name: value
            for name, value in event.metrics.items()
            if finite_or_none(value) is not None
        },
        **epoch_metrics(event),
    )
