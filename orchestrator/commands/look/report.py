"""`trytable report` and `trytable export`: write what a study's results show into files."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands.terminal import print_line, print_table
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.frames.frames import StudyFrames
from trytable.results.plots.all import study_plots
from trytable.results.plots.matplotlib import write_plots
from trytable.results.report.content import ReportContent
from trytable.results.report.html import write_report
from trytable.results.report.verdict import confirmation_sentences, overview
from trytable.results.storage.reader import read_study
from trytable.results.tables.formats import FORMATS, write_tables
from trytable.results.tables.pairs import PAIRS_STEM, pairs_table
from trytable.results.tables.trials import try_table
from trytable.results.text.catalog import ENGLISH, Words


@dataclass(frozen=True)
class ReportOptions:
    """The language of a report, and whether it shows every test accuracy."""

    words: Words = ENGLISH
    all_tests: bool = False


DEFAULT_OPTIONS = ReportOptions()


def report_study(
    folders: Folders, console: Console, options: ReportOptions = DEFAULT_OPTIONS
) -> None:
    """Write a study's reports, plots and tables, and print its Try table with a summary.

    Raises StudyNotFound, DatabaseUnreadable and OSError.
    """
    words = options.words
    frames = _read_frames(folders, options)
    study, analysis = frames.study, frames.analysis
    table, pairs = try_table(frames, words), pairs_table(frames, words)
    plots = study_plots(study, analysis, words)
    paths = [
        *write_report(ReportContent(study, analysis, table, pairs, plots, words), folders.home),
        *write_plots(plots, folders.home / "pictures"),
        *write_tables(table, folders.tables),
        *write_tables(pairs, folders.tables, stem=PAIRS_STEM),
    ]
    console.print()
    print_table(table, console)
    confirmation = words.paragraph(confirmation_sentences(study, analysis.confirmation, words))
    for paragraph in (overview(study, analysis, words), confirmation):
        if paragraph:
            console.print()
            console.print(Text(paragraph))
    console.print()
    _print_paths(paths, console)


def export_tables(
    folders: Folders, formats: str, console: Console, options: ReportOptions = DEFAULT_OPTIONS
) -> None:
    """Write a study's Try table and comparison in comma-separated formats; in all if empty.

    Raises UserError for an unknown format, StudyNotFound, DatabaseUnreadable and OSError.
    """
    names = [name.strip() for name in formats.split(",") if name.strip()] or list(FORMATS)
    frames = _read_frames(folders, options)
    table, pairs = try_table(frames, options.words), pairs_table(frames, options.words)
    try:
        paths = [
            *write_tables(table, folders.tables, names),
            *write_tables(pairs, folders.tables, names, PAIRS_STEM),
        ]
    except ValueError as error:
        raise UserError(str(error)) from error
    _print_paths(paths, console)


def _read_frames(folders: Folders, options: ReportOptions) -> StudyFrames:
    study = read_study(folders.url, folders.study)
    # Half a million records, none of which is garbage before the verb ends: the collector would
    # walk them again and again.
    gc.freeze()
    language = options.words.language
    analysis = analyze(study, language, read_confirmation(folders.url, study))
    return StudyFrames(study, analysis, options.all_tests, language)


def _print_paths(paths: Sequence[Path], console: Console) -> None:
    for path in paths:
        print_line(console, display_path(path))
