"""`trytable best`: exports the best try as a model folder that transformers loads."""

import json
import platform
import shlex
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands import trial_record
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.records import DataSource
from trytable.results.report.model_card import ModelExport, model_card, predictions_csv, provenance
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.text.format import format_value
from trytable.spelling import command, label, setting
from trytable.sweeps.config.yaml_source import parse_value
from trytable.trainers.protocol.messages import ExportedModel, FinetuneSettings, Job

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "trytable")
"""Packages whose versions are written beside the model."""


def export_model(folders: Folders, number: int | None, out: Path | None, console: Console) -> None:
    """Write the best completed trial, or the one that TRY names, into the folder `out`.

    The folder is written completely or not at all. Raises UserError if it is not free, if no trial
    completed, or if the weights, the data or the model are missing or have changed.
    """
    target = output_folder(out)
    study = read_study(folders.url, folders.study)
    record = trial_record.read_record(folders, _best_number(study) if number is None else number)
    checkpoints = _find_checkpoints(folders, record)
    with ExitStack() as stack:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the rename at the end stays on one file system.
        staging = Path(tempfile.mkdtemp(prefix=".trytable-", dir=target.parent))
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        with console.status("Reading data and model"):
            _prepare(record, folders, stack)
        job = trial_record.job_of(record, folders, checkpoints.parent, trial_record.slot_of(record))
        with console.status(f"Writing {record.trial.label} and loading it again"):
            result = _write_model(job, checkpoints, staging, stack)
        export = _describe(record, study, result)
        _write_documents(export, staging / "model")
        _move(staging / "model", target)
    _print_summary(export, target, console)


def output_folder(out: Path | None) -> Path:
    """Return the folder to write. Raises UserError if there is something in its place."""
    if out is None:
        raise UserError(
            f"{label('OUT')} is missing. Use a new folder for the model, such as "
            f"{setting('OUT', 'my/folder')}."
        )
    try:
        target = out.expanduser().absolute()
        is_blocked = target.is_symlink() or (target.exists() and not target.is_dir())
        is_filled = not is_blocked and target.is_dir() and any(target.iterdir())
    except (ValueError, RuntimeError) as error:  # a NUL character, or `~name` of an unknown user
        raise UserError(f"{setting('OUT', out)} is not a valid folder name: {error}.") from error
    if is_blocked or is_filled:
        problem = "is not empty" if is_filled else "is not a folder"
        raise UserError(f"{setting('OUT', out)} {problem}. Use a new folder or an empty one.")
    return target


def _best_number(study: StudyResult) -> int:
    if not study.ranked:
        raise UserError(f"No try of {study.name} has completed, so there is no model to export.")
    return study.ranked[0].number + 1


def _find_checkpoints(folders: Folders, record: trial_record.TrialRecord) -> Path:
    """Return the folder with the trial's best weights: its own, or that of an exact rerun."""
    trial = record.trial
    if trial.status != "completed":
        raise UserError(f"{trial.label} is {trial.status}. Use a try that has completed.")
    if not isinstance(record.settings, FinetuneSettings):
        raise UserError(f"{trial.label} trained no model, so there is nothing to export.")
    reruns = [path for path in folders.reruns(trial.number) if _is_exact(path)]
    for folder in (folders.trial(trial.number), *reruns):
        if (folder / "checkpoints" / "best").is_dir():
            return folder / "checkpoints"
    raise UserError(
        f"The weights of {trial.label} are gone: only those of the best tries are kept. Use "
        f"{command('rerun', NAME=record.study.name, TRY=trial.number + 1)} to train it again. If "
        "the result is the same to the last bit, its weights are exported instead."
    )


