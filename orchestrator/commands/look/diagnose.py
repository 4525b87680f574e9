"""`make diagnose`: looks at a sweep's data, model and baseline before it spends any time."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.commands.sweep_files import sweeps_folder
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.jobs import baseline_job
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.records import Scalar, is_number
from trytable.results.text.format import short
from trytable.sweeps.config import loader
from trytable.sweeps.config.loader import Sweep
from trytable.trainers.protocol.messages import TRAINERS, Check, Job

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("failed", "bold red")}
_MOST_ROWS = 24
"""More numbers of one check would push the others off the screen."""


def print_checks(sweep: Sweep, folders: Folders, slot: Slot, console: Console) -> bool:
    """Print every check of a sweep's baseline as it is made; False where one failed outright."""
    job = _job(sweep, folders, slot)
    verdicts = []
    with console.status("Starting") as status:
        request, failure = job.model_dump(mode="json"), "The sweep could not be checked"
        with Subprocess("diagnose", Check, request, failure, device=slot.device) as program:
            for message in program.messages():
                if isinstance(message, Check):
                    verdicts.append(message.verdict)
                    _print(message, console)
                else:
                    status.update(Text(message))
    failed, warned = verdicts.count("failed"), verdicts.count("warning")
    console.print()
    console.print(Text(f"{len(verdicts)} checks: {failed} failed, {warned} with a warning"))
    return not failed


def _job(sweep: Sweep, folders: Folders, slot: Slot) -> Job:
    if sweep.trainer != "finetune":
        raise UserError(
            f"{sweep.path}: trainer {sweep.trainer} has no data and no model to look at. "
            "Allowed: finetune."
        )
    return baseline_job(sweep, folders, slot, "diagnose")


def _print(check: Check, console: Console) -> None:
    word, style = _MARKS[check.verdict]
    heading = Text(f"{check.name}: ", style="bold").append(word, style=style)
    console.print()
    console.print(heading.append(f"  {check.message}", style="not bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name, value in check.rows[:_MOST_ROWS]:
        table.add_row(Text(name, style="dim"), Text(_shown(value)))
    if len(check.rows) > _MOST_ROWS:
        table.add_row(Text(f"and {len(check.rows) - _MOST_ROWS} more", style="dim"), Text())
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _shown(value: Scalar) -> str:
    if isinstance(value, int) and is_number(value):
        return f"{value:,}"
    return short(value) if isinstance(value, float) else str(value)


def diagnose(name: str, runs: Path, overrides: Mapping[str, object], console: Console) -> bool:
    """Look at a sweep's data, model and baseline; False where a check failed outright."""
    found = loader.read_sweep(loader.find_sweep(sweeps_folder(), name), TRAINERS, overrides)
    (slot,) = find_slots(1)
    return print_checks(found, Folders(runs.resolve(), found.name), slot, console)
