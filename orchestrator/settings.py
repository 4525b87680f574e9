"""A trial's settings in the trainer's form, out of a sweep as the ledger keeps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.ask import ask
from sweeps.script import literal
from trainers.protocol import (
    TRAINERS,
    FinetuneSettings,
    Launch,
    ScriptChecked,
    ScriptedSettings,
    ScriptSettings,
    Settings,
)


def settings_of(sweep: Mapping[str, Any], requested: Mapping[str, Any]) -> Settings:
    """What a worker is given. A script's folder is found from the one that one stands in.

    Raises pydantic.ValidationError for settings of another version.
    """
    if sweep["trainer"] == "script":
        launch = Launch.model_validate(sweep["script"])
        # Braces in `cwd` are places; those of the folder that it is found from are its own.
        folder = Path(literal(str(Path.cwd()))) / launch.cwd
        here = launch.model_copy(update={"cwd": str(folder)})
        return ScriptSettings(launch=here, values=dict(requested))
    found = TRAINERS[sweep["trainer"]].model_validate(dict(requested))
    assert isinstance(found, FinetuneSettings | ScriptedSettings), "the rest is a script's"
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
    question = ask("trainers.check_script", request, "The script could not be looked at")
    try:
        return ScriptChecked.model_validate(question.answer()["checked"])
    finally:
        question.close()