def _is_exact(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        document = json.loads((folder / "rerun.json").read_text(encoding="utf-8"))
        return document.get("same_to_the_last_bit") is True
    return False


def _prepare(record: trial_record.TrialRecord, folders: Folders, stack: ExitStack) -> None:
    preparation = trial_record.record_preparation(record, folders)
    assert preparation is not None, "a trial without a model was refused before"
    stack.enter_context(preparation)
    trial_record.check_unchanged(record, preparation.result())


def _write_model(job: Job, checkpoints: Path, staging: Path, stack: ExitStack) -> ExportedModel:
    """Write the model in another process, load it again there, and return its predictions."""
    request = {
        "job": job.model_dump(mode="json"),
        "checkpoints": str(checkpoints),
        "out": str(staging / "model"),
    }
    # transformers copies a model's own code into its cache before it loads it: into the staging
    # folder, which is deleted.
    environment = {"HF_MODULES_CACHE": str(staging / "modules")}
    program = Subprocess(
        "export_model",
        ExportedModel,
        request,
        "The model could not be exported",
        device=job.device,
        environment=environment,
    )
    return stack.enter_context(program).result()


def _describe(
    record: trial_record.TrialRecord, study: StudyResult, result: ExportedModel
) -> ModelExport:
    return ModelExport(
        study=study,
        trial=record.trial,
        classes=tuple(study.facts["classes"]),
        predicted=result.predictions,
        recorded=record.measurements.predictions,
        gold=study.gold,
        commands=training_commands(study, record),
        versions={"python": platform.python_version(), **trial_record.installed_versions(PACKAGES)},
    )


def training_commands(study: StudyResult, record: trial_record.TrialRecord) -> dict[str, str]:
    """Return command lines that train the same model.

    `again` uses the study's record, `anew` needs nothing but the sweep file.
    """
    sweep, trial = study.sweep, record.trial
    rerun = ("make", "rerun", f"NAME={study.name}", f"TRY={trial.number + 1}")
    settings: dict[str, Any] = record.settings.model_dump(mode="json")
    settings |= {"seed": trial.seed, "objective": study.objective.name}
    defaults = asdict(DataSource())
    data = {key: value for key, value in sweep["data"].items() if key != "name"}
    settings |= {f"data.{key}": value for key, value in data.items() if value != defaults[key]}
    words = " ".join(_set_word(key, value) for key, value in settings.items())
    new_sweep = (
        *("make", "sweep", f"NAME={sweep['name']}", "AS_NEW=1", "TRIALS=1", "SLOTS=1"),
        *(f"MODEL={sweep['model']}", f"DATA={sweep['data']['name']}", f"SET={words}"),
    )
    return {"again": shlex.join(rerun), "anew": shlex.join(new_sweep)}


def _set_word(key: str, value: object) -> str:
    """Return `key=value` for SET, as JSON unless SET reads the plain text as that value."""
    is_plain = isinstance(value, str) and parse_value(value) == value
    return shlex.quote(f"{key}={value if is_plain else json.dumps(value)}")


def _write_documents(export: ModelExport, folder: Path) -> None:
    for split, labels in export.predicted.items():
        text = predictions_csv(export.classes, labels, export.gold.get(split))
        (folder / f"{split}.csv").write_text(text, encoding="utf-8")
    document = json.dumps(provenance(export), indent=1, ensure_ascii=False)
    (folder / "made_by.json").write_text(f"{document}\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(export), encoding="utf-8")


def _move(folder: Path, target: Path) -> None:
    """Move the folder to its place. Raises UserError if something was put there meanwhile."""
    try:
        folder.rename(target)  # replaces an empty folder, too
    except OSError as error:
        raise UserError(f"{setting('OUT', target)} cannot be written: {error.strerror}.") from error


def _print_summary(export: ModelExport, target: Path, console: Console) -> None:
    value = format_value(export.trial.best_value, "accuracy")
    title = f"{export.study.name}, {export.trial.label}"
    print_line(console, f"{title}: {export.study.objective_title} {value}")
    for split, equal_count in export.matching_predictions.items():
        count = len(export.predicted[split])
        share = "all" if equal_count == count else f"only {equal_count}"
        console.print(Text(f"{split}: {count} predictions, {share} as in training"))
    print_line(console, str(target))
