"""A report of 2,000 trials of 50 epochs: from the study database to the page, pictures and tables.

The database is a real one, Optuna's tables and the ledger's, only written in bulk: through Optuna
that would take half an hour.
"""

import io
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import FloatDistribution, distribution_to_json
from rich.console import Console

from benchmarks.measure import Result, seconds, spread
from trytable.orchestrator.commands.look.report_files import write_report_files
from trytable.orchestrator.paths import Folders
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import (
    AttemptRow,
    EffectiveRow,
    EpochRow,
    FindingRow,
    GoldRow,
    PredictionRow,
    Row,
    StepRow,
    StudyRow,
    TrialRow,
)
from trytable.results.text.catalog import ENGLISH

REPEATS = 3
TRIALS, EPOCHS, STEPS_LOGGED, DEV = 2000, 50, 4, 1000
"""Steps logged are those of an epoch; DEV is the number of dev examples."""
AIM_SECONDS, AIM_BYTES = 10.0, 15_000_000
_NAME, _UID, _BEGAN = "big", "study-big", 1_760_000_000.0
_SPACE = {
    "lr": FloatDistribution(1e-5, 1e-2, log=True),
    "dropout": FloatDistribution(0.0, 0.8),
    "weight_decay": FloatDistribution(0.0, 0.3),
}
_SLOTS = 4
_PRUNED, _RETRIED = 9, 7
"""Of ten and of fifty trials the one that is pruned and the one that is tried twice."""


