"""What an earlier orchestrator left behind: read on start, so that nothing is lost or doubled."""

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
    """`waiting` trials go on; the last attempt of each `interrupted` one was under way."""

    waiting: tuple[LiveTrial, ...]
    interrupted: tuple[LiveTrial, ...]


def reconcile(
    study: OptunaStudy,
    recorder: Recorder,
    ledger: StudyLedger,
    requested: Callable[[dict[str, Any]], dict[str, Any]],
    shape: Callable[[dict[str, Any]], str] = lambda _: "",
) -> UnfinishedTrials:
    """Bring study and ledger together and say which trials go on.

    `requested` are the full settings of a point, `shape` names what of them decides memory.

    The ledger is written first, so it may be ahead of the study: an end that it knows is told.
    Only asking comes before it: a trial that it has not heard of yet is entered.
    """
    rows = {row.uid: row for row in ledger.trials}
    attempts = {attempt.trial_uid: attempt for attempt in ledger.attempts}  # the last of each
    waiting: list[LiveTrial] = []
    interrupted: list[LiveTrial] = []
    for asked, trial in study.running():
        if asked is None:
            study.tell(trial.number, "failed", None)  # never made ready, so never started
        elif asked.uid not in rows:
            settings = requested(asked.params)
            recorder.record_trial(asked, settings)
            waiting.append(LiveTrial(asked.uid, asked.number, shape=shape(settings)))
        elif rows[asked.uid].status in TERMINAL:
            _tell_again(study, rows[asked.uid], ledger)
        else:
            row, attempt = rows[asked.uid], attempts.get(asked.uid)
            recorder.resume(row, attempt)
            state = _state(row, trial, attempt, shape(row.requested))
            (interrupted if state.status == "running" else waiting).append(state)
    return UnfinishedTrials(tuple(waiting), tuple(interrupted))


def _state(row: TrialRow, trial: FrozenTrial, attempt: AttemptRow | None, shape: str) -> LiveTrial:
    under_way = attempt is not None and attempt.ended_at is None
    reported = max(trial.intermediate_values, default=0)
    return LiveTrial(
        uid=row.uid,
        number=row.number,
        status="running" if under_way else "waiting",
        attempt=attempt.attempt if attempt else 0,
        failures=row.failures,
        # The last report may have been made without hearing the pruner's answer: make it again.
        last_epoch=max(0, reported - 1) if under_way else reported,
        shape=shape,
    )


def _tell_again(study: OptunaStudy, row: TrialRow, ledger: StudyLedger) -> None:
    for epoch in ledger.epochs:
        if epoch.trial_uid == row.uid and epoch.value is not None:
            study.report(row.number, epoch.epoch, epoch.value)
    study.tell(row.number, row.status, row.best_value)
