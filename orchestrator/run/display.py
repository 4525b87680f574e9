"""The live display: a row a slot on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.base import CPU, GPU, Slot, WorkerMessage
from trytable.orchestrator.run.jobs import tells_memory
from trytable.orchestrator.run.progress import Progress, SlotProgress, metric_title
from trytable.orchestrator.scheduler.events import Instruction
from trytable.results.storage.rows import TrialRow
from trytable.sweeps.config.loader import Sweep


def introduction(
    sweep: Sweep, study: str, slots: Sequence[Slot], facts: dict[str, Any]
) -> tuple[str, ...]:
    """What is about to run on what, and what the person should know of the data."""
    sizes = ", ".join(f"{size} {split}" for split, size in facts.get("sizes", {}).items())
    work = f" of {sweep.model} on {sweep.data['name']} ({sizes})" if sizes else ""
    first = f"{study}: {', '.join(sweep.parameters)}{work}, {describe_slots(sweep, slots)}"
    return (first, *facts.get("notes", ()))


def describe_slots(sweep: Sweep, slots: Sequence[Slot]) -> str:
    """As `6 slots on 2 GPUs, as far as memory allows`."""
    found = f"{len(slots)} slot{'s' if len(slots) > 1 else ''}"
    gpus = {slot.device for slot in slots} - {CPU}
    if not gpus:
        return found
    if GPU in gpus:
        return f"{found} on the cluster's GPUs"
    packed = len(slots) > len(gpus) and tells_memory(sweep.trainer)
    on = f"{found} on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"
    return f"{on}, as far as memory allows" if packed else on


_OTHER_LINES = 5
"""Of the screen: heading, counts, best, how many more slots, and one to spare."""


class Display:
    """Shows a Progress while the block runs: redrawn in place on a terminal, else line by line."""

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """An instruction about a trial is being carried out."""
        self._progress.on_instruction(instruction, trial)
        self._print_lines()

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Messages have come."""
        self._progress.on_messages(messages)
        self._print_lines()

    def print_line(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(Text(text))

    def _print_lines(self) -> None:
        lines = self._progress.lines
        if not self._console.is_terminal:
            for line in lines:
                self._console.print(Text(line), soft_wrap=True)
        lines.clear()


def render(progress: Progress, most: int = sys.maxsize) -> Group:
    """What a terminal shows: the slots, then one line of counts, then the best so far.

    Of more slots than `most` the first are shown; the others are counted.
    """
    slots = sorted(progress.slots, key=lambda name: (len(name), name))
    shown = slots[: max(most, 1)]
    more = [Text(f"and {len(slots) - len(shown)} more slots")] if len(shown) < len(slots) else []
    return Group(_lanes(progress, shown), *more, _counts(progress), _best(progress))


def _lanes(progress: Progress, slots: Sequence[str]) -> Table:
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


def _row(lane: SlotProgress, varied: Sequence[str]) -> tuple[str | Text | ProgressBar, ...]:
    # With one parameter its name stands in the heading.
    params = lane.params.removeprefix(f"{varied[0]} ") if len(varied) == 1 else lane.params
    return (
        lane.slot,
        str(lane.number + 1),
        Text(params),
        lane.epoch_of_all,
        ProgressBar(total=max(lane.steps_total, 1), completed=lane.step, width=24),
        _number(lane.loss),
        _number(lane.value),
        Text(lane.note, style="dim"),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _counts(progress: Progress) -> Text:
    parts = [f"{progress.ended}/{progress.total} done"]
    for status in ("pruned", "stopped", "failed"):
        if progress.counts.get(status):
            parts.append(f"{progress.counts[status]} {status}")
    if progress.epochs_saved:
        parts.append(f"{progress.epochs_saved} epochs saved by pruning")
    parts.append(f"{duration(time.monotonic() - progress.started_at)} so far")
    left = progress.seconds_left(time.monotonic())
    if left is not None:
        parts.append(f"about {duration(left)} left")
    return Text("  ".join(parts), style="bold")


def _best(progress: Progress) -> Text:
    if progress.best is None:
        return Text("")
    value, number, params = progress.best
    reached = f"{metric_title(progress.objective.name)} {value:.3f}"
    return Text(f"best so far: Try {number + 1}, {reached} ({params})")


def duration(seconds: float) -> str:
    """Seconds as `4 s`, `2 min 05 s` or `1 h 07 min`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
