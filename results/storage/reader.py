"""Reads a study from its database: Optuna's trials merged with the ledger's rows.

Optuna's tables are the truth for parameters, dev accuracies, states and values. A trial without
a ledger row (added by a person, or one whose ledger was lost) has only what Optuna stores.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trytable.records import DEFAULT_OBJECTIVE, Objective, epoch_metrics, finite_or_none
from trytable.results.storage.engine import (
    consistent_read,
    open_read_only,
    study_id_of,
    study_names,
)
from trytable.results.storage.ledger import STUDY_UID, read_ledger
from trytable.results.storage.optuna_trials import read_trials
from trytable.results.storage.rows import (
    AttemptRow,
    EpochRow,
    Status,
    StepRow,
    StudyLedger,
    TrialRow,
)
from trytable.results.storage.study import EpochResult, StudyResult, TrialResult


def list_studies(url: str) -> tuple[str, ...]:
    """Names of all studies in the database, oldest first. Raises DatabaseUnreadable."""
    with open_read_only(url) as storage:
        return study_names(storage)


def read_study(url: str, name: str) -> StudyResult:
    """Read a study, also while an orchestrator writes it.

    Raises StudyNotFound (whose message lists the existing studies) and DatabaseUnreadable.
    """
    with open_read_only(url) as storage, _garbage_collection_paused():
        study_id = study_id_of(storage, name)
        uid = storage.get_study_user_attrs(study_id).get(STUDY_UID)
        directions = storage.get_study_directions(study_id)
        with storage.engine.connect() as connection, consistent_read(connection):
            ledger = read_ledger(connection, uid)
            trials = read_trials(connection, study_id)
        stored = ledger.study.sweep.get("objective") if ledger else None
        objective = Objective(
            name=str((stored or {}).get("name", DEFAULT_OBJECTIVE.name)),
            direction="minimize" if directions[0] == StudyDirection.MINIMIZE else "maximize",
        )
        return StudyResult(
            name=name,
            uid=uid,
            objective=objective,
            sweep=ledger.study.sweep if ledger else {},
            facts=ledger.study.facts if ledger else {},
            created_at=ledger.study.created_at if ledger else None,
            trials=_Merge(ledger, objective).results(trials),
            gold={row.split: tuple(row.labels) for row in ledger.gold} if ledger else {},
        )


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause the search for cycles: with a million new records it takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Merge:
    """Merges Optuna's trials with the rows of a ledger."""

    def __init__(self, ledger: StudyLedger | None, objective: Objective) -> None:
        self._objective = objective
        self._is_accuracy = objective.name == DEFAULT_OBJECTIVE.name
        self._default_seed = ledger.study.sweep.get("seed") if ledger else None
        self._rows: dict[str | None, TrialRow] = {}
        if ledger:
            self._rows.update((row.uid, row) for row in ledger.trials)
        self._attempts = _by_trial(ledger.attempts if ledger else ())
        self._epochs = _by_trial(ledger.epochs if ledger else ())
        self._effective = _by_trial(ledger.effective if ledger else ())
        self._findings = _by_trial(ledger.findings if ledger else ())
        self._steps = _by_trial(ledger.steps if ledger else ())
        self._predictions = _by_trial(ledger.predictions if ledger else ())

    def results(self, trials: Iterable[FrozenTrial]) -> tuple[TrialResult, ...]:
        """Every trial of Optuna's with its rows."""
        return tuple(self._result(trial) for trial in trials)

    def _result(self, trial: FrozenTrial) -> TrialResult:
        uid = trial.user_attrs.get(STUDY_UID)
        row, attempts = self._rows.get(uid), self._attempts.get(uid, ())
        curve = self._curve(trial, self._epochs.get(uid, ()))
        status = _status(trial, row)
        best_epoch, best = self._best(trial, row, status, curve)
        accuracy = next((e.dev_accuracy for e in curve if e.epoch == best_epoch), None)
        return TrialResult(
            number=trial.number,
            uid=uid,
            status=status,
            reason=row.reason if row else "",
            source=row.source if row else "",
            # A trial in Optuna's queue has its parameters in an attribute only.
            params=trial.params or trial.system_attrs.get("fixed_params", {}),
            distributions=trial.distributions,
            requested=row.requested if row else {},
            effective={entry.name: entry.value for entry in self._effective.get(uid, ())},
            curve=curve,
            best_epoch=best_epoch,
            best_value=best,
            best_dev_accuracy=best if self._is_accuracy else accuracy,
            test_accuracy=finite_or_none(row.test_accuracy) if row else None,
            attempts=attempts,
            findings=self._findings.get(uid, ()),
            seconds=None if row and row.origin else _seconds(trial, attempts),
            seed=self._default_seed if row is None or row.seed is None else row.seed,
            steps=_latest_steps(self._steps.get(uid, ())),
            origin=(row.origin or {}) if row else {},
            predictions={
                entry.split: tuple(entry.labels) for entry in self._predictions.get(uid, ())
            },
        )

    def _curve(self, trial: FrozenTrial, rows: Iterable[EpochRow]) -> tuple[EpochResult, ...]:
        """Every epoch once: rows are in the order of attempts, so the last attempt's counts."""
        latest = {row.epoch: row for row in rows}
        reported = trial.intermediate_values
        return tuple(
            self._epoch(epoch, latest.get(epoch), reported.get(epoch))
            for epoch in sorted({*latest, *reported})
        )

    def _epoch(self, epoch: int, row: EpochRow | None, reported: float | None) -> EpochResult:
        value = reported
        if value is None and row is not None:
            # The ledger has an epoch a moment before Optuna has it.
            value = row.value
            if value is None and self._is_accuracy:
                value = row.dev_accuracy  # a ledger of the first version has no values
        metrics = epoch_metrics(row) if row else {}
        metrics["value"] = finite_or_none(value)
        if self._is_accuracy and metrics["value"] is not None:
            metrics["dev_accuracy"] = metrics["value"]
        return EpochResult(epoch, metrics=(row.metrics or {}) if row else {}, **metrics)

    def _best(
        self,
        trial: FrozenTrial,
        row: TrialRow | None,
        status: Status,
        curve: tuple[EpochResult, ...],
    ) -> tuple[int | None, float | None]:
        """Best epoch and its value: those of a completed trial, else the best so far."""
        points = [(e.epoch, e.value) for e in curve if e.value is not None]
        epoch, best = (
            self._objective.best(points, lambda point: point[1]) if points else (None, None)
        )
        value = _final_value(trial, row) if status == "completed" else None
        if value is None:
            return epoch, best
        if row is not None and row.best_epoch is not None:
            return row.best_epoch, value
        return (epoch if best == value else None), value


