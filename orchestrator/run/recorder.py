"""Writes what happens in a sweep into the ledger.

The loop has each event recorded here before it tells Optuna: `loop` gives the reason. No ledger
session stays open in between: an open read transaction on an SQLite file would make Optuna's next
commit wait, and then fail.
"""

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
from trytable.trainers.protocol import messages


class Recorder:
    """Keeps the rows of the trials that have not ended, and writes every change to the ledger."""

    def __init__(self, ledger: Ledger, study_uid: str) -> None:
        self._ledger = ledger
        self._study_uid = study_uid
        self._trials: dict[str, TrialRow] = {}
        self._attempts: dict[str, AttemptRow] = {}
        self._started_at: dict[str, float] = {}  # monotonic seconds: a clock may be set
        self._last_event_at: dict[str, float] = {}  # seconds since 1970
        self._epochs: dict[
            str, dict[tuple[int, int], messages.Epoch]
        ] = {}  # by trial, attempt and epoch

    def trial(self, uid: str) -> TrialRow:
        """Return the row of a trial that has not ended."""
        return self._trials[uid]

    def record_trial(self, trial: AskedTrial, full_settings: dict[str, Any]) -> None:
        """Record a new trial with the settings that it will be trained with."""
        row = TrialRow(
            uid=trial.uid,
            study_uid=self._study_uid,
            number=trial.number,
            requested=full_settings,
            source=trial.source,
            status="waiting",
            seed=trial.params.get(SEED),
        )
        self._trials[trial.uid] = row
        self._ledger.write(row)

    def resume(self, trial: TrialRow, attempt: AttemptRow | None) -> None:
        """Take over a trial of an earlier run, with its last attempt."""
        self._trials[trial.uid] = trial
        if attempt is not None:
            self._attempts[trial.uid] = attempt

    def record_start(self, start: StartAttempt, job: messages.Job) -> None:
        """Record that an attempt is about to start."""
        trial = replace(self._trials[start.uid], status="running", reason="")
        attempt = AttemptRow(
            trial_uid=start.uid,
            attempt=start.attempt,
            slot=start.slot.name,
            device=job.device,
            threads=job.threads,
            started_at=time.time(),
        )
        self._started_at[start.uid] = time.monotonic()
        self._trials[start.uid], self._attempts[start.uid] = trial, attempt
        self._ledger.write(trial, attempt)

    def record_messages(self, received: Iterable[WorkerMessage]) -> None:
        """Record what workers sent, in one transaction."""
        rows: list[Row] = []
        for message in received:
            if isinstance(message, WorkerEvent) and message.trial_uid in self._trials:
                self._last_event_at[message.trial_uid] = message.event.at
                rows.extend(self._rows(message))
        self._ledger.write(*rows)

    def record_end(self, end: EndAttempt) -> TrialRow:
        """Record that an attempt has ended; return the trial's new row."""
        trial = replace(
            self._trials[end.uid],
            status=end.status,
            reason=end.reason,
            failures=end.failures,
        )
        if end.result is not None:
            trial = replace(
                trial,
                best_epoch=end.result.best_epoch,
                best_value=end.result.best_value,
                best_dev_accuracy=end.result.best_dev_accuracy,
                test_accuracy=end.result.test_accuracy,
            )
        rows: list[Row] = [trial]
        attempt = self._attempts.pop(end.uid, None)
        if attempt is not None and attempt.attempt == end.attempt:
            # If another attempt follows, this one has failed, whatever the trial's status is now.
            outcome = "retried" if end.status == "waiting" else end.status
            ended_at = self._end_of(attempt)
            rows.append(replace(attempt, outcome=outcome, message=end.reason, ended_at=ended_at))
        self._epochs.pop(end.uid, None)
        self._trials[end.uid] = trial
        self._ledger.write(*rows)
        if end.status in TERMINAL:
            del self._trials[end.uid]
            self._last_event_at.pop(end.uid, None)
        return trial

    def _end_of(self, attempt: AttemptRow) -> float:
        """Return seconds since 1970; the duration is right even if the clock was set."""
        start = self._started_at.pop(attempt.trial_uid, None)
        if start is not None:
            return attempt.started_at + time.monotonic() - start
        # An earlier orchestrator started it, so its last event is the best estimate of its end.
        return max(self._last_event_at.get(attempt.trial_uid, 0.0), attempt.started_at)

    def _rows(self, message: WorkerEvent) -> Sequence[Row]:
        if isinstance(message.event, messages.Started):
            return self._started(message.trial_uid, message.event)
        if isinstance(message.event, messages.Epoch):
            return self._epoch(message.trial_uid, message.event)
        return event_rows(message.trial_uid, message.event)

    def _epoch(self, uid: str, event: messages.Epoch) -> Sequence[Row]:
        """Return an epoch's row. The first report of an epoch counts, as it does in Optuna."""
        epochs = self._epochs.setdefault(uid, {})
        first = epochs.setdefault((event.attempt, event.epoch), event)
        if first is event or first.model_dump(exclude={"at"}) == event.model_dump(exclude={"at"}):
            return event_rows(uid, first)
        evidence = {
            "epoch": event.epoch,
            "first": finite_or_none(first.value),
            "then": finite_or_none(event.value),
        }
        message = (
            f"epoch {event.epoch} was reported twice with different values ({first.value}, "
            f"then {event.value}); the first one counts"
        )
        return [FindingRow(uid, event.attempt, "repeated_epoch", "warning", message, evidence)]

    def _started(self, uid: str, event: messages.Started) -> Sequence[Row]:
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


def event_rows(uid: str, event: messages.AnyEvent) -> Sequence[Row]:
    """Return the ledger rows of an event; none for an event that has no table."""
    match event:
        case messages.Step():
            return [step_row(uid, event)]
        case messages.Epoch():
            return [_epoch_row(uid, event)]
        case messages.Finding():
            finding = (event.kind, event.severity, event.message, event.evidence)
            return [FindingRow(uid, event.attempt, *finding)]
        case messages.Finished():
            splits = {"dev": event.dev_predictions, "test": event.test_predictions}
            return [PredictionRow(uid, split, list(p)) for split, p in splits.items() if p]
        case _:
            return []


def step_row(uid: str, event: messages.Step) -> StepRow:
    """Return a step's ledger row; values that are not finite are missing in it."""
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
    return {layer: norm for layer, norm in by_layer.items() if finite_or_none(norm) is not None}


def _epoch_row(uid: str, event: messages.Epoch) -> EpochRow:
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
