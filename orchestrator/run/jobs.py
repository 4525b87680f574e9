"""Builds what workers receive: the settings of a sweep and a trial, and the job of a baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.engine import WorkerSettings
from trytable.orchestrator.backends.local_kind import start_local as start_local_workers
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.records import LaunchSettings
from trytable.sweeps.config.schema import Sweep
from trytable.sweeps.config.script import literal
from trytable.trainers.protocol.messages import (
    TRAINERS,
    FinetuneSettings,
    Job,
    ScriptCheck,
    ScriptSettings,
    Settings,
    SimulatedSettings,
)


def settings_of(sweep: Sweep, requested: Mapping[str, Any]) -> Settings:
    """A trial's settings in the trainer's form; a script's folder becomes absolute.

    The values are not validated again: they were when the sweep was read, and the worker
    validates its whole job.
    """
    if sweep.script is not None:
        return ScriptSettings(launch=_from_here(sweep.script), values=dict(requested))
    settings = TRAINERS[sweep.trainer].model_construct(None, **requested)
    assert isinstance(settings, FinetuneSettings | SimulatedSettings), "a script has its own form"
    return settings


def read_settings(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> Settings:
    """The settings of a trial of a stored sweep.

    Raises pydantic.ValidationError for settings that another version of Trytable stored.
    """
    if stored["trainer"] == "script":
        script = ScriptSettings.model_validate(
            {"launch": stored["script"], "values": dict(requested)}
        )
        return script.model_copy(update={"launch": _from_here(script.launch)})
    settings = TRAINERS[stored["trainer"]].model_validate(dict(requested))
    assert isinstance(settings, FinetuneSettings | SimulatedSettings), "a script has its own form"
    return settings


def _from_here(launch: LaunchSettings) -> LaunchSettings:
    """The launch with its folder absolute; only its own braces are placeholders."""
    return replace(launch, cwd=str(Path(literal(str(Path.cwd()))) / launch.cwd))


def reports_memory(trainer: str) -> bool:
    """Whether a trainer's workers report how much GPU memory they take."""
    return bool(getattr(TRAINERS[trainer], "REPORTS_MEMORY", False))


def check_script(sweep: Sweep, folder: Path) -> ScriptCheck:
    """Check a script's command with the baseline filled in. Raises UserError."""
    request = {
        "settings": settings_of(sweep, sweep.baseline).model_dump(mode="json"),
        "seed": sweep.seed or 0,
        "folder": str(folder),
    }
    failure = "The script could not be checked"
    with Subprocess("check_script", ScriptCheck, request, failure) as program:
        return program.result()


def baseline_job(sweep: Sweep, folders: Folders, slot: Slot, purpose: str) -> Job:
    """The baseline's job; its program hashes the data itself and writes no trial folder."""
    folders.cache.mkdir(parents=True, exist_ok=True)
    return Job(
        study=sweep.name,
        trial_uid=purpose,
        number=0,
        attempt=1,
        folder=str(folders.cache / purpose),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=sweep.data,
        settings=settings_of(sweep, sweep.baseline),
        seed=sweep.seed or 0,
        device=slot.device,
        threads=slot.threads,
    )


BackendStarter = Callable[[Sweep, Folders, Sequence[Slot]], Backend]


def start_local(sweep: Sweep, folders: Folders, slots: Sequence[Slot]) -> Backend:
    """Start workers on this machine."""
    return start_local_workers(worker_settings(sweep, folders), slots)


def worker_settings(sweep: Sweep, folders: Folders) -> WorkerSettings:
    """Return what all workers of a sweep share."""
    return WorkerSettings(
        sweep.trainer, sweep.model, folders.forkserver_log, sweep.silence_minutes * 60
    )
