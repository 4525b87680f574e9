"""What each verb of the command line does."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.commands.sweep_files import sweeps_folder
from trytable.orchestrator.commands.terminal import print_table
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.analysis.analysis import Analysis, analyze
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.plots.all import study_plots
from trytable.results.plots.matplotlib import write_plots
from trytable.results.report.dashboard import serve
from trytable.results.report.html import write_report
from trytable.results.report.verdict import confirmed, verdict
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.tables.formats import FORMATS, write_tables
from trytable.results.tables.pairs import FILE as PAIRS
from trytable.results.tables.pairs import pairs_table
from trytable.results.tables.summary import summary
from trytable.results.tables.trials import try_table
from trytable.results.text.catalog import ENGLISH, Words
from trytable.sweeps.config import loader
from trytable.trainers.protocol.messages import TRAINERS

DASHBOARD_PORT = 8080


@dataclass(frozen=True)
class Reading:
    """How reports are to be read: their language, and whether every test accuracy is shown."""

    words: Words = ENGLISH
    all_tests: bool = False


def report(folders: Folders, console: Console, reading: Reading = Reading()) -> None:
    """Write the reports, the pictures and the tables of a study, and print its Try table."""
    words = reading.words
    study, judged = _judged(folders, words)
    table = try_table(study, words, judged=judged, all_tests=reading.all_tests)
    pairs = pairs_table(study, judged.comparison, words)
    drawn = study_plots(study, words, judged)
    paths = [
        *write_report(
            study, folders.home, words, judged=judged, table=table, pairs=pairs, drawn=drawn
        ),
        *write_plots(drawn, folders.home / "pictures"),
        *write_tables(table, folders.tables),
        *write_tables(pairs, folders.tables, stem=PAIRS),
    ]
    console.print()
    print_table(table, console)
    told = [summary(study, words), *verdict(study, judged, words)]
    for sentences in (told, confirmed(study, judged.confirmation, words)):
        if sentences:
            console.print()
            console.print(Text(words.paragraph(sentences)))
    console.print()
    _print_paths(paths, console)


def export(folders: Folders, formats: str, console: Console, reading: Reading) -> None:
    """Write a study's Try table in the formats named, separated by commas; all by default."""
    wanted = [part.strip() for part in formats.split(",") if part.strip()] or list(FORMATS)
    study, judged = _judged(folders, reading.words)
    table = try_table(study, reading.words, judged=judged, all_tests=reading.all_tests)
    try:
        pairs = pairs_table(study, judged.comparison, reading.words)
        paths = [
            *write_tables(table, folders.tables, wanted),
            *write_tables(pairs, folders.tables, wanted, PAIRS),
        ]
    except ValueError as error:
        raise UserError(str(error)) from error
    _print_paths(paths, console)


def _judged(folders: Folders, words: Words) -> tuple[StudyResult, Analysis]:
    study = read_study(folders.url, folders.study)
    gc.freeze()  # half a million records, of which none is ever garbage before the verb ends
    return study, analyze(study, words.language, read_confirmation(folders.url, study))


def dashboard(folders: Folders, port: int, writable: bool, console: Console) -> None:
    """Serve the Optuna dashboard on this machine until Ctrl-C."""
    mode = "changes are allowed" if writable else "read-only; WRITABLE=1 allows changes"
    console.print(Text(f"Optuna dashboard on http://127.0.0.1:{port}/ ({mode}); Ctrl-C ends it."))
    serve(folders.url, port, writable)


def list_sweeps(console: Console) -> None:
    """Print every sweep with what it varies; a file that cannot be read is listed as such."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("sweep", "varies", "sampler", "pruner", "about"):
        table.add_column(heading, overflow="fold")
    table.add_column("tries", justify="right")
    for path in loader.list_sweeps(sweeps_folder()):
        table.add_row(*(Text(cell) for cell in _listed(path)))
    console.print(table)


def _listed(path: Path) -> Sequence[str]:
    try:
        found = loader.read_sweep(path, TRAINERS)
    except loader.SweepError as error:
        return (path.stem, "", "", "", str(error), "")
    tries = found.trials or len(loader.grid_points(found))
    varied = ", ".join(found.parameters)
    about = found.description
    return (found.name, varied, found.sampler.name, found.pruner.name, about, str(tries))


def _print_paths(paths: Sequence[Path], console: Console) -> None:
    for path in paths:
        console.print(Text(display_path(path)), soft_wrap=True)
