"""`trytable sweeps`: lists the sweeps and the parameters that each varies."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.commands.locations import sweeps_folder
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config import loader


def print_sweeps(console: Console) -> None:
    """Print a row for each sweep file; a file with mistakes gets a row with its error message."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("sweep", "varies", "sampler", "pruner", "about"):
        table.add_column(heading, overflow="fold")
    table.add_column("tries", justify="right")
    for path in loader.list_sweeps(sweeps_folder()):
        table.add_row(*(Text(cell) for cell in _cells(path)))
    console.print(table)


def _cells(path: Path) -> Sequence[str]:
    try:
        sweep = loader.read_sweep(path, KINDS)
    except loader.SweepError as error:
        return (path.stem, "", "", "", str(error), "")
    trials = sweep.trials or len(loader.grid_points(sweep))
    names = ", ".join(sweep.parameters)
    about = sweep.description
    return (sweep.name, names, sweep.sampler.name, sweep.pruner.name, about, str(trials))
