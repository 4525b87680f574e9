"""`trytable diagnose`: checks a sweep's data, model and baseline before it spends any time."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.commands.sweep_files import load_sweep
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.jobs import baseline_job
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.records import Scalar, is_number
from trytable.results.text.format import format_number
from trytable.trainers.protocol.messages import Check

_VERDICT_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}
_MAX_ROWS = 24
"""More numbers of one check would push the other checks off the screen."""


def diagnose_sweep(
    name: str, runs: Path, overrides: Mapping[str, object], console: Console
) -> bool:
    """Print every check of a sweep's baseline as it is made; return False if one failed.

    Raises UserError and SweepError.
    """
    sweep = load_sweep(name, overrides)
    (slot,) = find_slots(1)
    if sweep.trainer != "finetune":
        raise UserError(
            f"{sweep.path}: trainer {sweep.trainer} has no data and no model to check. "
            "Use a sweep of trainer finetune."
        )
    job = baseline_job(sweep, Folders(runs.resolve(), sweep.name), slot, "diagnose")
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
    failures, warnings = verdicts.count("failed"), verdicts.count("warning")
    console.print()
    console.print(Text(f"{len(verdicts)} checks: {failures} failed, {warnings} with a warning"))
    return not failures


def _print(check: Check, console: Console) -> None:
    heading = Text(f"{check.name}: ", style="bold")
    heading.append(check.verdict, style=_VERDICT_STYLES[check.verdict])
    console.print()
    console.print(heading.append(f"  {check.message}", style="not bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name, value in check.rows[:_MAX_ROWS]:
        table.add_row(Text(name, style="dim"), Text(_value_text(value)))
    if len(check.rows) > _MAX_ROWS:
        table.add_row(Text(f"and {len(check.rows) - _MAX_ROWS} more", style="dim"), Text())
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _value_text(value: Scalar) -> str:
    if isinstance(value, int) and is_number(value):
        return f"{value:,}"
    return format_number(value) if isinstance(value, float) else str(value)
