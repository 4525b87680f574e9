"""Builds real studies, with Optuna and the ledger, as the orchestrator would leave them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.types import Confirmation
from trytable.results.frames.frames import StudyFrames
from trytable.results.plots.all import study_plots
from trytable.results.report.content import ReportContent
from trytable.results.storage.engine import engine_arguments, optuna_url
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import (
    AttemptRow,
    EffectiveRow,
    EpochRow,
    FindingRow,
    GoldRow,
    PredictionRow,
    Row,
    Status,
    StudyRow,
    TrialRow,
)
from trytable.results.storage.study import StudyResult
from trytable.results.tables.pairs import pairs_table
from trytable.results.tables.trials import try_table
from trytable.results.tables.types import Column, TableRow, TryTable
from trytable.results.text.catalog import ENGLISH, Words

_STATES: dict[str, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_BEGAN = 1_760_000_000.0


@dataclass(frozen=True)
class Planned:
    """A trial to be built: its dev and train accuracies epoch by epoch, and how it ends."""

    params: dict[str, Any]
    dev: tuple[float, ...] = ()
    train: tuple[float | None, ...] = ()
    status: Status = "completed"
    reason: str = ""
    source: str = "sampler"
    test: float | None = None
    seconds: float | None = 10.0
    attempts: int = 1
    findings: tuple[tuple[str, str, str], ...] = ()
    requested: dict[str, Any] = field(default_factory=dict)
    predicted: tuple[int, ...] = ()


def report_content(
    study: StudyResult,
    words: Words = ENGLISH,
    confirmation: Confirmation | None = None,
    *,
    all_tests: bool = False,
) -> ReportContent:
    """Analyze a study and return all that its report shows."""
    analysis = analyze(study, words.language, confirmation)
    frames = StudyFrames(study, analysis, all_tests, words.language)
    return ReportContent(
        study,
        analysis,
        try_table(frames, words),
        pairs_table(frames, words),
        study_plots(study, analysis, words),
        words,
    )


def table_of(columns: Sequence[Column], rows: Sequence[TableRow]) -> TryTable:
    """A table of these rows, without a study."""
    facts = ("status", "reason", "attempts", "is_baseline", "severity")
    numbers = [row.number for row in rows]
    tries = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in facts}, numbers)
    cells = pd.DataFrame(
        {
            column.key: pd.array([row.cells[index] for row in rows], dtype=object)
            for index, column in enumerate(columns)
        },
        numbers,
    )
    return TryTable("s", tuple(columns), cells, tries.rename(columns={"status": "state"}))


def url_of(path: Path) -> str:
    """SQLAlchemy's URL of an SQLite file, whatever its path holds."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Maker:
    """Builds one study in a database file, or in the database of a URL."""

    def __init__(
        self,
        where: Path | str,
        name: str = "dropout",
        sweep: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        space: Mapping[str, BaseDistribution] | None = None,
        *,
        gold: tuple[int, ...] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url = where if isinstance(where, str) else url_of(where)
        self.name, self.uid = name, f"study-{name}"
        self.space = space or {}
        self.storage = optuna.storages.RDBStorage(
            optuna_url(self.url), engine_kwargs=engine_arguments(self.url)
        )
        self.study = optuna.create_study(
            storage=self.storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self.study.set_user_attr(STUDY_UID, self.uid)
        self.ledger = Ledger(self.url)
        self.ledger.create_tables()
        self.ledger.write(StudyRow(self.uid, name, sweep or {}, facts or {}, _BEGAN))
        if gold:
            self.ledger.write(GoldRow(self.uid, "dev", list(gold)))

    def add(self, *planned: Planned) -> None:
        """Build trials, ledger first."""
        for one in planned:
            self._add(one)

    def add_foreign(self, params: dict[str, Any], dev: tuple[float, ...]) -> None:
        """A trial of a person's own: Optuna knows it, the ledger does not."""
        trial = self._ask(params)
        for epoch, accuracy in enumerate(dev, start=1):
            trial.report(accuracy, epoch)
        self.study.tell(trial, max(dev))

    def _ask(self, params: dict[str, Any]) -> optuna.Trial:
        space = {name: self.space.get(name) or _range(value) for name, value in params.items()}
        self.study.enqueue_trial(params)
        return self.study.ask(space)

    def _add(self, one: Planned) -> None:
        trial = self._ask(one.params)
        uid = f"{self.uid}-{trial.number}"
        trial.set_user_attr(STUDY_UID, uid)
        self.ledger.write(*_rows(one, uid, self.uid, trial.number))
        for epoch, accuracy in enumerate(one.dev, start=1):
            trial.report(accuracy, epoch)
        state = _STATES.get(one.status)
        if state is not None:
            value = max(one.dev) if state == TrialState.COMPLETE else None
            self.study.tell(trial, value, state=state)


def _range(value: object) -> BaseDistribution:
    if isinstance(value, int) and not isinstance(value, bool):
        return IntDistribution(-(10**9), 10**9)
    if isinstance(value, float):
        return FloatDistribution(-1e9, 1e9)
    raise TypeError(f"say in `space` which values there are beside {value!r}")


def _rows(one: Planned, uid: str, study_uid: str, number: int) -> list[Row]:
    completed = one.status == "completed" and bool(one.dev)
    trial = TrialRow(
        uid=uid,
        study_uid=study_uid,
        number=number,
        requested={"schedule": "linear", **one.requested, **one.params},
        source=one.source,
        status=one.status,
        reason=one.reason,
        best_epoch=one.dev.index(max(one.dev)) + 1 if completed else None,
        best_dev_accuracy=max(one.dev) if completed else None,
        test_accuracy=one.test,
    )
    attempts = [_attempt(one, uid, attempt) for attempt in range(1, one.attempts + 1)]
    findings = [
        FindingRow(uid, one.attempts, kind, severity, message, {})
        for kind, severity, message in one.findings
    ]
    effective = [EffectiveRow(uid, one.attempts, *item) for item in one.params.items()]
    made = [PredictionRow(uid, "dev", list(one.predicted))] if one.predicted else []
    return [trial, *attempts, *_epochs(one, uid), *findings, *effective, *made]


def _attempt(one: Planned, uid: str, attempt: int) -> AttemptRow:
    last = attempt == one.attempts
    begin = _BEGAN + 100 * attempt
    return AttemptRow(
        trial_uid=uid,
        attempt=attempt,
        slot="cpu:0",
        device="cpu",
        threads=1,
        started_at=begin,
        ended_at=None if one.seconds is None else begin + one.seconds / one.attempts,
        outcome=one.status if last else "retried",
        message=one.reason if last else "the worker was killed by signal 9",
        precision="fp32",
        parameters=22_700_000,
        trainable_parameters=11_350_000,
        data_hash="d" * 64,
        code_hash="c" * 64,
    )


def _epochs(one: Planned, uid: str) -> list[EpochRow]:
    train = (*one.train, *(None for _ in range(len(one.dev) - len(one.train))))
    return [
        EpochRow(
            trial_uid=uid,
            attempt=one.attempts,
            epoch=epoch,
            step=epoch * 25,
            train_loss=1.6 / epoch,
            running_accuracy=accuracy,
            probe_accuracy=probe,
            dev_loss=1.5 / epoch,
            dev_accuracy=accuracy,
            dev_macro_f1=accuracy,
            seconds=2.5,
        )
        for epoch, (accuracy, probe) in enumerate(zip(one.dev, train, strict=True), start=1)
    ]


def curve(peak: float, epochs: int, best: int) -> tuple[float, ...]:
    """Dev accuracies that rise to the peak at epoch `best`, then sink a little."""
    rising = (peak - 0.35 * math.exp(-0.9 * epoch) for epoch in range(1, best))
    sinking = (peak - 0.012 * late for late in range(1, epochs - best + 1))
    return tuple(round(value, 4) for value in (*rising, peak, *sinking))
