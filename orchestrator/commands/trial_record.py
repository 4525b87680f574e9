"""What is recorded of a try: enough to train it again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import gpu_uuids
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.jobs import settings_of
from trytable.orchestrator.run.subprocesses import Subprocess, start_preparation
from trytable.results.analysis import reproducibility
from trytable.results.analysis.reproducibility import Measurements, TrainingConditions
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import TERMINAL, AttemptRow
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.trainers.protocol.messages import (
    DataSource,
    FinetuneSettings,
    Job,
    Prepared,
    Settings,
)


def find_try(study: StudyResult, text: str) -> TrialResult:
    """The try that people call so: `3` is Try 3. Raises UserError that says which there are."""
    numbered = {str(one.number + 1): one for one in study.trials}
    found = numbered.get(text.lstrip("0")) if text.isascii() and text.isdigit() else None
    if found is None:
        told = f"TRY={text!r} is no try of {study.name}" if text else "Say which try, as in TRY=1"
        raise UserError(f"{told}. Allowed: {_range(study)}.")
    return found


def _range(study: StudyResult) -> str:
    count = len(study.trials)
    return f"1 to {count}" if count > 1 else ("1" if count else "none, it has no try yet")


_HASH_SHOWN = 12


@dataclass(frozen=True)
class Recorded:
    """A try as the ledger has it, with the settings in the precision that came of them."""

    study: StudyResult
    one: TrialResult
    settings: Settings
    measured: Measurements
    circumstances: TrainingConditions

    @property
    def last_attempt(self) -> AttemptRow:
        """The attempt whose threads and device count."""
        return self.one.attempts[-1]

    @property
    def was_cut_short(self) -> bool:
        """Whether the try was stopped before its last epoch, by pruner or diagnosis."""
        return self.one.status in ("pruned", "stopped")

    @property
    def data(self) -> DataSource:
        return DataSource.model_validate(self.study.sweep["data"])

    @property
    def model(self) -> str:
        return str(self.study.sweep["model"])


def read_record(folders: Folders, number: str) -> Recorded:
    """A try's record. Raises UserError where there is none, or none that this version reads."""
    study = read_study(folders.url, folders.study)
    one = find_try(study, number)
    if not one.attempts:
        raise UserError(f"{one.label} was never trained here, so there is no record of it.")
    if one.status not in TERMINAL:
        raise UserError(f"{one.label} is {one.status}. Allowed is a try that has ended.")
    return Recorded(
        study=study,
        one=one,
        settings=_settings(study, one),
        measured=reproducibility.collect_measurements(one.steps, one.curve, one.predictions),
        circumstances=reproducibility.training_conditions(
            one.attempts, one.findings, study.facts.get("pins") or {}
        ),
    )


def _settings(study: StudyResult, one: TrialResult) -> Settings:
    given: dict[str, Any] = dict(one.requested)
    if one.precision and "precision" in given:
        given["precision"] = one.precision
    try:
        return settings_of(study.sweep, given)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise UserError(
            f"{one.label} was recorded by another version of Trytable, and this one cannot use "
            f"its settings ({wrong}). Train it again with the version that made it."
        ) from error


def slot_of(record: Recorded) -> Slot:
    """A slot like the recorded one: its threads, and its device if that is still there."""
    row = record.last_attempt
    gpus = gpu_uuids() if row.device != "cpu" else []
    device = row.device if row.device in gpus else next(iter(gpus), "cpu")
    return Slot("1", device, row.threads)


def job_of(record: Recorded, folders: Folders, folder: Path, slot: Slot) -> Job:
    """The job of a repetition that keeps to a folder of its own."""
    return Job(
        study=record.study.name,
        trial_uid=str(record.one.uid),
        number=record.one.number,
        attempt=1,
        folder=str(folder),
        cache_folder=str(folders.cache),
        model=record.model,
        data=record.data,
        data_hash=record.last_attempt.data_hash,
        settings=record.settings,
        seed=seed_of(record.one),
        device=slot.device,
        threads=slot.threads,
        objective=record.study.objective,
    )


def seed_of(one: TrialResult) -> int:
    """The root of a try's random draws. Raises UserError where no record says it."""
    if one.seed is None:
        raise UserError(f"No seed was recorded for {one.label}, so it cannot be trained again.")
    return one.seed


def begin_preparing(record: Recorded, folders: Folders) -> Subprocess[Prepared] | None:
    """Start reading data and model; None for a trainer that needs neither."""
    if not isinstance(record.settings, FinetuneSettings):
        return None
    return start_preparation(record.model, record.data, record.settings.max_length, folders.cache)


def check_same(record: Recorded, found: Prepared) -> None:
    """Raise UserError where data or model are not those of the record."""
    facts, label = record.study.facts, record.one.label
    then_and_now = (
        (f"DATA={record.data.name}", record.last_attempt.data_hash, found.data_hash),
        (f"MODEL={record.model}", facts.get("model_hash"), found.model_hash),
    )
    changed = [
        f"{name} has changed since {label} was trained: its sha256 was {then[:_HASH_SHOWN]} then "
        f"and is {now[:_HASH_SHOWN]} now."
        for name, then, now in then_and_now
        if then and then != now
    ]
    if changed:
        raise UserError(" ".join([*changed, "Bring back what it was trained on, or sweep anew."]))
