"""`trytable check`: prints whether anything of a study was lost or doubled."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import STATUSES, check_studies


def check(folders: Folders, console: Console) -> bool:
    """Check the database and its studies (or the one named), print, and tell whether all holds.

    Raises DatabaseDamaged, StudyNotFound and DatabaseUnreadable.
    """
    found = check_studies(folders)
    occurring = [status for status in STATUSES if any(one.counts.get(status) for one in found)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("study")
    for heading in ("asked", *occurring, "problems"):
        table.add_column(heading, justify="right")
    for one in found:
        numbers = [one.trial_count, *(one.counts.get(status, 0) for status in occurring)]
        cells = [*numbers, len(one.problems)]
        table.add_row(Text(one.name), *(str(cell) for cell in cells))
    console.print(table)
    for one in found:
        for problem in one.problems:
            console.print(Text(f"{one.name}: {problem}"), soft_wrap=True)
    return not any(one.problems for one in found)
