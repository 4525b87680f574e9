"""Takes over the trials that an earlier orchestrator left unfinished; nothing is lost or doubled.

Only the trials that Optuna holds as RUNNING are looked at, and that is enough, because of the
order of writes: Optuna creates a trial before the ledger knows it, and every later change is
written to the ledger first and to Optuna last. So the ledger is complete for every trial that
has ended in Optuna, and a trial that is still RUNNING there lacks at most what the ledger has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.study import OptunaStudy
from trytable.results.storage.rows import TERMINAL, AttemptRow, StudyLedger, TrialRow


@dataclass(frozen=True)
class UnfinishedTrials:
    """The trials to go on with.

    `waiting` trials have no worker; the last attempt of an `interrupted` one never ended.
    """

    waiting: tuple[LiveTrial, ...]
    interrupted: tuple[LiveTrial, ...]


def reconcile(
    study: OptunaStudy,
    recorder: Recorder,
    ledger: StudyLedger,
    full_settings: Callable[[dict[str, Any]], dict[str, Any]],
    memory_shape: Callable[[dict[str, Any]], str] = lambda _: "",
) -> UnfinishedTrials:
    """Bring ledger and study to the same state and return the trials to go on with.

    A trial that the ledger lacks is added to it. An end that only the ledger has is told to the
    study.

    Args:
        study: the study in Optuna.
        recorder: writes the ledger; it gets the rows of the unfinished trials.
        ledger: the study's rows.
        full_settings: returns the full settings of a point.
        memory_shape: names the settings that decide a trial's memory.
    """
    rows = {row.uid: row for row in ledger.trials}
    last_attempts = {attempt.trial_uid: attempt for attempt in ledger.attempts}
    waiting: list[LiveTrial] = []
    interrupted: list[LiveTrial] = []
    for asked_trial, trial in study.running():
        if asked_trial is None:
            study.tell(trial.number, "failed", None)  # it lacks parameters, so it never started
        elif asked_trial.uid not in rows:
            settings = full_settings(asked_trial.params)
            recorder.record_trial(asked_trial, settings)
            shape = memory_shape(settings)
            waiting.append(LiveTrial(asked_trial.uid, asked_trial.number, shape=shape))
        elif rows[asked_trial.uid].status in TERMINAL:
            _tell_again(study, rows[asked_trial.uid], ledger)
        else:
            row, attempt = rows[asked_trial.uid], last_attempts.get(asked_trial.uid)
            recorder.resume(row, attempt)
            live_trial = _live_trial(row, trial, attempt, memory_shape(row.requested))
            (interrupted if live_trial.status == "running" else waiting).append(live_trial)
    return UnfinishedTrials(tuple(waiting), tuple(interrupted))


def _live_trial(
    row: TrialRow, trial: FrozenTrial, attempt: AttemptRow | None, shape: str
) -> LiveTrial:
    unfinished = attempt is not None and attempt.ended_at is None
    reported = max(trial.intermediate_values, default=0)
    return LiveTrial(
        uid=row.uid,
        number=row.number,
        status="running" if unfinished else "waiting",
        attempt=attempt.attempt if attempt else 0,
        failures=row.failures,
        # The orchestrator may have exited between a report and the pruner's answer: report again.
        last_epoch=max(0, reported - 1) if unfinished else reported,
        shape=shape,
    )


def _tell_again(study: OptunaStudy, row: TrialRow, ledger: StudyLedger) -> None:
    for epoch in ledger.epochs:
        if epoch.trial_uid == row.uid and epoch.value is not None:
            study.report(row.number, epoch.epoch, epoch.value)
    study.tell(row.number, row.status, row.best_value)