def _by_trial(rows: Iterable[Any]) -> dict[str | None, tuple[Any, ...]]:
    grouped: dict[str | None, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.trial_uid, []).append(row)
    return {uid: tuple(of_trial) for uid, of_trial in grouped.items()}


def _latest_steps(rows: Iterable[StepRow]) -> tuple[StepRow, ...]:
    """Every step once: rows are in the order of attempts, so the last attempt's counts."""
    latest = {row.step: row for row in rows}
    return tuple(latest[step] for step in sorted(latest))


def _status(trial: FrozenTrial, row: TrialRow | None) -> Status:
    stored: Status | None = row.status if row else None
    match trial.state:
        case TrialState.COMPLETE:
            return "completed"
        case TrialState.PRUNED:
            return "stopped" if stored == "stopped" else "pruned"
        case TrialState.FAIL:
            return "failed"
        case TrialState.WAITING:
            return stored or "waiting"
        case _:
            # The ledger is written before Optuna, so its status is at least as new.
            return stored or "running"


def _final_value(trial: FrozenTrial, row: TrialRow | None) -> float | None:
    if trial.values is not None:
        return finite_or_none(trial.values[0])
    return finite_or_none(row.best_value) if row else None


def _seconds(trial: FrozenTrial, attempts: tuple[AttemptRow, ...]) -> float | None:
    durations = [row.ended_at - row.started_at for row in attempts if row.ended_at is not None]
    if durations:
        return sum(durations)
    duration = trial.duration
    return duration.total_seconds() if duration is not None and not attempts else None