def run(folder: Path) -> Result:
    """Write the database once, then the report several times."""
    folders = Folders(folder, _NAME)
    build(folders, TRIALS, EPOCHS)
    costs = [seconds(lambda: write_all(folders)) for _ in range(REPEATS)]
    size = (folders.home / "report.html").stat().st_size
    figures = (
        f"{spread(costs)} for {TRIALS} trials of {EPOCHS} epochs, {STEPS_LOGGED} steps logged an "
        f"epoch; report.html {size / 1e6:.1f} MB"
    )
    is_reached = sorted(costs)[len(costs) // 2] < AIM_SECONDS and size < AIM_BYTES
    aim = f"under {AIM_SECONDS:.0f} s and {AIM_BYTES / 1e6:.0f} MB"
    return Result("report", figures, aim, is_reached)


def write_all(folders: Folders) -> None:
    """What `make report` does after its imports."""
    write_report_files(folders, Console(file=io.StringIO()), ENGLISH, all_tests=False)


def build(folders: Folders, trials: int, epochs: int) -> None:
    """Write a study of that many trials."""
    folders.database.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(folders.url)
    study = optuna.create_study(storage=storage, study_name=_NAME, direction="maximize")
    study.set_user_attr(STUDY_UID, _UID)
    random_trials = [_RandomTrial(number, epochs) for number in range(trials)]
    _write_optuna(storage.engine, study._study_id, random_trials)
    storage.remove_session()
    storage.engine.dispose()
    ledger = Ledger(folders.url)
    ledger.create_tables()
    facts = {"sizes": {"train": 8000, "dev": DEV}, "classes": ["a", "b", "c", "d"]}
    sweep = {"parameters": {name: {"low": s.low, "high": s.high} for name, s in _SPACE.items()}}
    gold = [number % 4 for number in range(DEV)]
    ledger.write(StudyRow(_UID, _NAME, sweep, facts, _BEGAN), GoldRow(_UID, "dev", gold))
    for trial in random_trials:
        trial.gold = gold
    for first in range(0, trials, 100):
        ledger.write(*(row for trial in random_trials[first : first + 100] for row in trial.rows()))


class _RandomTrial:
    """A trial: nine of ten complete, the others are pruned; one of fifty was tried twice."""

    def __init__(self, number: int, epochs: int) -> None:
        self.number, self.uid = number, f"{_UID}-{number}"
        self.random = random.Random(number)  # noqa: S311  nothing secret is drawn
        self.pruned = number % 10 == _PRUNED
        self.epochs = epochs // 2 if self.pruned else epochs
        self.requested_epochs = epochs
        lr = 10 ** self.random.uniform(-5, -2)
        self.params = {
            "lr": lr,
            "dropout": self.random.uniform(0, 0.8),
            "weight_decay": self.random.uniform(0, 0.3),
        }
        peak = 0.8 - 0.05 * (math.log10(lr) + 3.5) ** 2 - 0.05 * self.params["dropout"]
        self.dev = [
            round(peak - 0.4 * math.exp(-epoch / 8) + self.random.gauss(0, 0.01), 4)
            for epoch in range(1, self.epochs + 1)
        ]
        self.attempts = 2 if number % 50 == _RETRIED else 1
        self.began = _BEGAN + 100 * (number // _SLOTS)
        self.gold: list[int] = []

    def rows(self) -> Iterator[Row]:
        """All rows of the ledger."""
        best = max(self.dev)
        status: Any = "pruned" if self.pruned else "completed"
        requested = {
            "epochs": self.requested_epochs,
            "schedule": "linear",
            "batch_size": 32,
            **self.params,
        }
        yield TrialRow(
            uid=self.uid,
            study_uid=_UID,
            number=self.number,
            requested=requested,
            source="sampler" if self.number else "baseline",
            status=status,
            reason="pruned at the median" if self.pruned else "",
            best_epoch=self.dev.index(best) + 1,
            best_value=best,
            best_dev_accuracy=best,
            test_accuracy=None,
        )
        yield from (self._attempt(attempt, status) for attempt in range(1, self.attempts + 1))
        yield from (EffectiveRow(self.uid, 1, *item) for item in requested.items())
        yield from (self._epoch(epoch) for epoch in range(1, self.epochs + 1))
        yield from (self._step(n) for n in range(1, self.epochs * STEPS_LOGGED + 1))
        if self.number % 4 == 0:
            yield FindingRow(self.uid, 1, "oom_retry", "warning", "ran out of memory once", {})
        if not self.pruned:
            yield PredictionRow(self.uid, "dev", self._predictions(best))

    def _predictions(self, accuracy: float) -> list[int]:
        right = round(accuracy * DEV)
        return [label if n < right else (label + 1) % 4 for n, label in enumerate(self.gold)]

    def _attempt(self, attempt: int, status: str) -> AttemptRow:
        last = attempt == self.attempts
        began = self.began + 40 * (attempt - 1)
        return AttemptRow(
            trial_uid=self.uid,
            attempt=attempt,
            slot=f"cpu:{self.number % _SLOTS}",
            device="cpu",
            threads=1,
            started_at=began,
            ended_at=began + (90 if self.attempts == 1 else 38),
            outcome=status if last else "retried",
            message="" if last else "the worker was killed by signal 9",
            precision="fp32",
            parameters=22_700_000,
            trainable_parameters=22_700_000,
            steps_total=self.requested_epochs * STEPS_LOGGED * 10,
        )

    def _epoch(self, epoch: int) -> EpochRow:
        accuracy = self.dev[epoch - 1]
        return EpochRow(
            trial_uid=self.uid,
            attempt=self.attempts,
            epoch=epoch,
            step=epoch * STEPS_LOGGED * 10,
            train_loss=1.4 / (1 + epoch / 10),
            running_accuracy=accuracy,
            probe_accuracy=min(1.0, accuracy + epoch / 500),
            dev_loss=1.5 - accuracy,
            dev_accuracy=accuracy,
            dev_macro_f1=accuracy,
            seconds=1.8,
            value=accuracy,
        )

    def _step(self, logged: int) -> StepRow:
        total = self.requested_epochs * STEPS_LOGGED
        return StepRow(
            trial_uid=self.uid,
            attempt=self.attempts,
            step=logged * 10,
            epoch=(logged - 1) // STEPS_LOGGED + 1,
            loss=1.4 * math.exp(-logged / total) + self.random.gauss(0, 0.05),
            lr=self.params["lr"] * (1 - (logged - 1) / total),
            gradient_norm=1.0,
            weight_norm=100.0,
        )


def _write_optuna(engine: sa.Engine, study_id: int, random_trials: list[_RandomTrial]) -> None:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    rows = {
        "trials": [_optuna_trial(trial, study_id) for trial in random_trials],
        "trial_params": [
            {
                "trial_id": trial.number + 1,
                "param_name": name,
                "param_value": value,
                "distribution_json": distribution_to_json(_SPACE[name]),
            }
            for trial in random_trials
            for name, value in trial.params.items()
        ],
        "trial_values": [
            {
                "trial_id": trial.number + 1,
                "objective": 0,
                "value": max(trial.dev),
                "value_type": "FINITE",
            }
            for trial in random_trials
            if not trial.pruned
        ],
        "trial_intermediate_values": [
            {
                "trial_id": trial.number + 1,
                "step": epoch,
                "intermediate_value": value,
                "intermediate_value_type": "FINITE",
            }
            for trial in random_trials
            for epoch, value in enumerate(trial.dev, start=1)
        ],
        "trial_user_attributes": [
            {"trial_id": trial.number + 1, "key": STUDY_UID, "value_json": f'"{trial.uid}"'}
            for trial in random_trials
        ],
    }
    with engine.begin() as connection:
        for table, batch in rows.items():
            connection.execute(sa.insert(metadata.tables[table]), batch)


def _optuna_trial(trial: _RandomTrial, study_id: int) -> dict[str, Any]:
    began = datetime.fromtimestamp(trial.began, UTC).replace(tzinfo=None)
    return {
        "trial_id": trial.number + 1,
        "number": trial.number,
        "study_id": study_id,
        "state": "PRUNED" if trial.pruned else "COMPLETE",
        "datetime_start": began,
        "datetime_complete": began + timedelta(seconds=90),
    }
