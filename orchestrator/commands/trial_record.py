"""What a study has recorded of a trial: enough to train it again with the same result."""

import importlib.metadata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import gpu_uuids
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.jobs import read_settings
from trytable.orchestrator.run.subprocesses import Subprocess, start_preparation
from trytable.records import DataSource
from trytable.results.analysis import reproducibility
from trytable.results.analysis.reproducibility import Measurements, TrainingConditions
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import TERMINAL, AttemptRow
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.spelling import echo, label, setting
from trytable.trainers.protocol.messages import FinetuneSettings, Job, PreparedData, Settings

_HASH_DIGITS = 12
"""Digits of a sha256 in an error message."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the ledger has it.

    `settings` name the precision that the trial was trained in, even if it requested `auto`.
    """

    study: StudyResult
    trial: TrialResult
    settings: Settings
    measurements: Measurements
    conditions: TrainingConditions

    @property
    def last_attempt(self) -> AttemptRow:
        """The attempt that produced the result; a repetition uses its threads and device."""
        return self.trial.attempts[-1]

    @property
    def was_cut_short(self) -> bool:
        """Whether the pruner or a diagnosis stopped the trial before its last epoch."""
        return self.trial.status in ("pruned", "stopped")

    @property
    def data(self) -> DataSource:
        return DataSource(**self.study.sweep["data"])

    @property
    def model(self) -> str:
        return str(self.study.sweep["model"])

    @property
    def seed(self) -> int:
        """The root of the trial's random draws. Raises UserError if none was recorded."""
        if self.trial.seed is None:
            raise UserError(
                f"No seed was recorded for {self.trial.label}, so it cannot be trained again."
            )
        return self.trial.seed


def find_trial(study: StudyResult, number: int | None) -> TrialResult:
    """Return the trial that TRY names: 3 is Try 3. Raises UserError with the valid numbers."""
    trial = next((trial for trial in study.trials if trial.number + 1 == number), None)
    if trial is None:
        is_missing = number is None
        mistake = (
            f"{label('TRY')} is missing."
            if is_missing
            else f"{echo('TRY', number)} is not a try of {study.name}."
        )
        raise UserError(f"{mistake} {_valid_numbers(study)}")
    return trial


def _valid_numbers(study: StudyResult) -> str:
    count = len(study.trials)
    if not count:
        return f"{study.name} has no tries yet."
    example = setting("TRY", 1)
    return (
        f"Use {example}." if count == 1 else f"Use a number from 1 to {count}, such as {example}."
    )


def read_record(folders: Folders, number: int | None) -> TrialRecord:
    """Return the record of the trial that TRY names.

    Raises UserError if the trial has not ended, was not trained here, or has settings that this
    version cannot use; StudyNotFound and DatabaseUnreadable.
    """
    study = read_study(folders.url, folders.study)
    trial = find_trial(study, number)
    if not trial.attempts:
        raise UserError(f"{trial.label} was never trained here, so there is no record of it.")
    if trial.status not in TERMINAL:
        raise UserError(f"{trial.label} is {trial.status}. Use a try that has ended.")
    return TrialRecord(
        study=study,
        trial=trial,
        settings=_settings(study, trial),
        measurements=reproducibility.collect_measurements(
            trial.steps, trial.curve, trial.predictions
        ),
        conditions=reproducibility.training_conditions(
            trial.attempts, trial.findings, study.facts.get("pins") or {}
        ),
    )


def _settings(study: StudyResult, trial: TrialResult) -> Settings:
    requested: dict[str, Any] = dict(trial.requested)
    if trial.precision and "precision" in requested:
        requested["precision"] = trial.precision
    try:
        return read_settings(study.sweep, requested)
    except ValidationError as error:
        names = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors())
        raise UserError(
            f"{trial.label} was recorded by another version of Trytable, and this version cannot "
            f"use its settings ({names}). Use the version that trained it."
        ) from error


def slot_of(record: TrialRecord) -> Slot:
    """Return a slot like the recorded one: its threads, and its device if that still exists.

    Without it, the first GPU or else the CPU.
    """
    attempt = record.last_attempt
    gpus = gpu_uuids() if attempt.device != "cpu" else []
    device = attempt.device if attempt.device in gpus else next(iter(gpus), "cpu")
    return Slot("1", device, attempt.threads)


def job_of(record: TrialRecord, folders: Folders, folder: Path, slot: Slot) -> Job:
    """Return the job that repeats the trial in a folder of its own."""
    return Job(
        study=record.study.name,
        trial_uid=str(record.trial.uid),
        number=record.trial.number,
        attempt=1,
        folder=str(folder),
        cache_folder=str(folders.cache),
        model=record.model,
        data=record.data,
        data_hash=record.last_attempt.data_hash,
        settings=record.settings,
        seed=record.seed,
        device=slot.device,
        threads=slot.threads,
        objective=record.study.objective,
    )


def record_preparation(record: TrialRecord, folders: Folders) -> Subprocess[PreparedData] | None:
    """Start reading data and model in another process; None for a trainer that needs neither."""
    if not isinstance(record.settings, FinetuneSettings):
        return None
    return start_preparation(record.model, record.data, record.settings.max_length, folders.cache)


def check_unchanged(record: TrialRecord, prepared: PreparedData) -> None:
    """Raise UserError if the data or the model is not the one that the trial was trained with."""
    facts = record.study.facts
    hashes = (
        (f"DATA={record.data.name}", record.last_attempt.data_hash, prepared.data_hash),
        (f"MODEL={record.model}", facts.get("model_hash"), prepared.model_hash),
    )
    changes = [
        f"{variable} has changed since {record.trial.label} was trained: its sha256 was "
        f"{then[:_HASH_DIGITS]} then and is {now[:_HASH_DIGITS]} now."
        for variable, then, now in hashes
        if then and then != now
    ]
    if changes:
        advice = "Restore what it was trained with, or run the sweep again."
        raise UserError(" ".join([*changes, advice]))


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages, without those that are not installed."""
    versions = {}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
