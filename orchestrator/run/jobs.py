"""Builds what workers receive, a trial's or the baseline's job, and starts a sweep's workers."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.engine import WorkerSettings
from trytable.orchestrator.backends.local_kind import start_local as start_local_workers
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.subprocesses import Subprocess, start_preparation
from trytable.orchestrator.scheduler.events import StartAttempt
from trytable.orchestrator.study.sampling.kinds import plugin_facts
from trytable.records import LaunchSettings
from trytable.results.storage.rows import TrialRow
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

PINNED_PACKAGES = ("torch", "transformers", "optuna")
"""The packages whose versions are stored with a study."""


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


def knob_defaults(trainer: str) -> dict[str, Any]:
    """Return the defaults of a trainer's knobs."""
    fields = TRAINERS[trainer].model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required()}


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


def make_job(
    sweep: Sweep, folders: Folders, data_hash: str, trial: TrialRow, start: StartAttempt
) -> Job:
    """The job of an attempt at a trial, on data that `data_hash` names in the cache."""
    seed = sweep.seed if trial.seed is None else trial.seed
    assert seed is not None, "run_sweep gives each sweep a seed"
    return Job(
        study=folders.study,
        trial_uid=trial.uid,
        number=trial.number,
        attempt=start.attempt,
        folder=str(folders.trial(trial.number)),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=sweep.data,
        data_hash=data_hash,
        settings=settings_of(sweep, trial.requested),
        seed=seed,
        device=start.slot.device,
        shared_device=start.shared,
        threads=start.slot.threads,
        objective=sweep.objective,
    )


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


def start_prepared(
    sweep: Sweep, folders: Folders, start: Callable[[], Backend], stack: ExitStack
) -> tuple[Backend, dict[str, Any], dict[str, tuple[int, ...]]]:
    """Start the backend; return it with the facts about data and model, and gold labels by split.

    The data are checked and tokenized while the fork server loads the model.
    """
    pins = {name: importlib.metadata.version(name) for name in PINNED_PACKAGES}
    plugins = plugin_facts(sweep)
    pins |= {plugin["package"]: plugin["version"] for plugin in plugins.values()}
    facts = {"pins": pins, **({"plugins": plugins} if plugins else {})}
    if sweep.trainer == "script":
        check_script(sweep, folders.trial(0))
    if sweep.trainer != "finetune":
        return stack.enter_context(closing(start())), facts, {}
    length = int(sweep.baseline["max_length"])
    preparation = stack.enter_context(
        start_preparation(sweep.model, sweep.data, length, folders.cache)
    )
    backend = stack.enter_context(closing(start()))
    prepared = preparation.result()
    check_batch_sizes(sweep, prepared.sizes["train"])
    return backend, {**prepared.model_dump(exclude={"gold"}), **facts}, prepared.gold


def check_batch_sizes(sweep: Sweep, train_size: int) -> None:
    """Raise UserError if a batch would be larger than the training data."""
    parameter = sweep.parameters.get("batch_size")
    sizes = [sweep.baseline["batch_size"], *(p.get("batch_size", 0) for p in sweep.enqueue)]
    if parameter is not None:
        sizes.append(parameter.largest)
    if max(sizes) > train_size:
        raise UserError(
            f"{sweep.path}: batch_size {max(sizes)} is larger than the training data, which have "
            f"{train_size} sentences. Allowed: 1 to {train_size}."
        )
