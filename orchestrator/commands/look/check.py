"""`trytable check`: prints whether any trial of a study was lost or duplicated."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import STATUSES, check_studies


def print_check(folders: Folders, console: Console) -> bool:
    """Check the database and one study, or all; print the result and return whether all is sound.

    Raises DatabaseDamaged, StudyNotFound and DatabaseUnreadable.
    """
    results = check_studies(folders)
    statuses = [status for status in STATUSES if any(study.counts.get(status) for study in results)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("study")
    for heading in ("asked", *statuses, "problems"):
        table.add_column(heading, justify="right")
    for study in results:
        counts = [study.trial_count, *(study.counts.get(status, 0) for status in statuses)]
        cells = [*counts, len(study.problems)]
        table.add_row(Text(study.name), *(str(cell) for cell in cells))
    console.print(table)
    for study in results:
        for problem in study.problems:
            print_line(console, f"{study.name}: {problem}")
    return not any(study.problems for study in results)
