"""A trial's settings in the trainer's form, out of a sweep as the ledger keeps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.sweeps.config.loader import Sweep
from trytable.sweeps.config.script import literal
from trytable.trainers.protocol.messages import (
    TRAINERS,
    DataSource,
    FinetuneSettings,
    Job,
    LaunchSettings,
    ScriptChecked,
    ScriptSettings,
    Settings,
    SimulatedSettings,
)


def settings_of(sweep: Mapping[str, Any], requested: Mapping[str, Any]) -> Settings:
    """What a worker is given. A script's folder is found from the one that one stands in.

    Raises pydantic.ValidationError for settings of another version.
    """
    if sweep["trainer"] == "script":
        launch = LaunchSettings.model_validate(sweep["script"])
        # Braces in `cwd` are places; those of the folder that it is found from are its own.
        folder = Path(literal(str(Path.cwd()))) / launch.cwd
        here = launch.model_copy(update={"cwd": str(folder)})
        return ScriptSettings(launch=here, values=dict(requested))
    found = TRAINERS[sweep["trainer"]].model_validate(dict(requested))
    assert isinstance(found, FinetuneSettings | SimulatedSettings), "the rest is a script's"
    return found


def tells_memory(trainer: str) -> bool:
    """Whether a trainer's workers tell what they take of a GPU."""
    return bool(getattr(TRAINERS[trainer], "TELLS_MEMORY", False))


def check_script(sweep: Mapping[str, Any], folder: Path) -> ScriptChecked:
    """Look at a script's command with the baseline in it. Raises UserError."""
    settings = settings_of(sweep, sweep["baseline"])
    request = {
        "settings": settings.model_dump(mode="json"),
        "seed": sweep["seed"] or 0,
        "folder": str(folder),
    }
    failure = "The script could not be checked"
    with Subprocess("check_script", ScriptChecked, request, failure) as program:
        return program.result()


def baseline_job(sweep: Sweep, folders: Folders, slot: Slot, purpose: str) -> Job:
    """The baseline's job; its program finds the data's hash itself, and writes no trial folder."""
    folders.cache.mkdir(parents=True, exist_ok=True)
    return Job(
        study=sweep.name,
        trial_uid=purpose,
        number=0,
        attempt=1,
        folder=str(folders.cache / purpose),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=DataSource.model_validate(sweep.data),
        settings=settings_of(sweep.to_json(), sweep.baseline),
        seed=sweep.seed or 0,
        device=slot.device,
        threads=slot.threads,
    )
