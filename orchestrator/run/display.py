"""The display of a running sweep: a live table of the slots on a terminal, plain lines elsewhere.

A file or a pipe gets one line for each start, epoch and end instead of the table, so that a log
stays readable.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.base import CPU, GPU, Slot, WorkerMessage
from trytable.orchestrator.run.jobs import reports_memory
from trytable.orchestrator.run.progress import Progress, SlotProgress, metric_title
from trytable.orchestrator.scheduler.events import Instruction
from trytable.results.storage.rows import TrialRow
from trytable.sweeps.config.schema import Sweep

_OTHER_LINES = 5
"""Screen lines that are not slots: heading, hidden slots, counts, best trial, one spare line."""


def introduction(
    sweep: Sweep, study: str, slots: Sequence[Slot], facts: dict[str, Any]
) -> tuple[str, ...]:
    """Return the lines to print before the first trial: what runs where, and notes on the data."""
    sizes = ", ".join(f"{size} {split}" for split, size in facts.get("sizes", {}).items())
    work = f" of {sweep.model} on {sweep.data.name} ({sizes})" if sizes else ""
    first = f"{study}: {', '.join(sweep.parameters)}{work}, {describe_slots(sweep, slots)}"
    return (first, *facts.get("notes", ()))


def describe_slots(sweep: Sweep, slots: Sequence[Slot]) -> str:
    """Describe the slots, such as `6 slots on 2 GPUs, as far as memory allows`."""
    count = f"{len(slots)} slot{'s' if len(slots) > 1 else ''}"
    gpus = {slot.device for slot in slots} - {CPU}
    if not gpus:
        return count
    if GPU in gpus:
        return f"{count} on the cluster's GPUs"
    may_share = len(slots) > len(gpus) and reports_memory(sweep.trainer)
    places = f"{count} on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"
    return f"{places}, as far as memory allows" if may_share else places


class Display:
    """Shows a `Progress` while its block runs: redrawn in place on a terminal, else as lines."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._live = Live(
            console=console,
            get_renderable=lambda: render(progress, console.height - _OTHER_LINES),
            refresh_per_second=4,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """Show an instruction that is being carried out for a trial."""
        self._progress.on_instruction(instruction, trial)
        self._print_lines()

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Show what workers sent."""
        self._progress.on_messages(messages)
        self._print_lines()

    def print_line(self, text: str) -> None:
        """Print a line of text above the table."""
        self._console.print(Text(text))

    def _print_lines(self) -> None:
        lines = self._progress.lines
        if not self._console.is_terminal:
            for line in lines:
                self._console.print(Text(line), soft_wrap=True)
        lines.clear()


def render(progress: Progress, max_slots: int = sys.maxsize) -> Group:
    """Render the slots, a line of counts and a line with the best trial for a terminal.

    If there are more than `max_slots` slots, only the first are shown and the rest are counted.
    """
    slots = sorted(progress.slots, key=lambda name: (len(name), name))
    visible = slots[: max(max_slots, 1)]
    hidden = len(slots) - len(visible)
    overflow = [Text(f"and {hidden} more slots")] if hidden else []
    return Group(_slot_table(progress, visible), *overflow, _counts(progress), _best(progress))


def _slot_table(progress: Progress, slots: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("slot", justify="right")
    table.add_column("try", justify="right")
    table.add_column(", ".join(progress.parameters))
    table.add_column("epoch", justify="right")
    table.add_column("progress", width=24)
    table.add_column("loss", justify="right")
    table.add_column(metric_title(progress.objective.name), justify="right")
    table.add_column("")
    for slot in slots:
        table.add_row(*_row(progress.slots[slot], progress.parameters))
    return table


def _row(slot: SlotProgress, parameters: Sequence[str]) -> tuple[str | Text | ProgressBar, ...]:
    # The heading already names a single parameter.
    single = len(parameters) == 1
    params = slot.params.removeprefix(f"{parameters[0]} ") if single else slot.params
    return (
        slot.name,
        str(slot.number + 1),
        Text(params),
        slot.epoch_of_all,
        ProgressBar(total=max(slot.steps_total, 1), completed=slot.step, width=24),
        _number(slot.loss),
        _number(slot.value),
        Text(slot.note, style="dim"),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _counts(progress: Progress) -> Text:
    parts = [f"{progress.ended_count}/{progress.total} done"]
    for status in ("pruned", "stopped", "failed"):
        if progress.counts.get(status):
            parts.append(f"{progress.counts[status]} {status}")
    if progress.epochs_saved:
        parts.append(f"{progress.epochs_saved} epochs saved by pruning")
    parts.append(f"{duration(time.monotonic() - progress.started_at)} so far")
    remaining = progress.seconds_left(time.monotonic())
    if remaining is not None:
        parts.append(f"about {duration(remaining)} left")
    return Text("  ".join(parts), style="bold")


def _best(progress: Progress) -> Text:
    if progress.best is None:
        return Text("")
    value, number, params = progress.best
    result = f"{metric_title(progress.objective.name)} {value:.3f}"
    return Text(f"best so far: Try {number + 1}, {result} ({params})")


def duration(seconds: float) -> str:
    """Format seconds as `4 s`, `2 min 05 s` or `1 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
