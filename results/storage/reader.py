"""A study as its database tells it: Optuna's trials and our ledger merged, try by try.

Optuna's tables are the truth for parameters, dev accuracies, states and values. A trial without
a ledger row (a person's own, or one whose ledger was lost) appears with what Optuna has.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trytable.records import DEFAULT_OBJECTIVE, Objective, finite_or_none
from trytable.results.storage.engine import (
    DatabaseUnreadable,
    StudyNotFound,
    consistent_read,
    open_read_only,
)
from trytable.results.storage.ledger import STUDY_UID, read_ledger
from trytable.results.storage.optuna_trials import read_trials
from trytable.results.storage.rows import (
    AttemptRow,
    EpochRow,
    FindingRow,
    Status,
    StepRow,
    StudyLedger,
    TrialRow,
)
from trytable.results.storage.study import EpochResult, StudyResult, TrialResult

__all__ = [
    "DatabaseUnreadable",
    "EpochResult",
    "StudyNotFound",
    "StudyResult",
    "TrialResult",
    "list_studies",
    "read_study",
]


def list_studies(url: str) -> tuple[str, ...]:
    """Names of all studies in the database, oldest first. Raises DatabaseUnreadable."""
    with open_read_only(url) as storage:
        return _names(storage)


def read_study(url: str, name: str) -> StudyResult:
    """Read a study while, perhaps, an orchestrator writes it.

    Raises StudyNotFound (which names those that exist) and DatabaseUnreadable.
    """
    with open_read_only(url) as storage, _collector_paused():
        study_id = _study_id(storage, name)
        uid = storage.get_study_user_attrs(study_id).get(STUDY_UID)
        directions = storage.get_study_directions(study_id)
        with storage.engine.connect() as connection, consistent_read(connection):
            ledger = _read_ledger(connection, uid)
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
            trials=_tries(trials, ledger, objective),
            gold={row.split: tuple(row.labels) for row in ledger.gold} if ledger else {},
        )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without looks for cycles: among a million new records, all kept, they take a third."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _names(storage: RDBStorage) -> tuple[str, ...]:
    studies = sorted(storage.get_all_studies(), key=lambda study: study._study_id)
    return tuple(study.study_name for study in studies)


def _study_id(storage: RDBStorage, name: str) -> int:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        raise StudyNotFound(name, _names(storage)) from None


def _read_ledger(connection: sa.Connection, uid: str | None) -> StudyLedger | None:
    try:
        return None if uid is None else read_ledger(connection, uid)
    except KeyError:
        return None


def _tries(
    trials: Iterable[FrozenTrial], ledger: StudyLedger | None, objective: Objective
) -> tuple[TrialResult, ...]:
    rows: dict[str | None, TrialRow] = {row.uid: row for row in ledger.trials} if ledger else {}
    default_seed = ledger.study.sweep.get("seed") if ledger else None
    attempts = _by_trial(ledger.attempts if ledger else ())
    epochs = _by_trial(ledger.epochs if ledger else ())
    effective = _by_trial(ledger.effective if ledger else ())
    findings = _by_trial(ledger.findings if ledger else ())
    steps = _by_trial(ledger.steps if ledger else ())
    predictions = _by_trial(ledger.predictions if ledger else ())
    found = []
    for trial in trials:
        uid = trial.user_attrs.get(STUDY_UID)
        tried = attempts.get(uid, ())
        read_back = {row.name: row.value for row in effective.get(uid, ())}
        curve = _curve(trial, epochs.get(uid, ()), objective.name)
        made = _Merged(trial, rows.get(uid), curve, objective)
        one = made.result(tried, findings.get(uid, ()), read_back)
        said = {row.split: tuple(row.labels) for row in predictions.get(uid, ())}
        row = rows.get(uid)
        own = row.seed if row else None
        found.append(
            replace(
                one,
                seed=default_seed if own is None else own,
                steps=_each_once(steps.get(uid, ())),
                predictions=said,
            )
        )
    return tuple(found)


def _by_trial(rows: Iterable[Any]) -> dict[str | None, tuple[Any, ...]]:
    grouped: dict[str | None, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.trial_uid, []).append(row)
    return {uid: tuple(found) for uid, found in grouped.items()}


def _each_once(rows: Iterable[StepRow]) -> tuple[StepRow, ...]:
    """Every step once, in order: rows come by attempt, so the last attempt's stands."""
    latest = {row.step: row for row in rows}
    return tuple(latest[step] for step in sorted(latest))


