"""`trytable best`: hands the best try over as a folder that transformers loads."""

import importlib.metadata
import json
import platform
import shlex
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands.trial_record import (
    Recorded,
    begin_preparing,
    check_same,
    job_of,
    read_record,
    slot_of,
)
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.results.report.model_card import HandOver, made_by, model_card, predictions_csv
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.text.format import format_value
from trytable.sweeps.config.yaml_source import parse_value
from trytable.trainers.protocol.messages import DataSource, ExportedModel, FinetuneSettings, Job

VERSIONS = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "trytable")


def best(folders: Folders, number: str, out: str, console: Console) -> None:
    """Write the best completed try, or the one named, into a folder of its own.

    The folder comes whole or not at all. Raises UserError where it is not free, where no try
    completed, and where the weights, the data or the model have gone or changed.
    """
    target = free_folder(out)
    study = read_study(folders.url, folders.study)
    record = read_record(folders, number or _winner(study))
    checkpoints = _checkpoints(folders, record)
    with ExitStack() as stack:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".trytable-", dir=target.parent))
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        with console.status("Reading data and model"):
            _prepare(record, folders, stack)
        job = job_of(record, folders, checkpoints.parent, slot_of(record))
        with console.status(f"Writing {record.one.label} and loading it again"):
            made = _ask(job, checkpoints, staging, stack)
        handed = _handed(record, study, made)
        _write(handed, staging / "model")
        _move(staging / "model", target)
    _report(handed, target, console)


def free_folder(out: str) -> Path:
    """The folder to write. Raises UserError where there is something in its place."""
    if not out:
        raise UserError("Say where the model is to go, as in OUT=my/folder.")
    try:
        target = Path(out).expanduser().absolute()
        taken = target.is_symlink() or (target.exists() and not target.is_dir())
        filled = not taken and target.is_dir() and any(target.iterdir())
    except (ValueError, RuntimeError) as error:  # a NUL in it, or `~name` of nobody
        raise UserError(f"OUT={out!r} is no folder's name: {error}.") from error
    if taken or filled:
        what = "holds something already" if filled else "is no folder"
        raise UserError(f"OUT={out} {what}. Allowed: a new folder, or an empty one.")
    return target


def _winner(study: StudyResult) -> str:
    if not study.ranked:
        raise UserError(f"No try of {study.name} has completed, so there is none to hand over.")
    return str(study.ranked[0].number + 1)


def _checkpoints(folders: Folders, record: Recorded) -> Path:
    """Where the try's best weights lie: in its own folder, or in that of an exact repetition."""
    one = record.one
    if one.status != "completed":
        raise UserError(f"{one.label} is {one.status}. Allowed is a try that has completed.")
    if not isinstance(record.settings, FinetuneSettings):
        raise UserError(f"{one.label} trained no model, so there is nothing to hand over.")
    repeated = [path for path in folders.reruns(one.number) if _is_exact(path)]
    for folder in (folders.trial(one.number), *repeated):
        if (folder / "checkpoints" / "best").is_dir():
            return folder / "checkpoints"
    raise UserError(
        f"The weights of {one.label} are gone: those of the best tries only are kept. Train it "
        f"again with make rerun NAME={record.study.name} TRY={one.number + 1}; what comes out the "
        "same to the last bit is handed over in its place."
    )


def _is_exact(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads((folder / "rerun.json").read_text(encoding="utf-8"))
        return found.get("same_to_the_last_bit") is True
    return False


def _prepare(record: Recorded, folders: Folders, stack: ExitStack) -> None:
    preparation = begin_preparing(record, folders)
    assert preparation is not None, "only a try with a model comes so far"
    stack.enter_context(preparation)
    check_same(record, preparation.result())


def _ask(job: Job, checkpoints: Path, staging: Path, stack: ExitStack) -> ExportedModel:
    request = {
        "job": job.model_dump(mode="json"),
        "checkpoints": str(checkpoints),
        "out": str(staging / "model"),
    }
    # transformers copies the file that it loads along with the model: into this folder then.
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


def _handed(record: Recorded, study: StudyResult, made: ExportedModel) -> HandOver:
    return HandOver(
        study=study,
        one=record.one,
        classes=tuple(study.facts["classes"]),
        predicted=made.predictions,
        recorded=record.measured.predictions,
        gold=study.gold,
        commands=commands(study, record),
        versions={"python": platform.python_version(), **_versions()},
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):  # a checkout that is not installed
            found[name] = importlib.metadata.version(name)
    return found


def commands(study: StudyResult, record: Recorded) -> dict[str, str]:
    """Command lines that train the same: `again` from the study's record, `anew` without it."""
    sweep, one = study.sweep, record.one
    again = ("make", "rerun", f"NAME={study.name}", f"TRY={one.number + 1}")
    given: dict[str, Any] = record.settings.model_dump(mode="json")
    given |= {"seed": one.seed, "objective": study.objective.name}
    usual = DataSource().model_dump()
    parts = {f"data.{key}": value for key, value in sweep["data"].items() if key != "name"}
    given |= {key: value for key, value in parts.items() if value != usual[key.partition(".")[2]]}
    settings = " ".join(_word(key, value) for key, value in given.items())
    anew = (
        *("make", "sweep", f"NAME={sweep['name']}", "AS_NEW=1", "TRIALS=1", "SLOTS=1"),
        *(f"MODEL={sweep['model']}", f"DATA={sweep['data']['name']}", f"SET={settings}"),
    )
    return {"again": shlex.join(again), "anew": shlex.join(anew)}


def _word(key: str, value: object) -> str:
    """`key=value` as SET takes it, quoted where its reading would make something else of it."""
    is_plain = isinstance(value, str) and parse_value(value) == value
    return shlex.quote(f"{key}={value if is_plain else json.dumps(value)}")


def _write(handed: HandOver, folder: Path) -> None:
    for split, labels in handed.predicted.items():
        text = predictions_csv(handed.classes, labels, handed.gold.get(split))
        (folder / f"{split}.csv").write_text(text, encoding="utf-8")
    document = json.dumps(made_by(handed), indent=1, ensure_ascii=False)
    (folder / "made_by.json").write_text(f"{document}\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(handed), encoding="utf-8")


def _move(folder: Path, target: Path) -> None:
    """Put the folder in its place; refuse where something has come there meanwhile."""
    try:
        folder.rename(target)  # onto an empty folder, too
    except OSError as error:
        raise UserError(f"OUT={target} cannot be written: {error.strerror}.") from error


def _report(handed: HandOver, target: Path, console: Console) -> None:
    value = format_value(handed.one.best_value, "accuracy")
    told = f"{handed.study.name}, {handed.one.label}"
    console.print(Text(f"{told}: {handed.study.objective_title} {value}"), soft_wrap=True)
    for split, same in handed.as_recorded.items():
        count = len(handed.predicted[split])
        found = "all" if same == count else f"only {same}"
        console.print(Text(f"{split}: {count} predictions, {found} as in training"))
    console.print(Text(str(target)), soft_wrap=True)
