"""The verbs that look before a sweep and after it: diagnose and suggest."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator import diagnose as before
from orchestrator.errors import UserError
from orchestrator.folders import Folders
from orchestrator.new_files import shown, write_new
from orchestrator.slots import find_slots
from orchestrator.suggesting import next_sweep
from orchestrator.sweep_text import as_yaml
from orchestrator.verbs import sweeps_folder
from results.diagnosis import diagnose as findings_of
from results.study import read_study
from sweeps import spec
from trainers.protocol import TRAINERS


def diagnose(name: str, runs: Path, overrides: Mapping[str, object], console: Console) -> bool:
    """Look at a sweep's data, model and baseline; False where a check failed outright."""
    found = spec.read_sweep(spec.find_sweep(sweeps_folder(), name), TRAINERS, overrides)
    (slot,) = find_slots(1)
    return before.diagnose(found, Folders(runs.resolve(), found.name), slot, console)


def suggest(folders: Folders, console: Console) -> None:
    """Write the sweep that a study's results and findings lead to, beside the others, and print it.

    Raises UserError for a study that no sweep file made.
    """
    study = read_study(folders.url, folders.study)
    schema = TRAINERS.get(str(study.sweep.get("trainer")))
    if schema is None or not study.sweep.get("parameters"):
        raise UserError(
            f"The study {study.name!r} was not made from a sweep file, so there is nothing that "
            "the next one could go on from."
        )
    text = as_yaml(study, next_sweep(study, findings_of(study), schema), schema)
    _check(text)
    path = write_new(sweeps_folder(), f"{study.name.replace('@', '-')}-next", text)
    console.print(Text(text), soft_wrap=True, end="")
    console.print()
    console.print(Text(f"{shown(path)}: make sweep NAME={path.stem} runs it"), soft_wrap=True)


def _check(text: str) -> None:
    """What is suggested must be a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "next.yaml"
        path.write_text(text, encoding="utf-8")
        spec.read_sweep(path, TRAINERS)