def _curve(trial: FrozenTrial, rows: Iterable[EpochRow], objective: str) -> tuple[EpochResult, ...]:
    """Every epoch once: rows come by attempt, so the last attempt's stands."""
    latest = {row.epoch: row for row in rows}
    reported = trial.intermediate_values
    return tuple(
        _epoch(epoch, latest.get(epoch), reported.get(epoch), objective)
        for epoch in sorted({*latest, *reported})
    )


def _epoch(epoch: int, row: EpochRow | None, reported: float | None, objective: str) -> EpochResult:
    known = row.value if row else None
    if known is None and row is not None and objective == DEFAULT_OBJECTIVE.name:
        known = row.dev_accuracy  # a ledger of the first version has no values
    # An epoch stands in the ledger a moment before it stands in Optuna.
    value = finite_or_none(known if reported is None else reported)
    accuracy = value if objective == DEFAULT_OBJECTIVE.name else None
    if row is None:
        return EpochResult(epoch, value=value, dev_accuracy=accuracy)
    return EpochResult(
        epoch=epoch,
        value=value,
        dev_accuracy=row.dev_accuracy if accuracy is None else accuracy,
        dev_loss=row.dev_loss,
        dev_macro_f1=row.dev_macro_f1,
        train_loss=row.train_loss,
        running_accuracy=row.running_accuracy,
        probe_accuracy=row.probe_accuracy,
        seconds=row.seconds,
        metrics=row.metrics or {},
    )


@dataclass(frozen=True)
class _Merged:
    """One trial of Optuna's beside its ledger row."""

    trial: FrozenTrial
    row: TrialRow | None
    curve: tuple[EpochResult, ...]
    objective: Objective

    def result(
        self,
        attempts: tuple[AttemptRow, ...],
        findings: tuple[FindingRow, ...],
        effective: Mapping[str, Any],
    ) -> TrialResult:
        trial, row, status = self.trial, self.row, self._status()
        value = self._value() if status == "completed" else None
        best_epoch, best = self._best(value)
        return TrialResult(
            number=trial.number,
            uid=trial.user_attrs.get(STUDY_UID),
            status=status,
            reason=row.reason if row else "",
            source=row.source if row else "",
            # A trial that waits in Optuna's queue has its parameters as attributes only.
            params=trial.params or trial.system_attrs.get("fixed_params", {}),
            distributions=trial.distributions,
            requested=row.requested if row else {},
            effective=effective,
            curve=self.curve,
            best_epoch=best_epoch,
            best_value=best,
            best_dev_accuracy=best
            if self.objective.name == DEFAULT_OBJECTIVE.name
            else self._at(best_epoch),
            test_accuracy=finite_or_none(row.test_accuracy) if row else None,
            attempts=attempts,
            findings=findings,
            seconds=_seconds(trial, attempts) if not (row and row.origin) else None,
            origin=(row.origin or {}) if row else {},
        )

    def _status(self) -> Status:
        written: Status | None = self.row.status if self.row else None
        match self.trial.state:
            case TrialState.COMPLETE:
                return "completed"
            case TrialState.PRUNED:
                return "stopped" if written == "stopped" else "pruned"
            case TrialState.FAIL:
                return "failed"
            case TrialState.WAITING:
                return written or "waiting"
            case _:
                # The ledger is written before Optuna, so its word is at least as new.
                return written or "running"

    def _value(self) -> float | None:
        values = self.trial.values
        if values is not None:
            return finite_or_none(values[0])
        return finite_or_none(self.row.best_value) if self.row else None

    def _at(self, epoch: int | None) -> float | None:
        return next((e.dev_accuracy for e in self.curve if e.epoch == epoch), None)

    def _best(self, value: float | None) -> tuple[int | None, float | None]:
        """Best epoch and its value: a completed trial's, else the best so far."""
        known = [(e.epoch, e.value) for e in self.curve if e.value is not None]
        best_point = self.objective.best(known, lambda point: point[1]) if known else (None, None)
        epoch, best = best_point
        if value is None:
            return epoch, best
        if self.row is not None and self.row.best_epoch is not None:
            return self.row.best_epoch, value
        return (epoch if best == value else None), value


def _seconds(trial: FrozenTrial, attempts: tuple[AttemptRow, ...]) -> float | None:
    ended = [row.ended_at - row.started_at for row in attempts if row.ended_at is not None]
    if ended:
        return sum(ended)
    duration = trial.duration
    return duration.total_seconds() if duration is not None and not attempts else None
