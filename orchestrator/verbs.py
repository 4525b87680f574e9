"""What each verb of the command line does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import sweeps as sweeps_room
from orchestrator.errors import UserError
from orchestrator.folders import Folders
from orchestrator.screen import print_table
from orchestrator.slots import find_slots
from orchestrator.sweep import Outcome, run_sweep
from results.dashboard import DashboardError, serve
from results.formats import FORMATS, write_tables
from results.report import write_report
from results.study import StudyUnreadable, list_studies, read_study
from results.table import try_table
from sweeps.spec import Sweep, SweepError, find_sweep, list_sweeps, parse_overrides, read_sweep
from trainers.protocol import TRAINERS

DASHBOARD_PORT = 8080


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the other rooms' errors that the person can mend into UserError."""
    try:
        yield
    except (SweepError, StudyUnreadable, DashboardError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise UserError(f"{error.filename}: {error.strerror}.") from error


def sweeps_folder() -> Path:
    """`sweeps/` of the folder one stands in, else the one that came with Trytable."""
    here = Path("sweeps")
    return here if here.is_dir() else Path(sweeps_room.__file__).parent


def sweep(
    name: str,
    runs: Path,
    shorthand: Mapping[str, str],
    settings: str,
    slots: int | None,
    retry_failed: bool,
    as_new: bool,
    console: Console,
) -> Outcome:
    """Run a sweep, then write its reports and print its Try table."""
    overrides = {**parse_overrides(settings), **_typed(shorthand)}
    found = read_sweep(find_sweep(sweeps_folder(), name), TRAINERS, overrides)
    folders = Folders(runs.resolve(), found.name)
    outcome = run_sweep(found, folders, find_slots(slots), console, retry_failed)
    report(folders, console)
    return outcome


def list_sweeps_(console: Console) -> None:
    """Print every sweep with what it varies; a file that cannot be read is listed as such."""
    table = Table(box=None, pad_edge=False)
    for heading in ("sweep", "varies", "sampler", "pruner", "about"):
        table.add_column(heading)
    table.add_column("tries", justify="right")
    for path in list_sweeps(sweeps_folder()):
        table.add_row(*_listed(path))
    console.print(table)
