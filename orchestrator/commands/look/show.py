"""`trytable show`: prints one try in full."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.commands.terminal import full_width, print_line
from trytable.orchestrator.commands.trial_record import find_trial
from trytable.orchestrator.paths import Folders
from trytable.records import is_number
from trytable.results.report.trial_detail import Grid, SettingLine, TrialDetail, trial_detail
from trytable.results.storage.reader import read_study
from trytable.results.text.format import format_value


def show_trial(folders: Folders, number: int | None, console: Console) -> None:
    """Print a try. Raises UserError, StudyNotFound and DatabaseUnreadable."""
    study = read_study(folders.url, folders.study)
    trial = find_trial(study, number)
    if trial.is_imported:
        files = [Path(trial.origin["file"])]
    else:
        files = trial_files(folders, trial.number)
    print_trial(trial_detail(study, trial), files, full_width(console))


def trial_files(folders: Folders, number: int) -> list[Path]:
    """Return what exists on disk of a trial: its folder, the files in it worth opening, the log."""
    folder = folders.trial(number)
    files = [folder / name for name in ("job.json", "events.jsonl", "worker.log")]
    best = folders.checkpoints(number) / "best"
    return [path for path in (folder, *files, best, folders.log) if path.exists()]


def print_trial(detail: TrialDetail, files: Sequence[Path], console: Console) -> None:
    """Print the record section by section, without the empty sections."""
    console.print(Text(f"{detail.study}, {detail.label}", style="bold"))
    console.print(_facts(detail.facts))
    _section("Settings", _settings(detail.settings), console)
    for title, grid in (
        ("Attempts", detail.attempts),
        ("Epochs", detail.curve),
        ("Findings", detail.findings),
    ):
        if grid.rows:
            _section(title, _table(grid), console)
    console.print()
    console.print(Text("Files", style="bold"))
    for line in map(str, files) if files else ("none: the trial's folder no longer exists",):
        print_line(console, line)


def _section(title: str, table: Table, console: Console) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _facts(facts: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for term, text in facts:
        table.add_row(Text(term, style="dim"), Text(text))
    return table


def _settings(lines: Iterable[SettingLine]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("setting", "requested", "effective", ""):
        table.add_column(heading, overflow="fold")
    for line in lines:
        cells = (
            f"  {line.name}" if line.is_reading else line.name,
            format_value(line.requested, "parameter"),
            format_value(line.effective, "parameter"),
            "differs" if line.differs else "",
        )
        table.add_row(*map(Text, cells), style="bold red" if line.differs else "")
    return table


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(grid.columns):
        numeric = all(is_number(row[index]) or row[index] is None for row in grid.rows)
        table.add_column(
            Text(column.title.replace(" ", "\n")),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    for row in grid.rows:
        pairs = zip(row, grid.columns, strict=True)
        table.add_row(*(Text(format_value(cell, column.kind)) for cell, column in pairs))
    return table
