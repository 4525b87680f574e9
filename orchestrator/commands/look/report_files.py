"""Writes what a study's results show into files: reports, plots and tables."""

import gc
from collections.abc import Sequence
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
from trytable.results.text.catalog import Words


def write_report_files(
    folders: Folders, console: Console, words: Words, *, all_tests: bool
) -> None:
    """Write a study's reports, plots and tables, and print its Try table with a summary.

    Raises StudyNotFound, DatabaseUnreadable and OSError.
    """
    frames = _read_frames(folders, words, all_tests)
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


def write_table_files(
    folders: Folders, formats: Sequence[str], console: Console, words: Words, *, all_tests: bool
) -> None:
    """Write a study's Try table and comparison in these formats; in all if there are none.

    Raises UserError for an unknown format, StudyNotFound, DatabaseUnreadable and OSError.
    """
    names = formats or list(FORMATS)
    frames = _read_frames(folders, words, all_tests)
    table, pairs = try_table(frames, words), pairs_table(frames, words)
    try:
        paths = [
            *write_tables(table, folders.tables, names),
            *write_tables(pairs, folders.tables, names, PAIRS_STEM),
        ]
    except ValueError as error:
        raise UserError(str(error)) from error
    _print_paths(paths, console)


def _read_frames(folders: Folders, words: Words, all_tests: bool) -> StudyFrames:
    study = read_study(folders.url, folders.study)
    # Half a million records, none of which is garbage before the verb ends: the collector would
    # walk them again and again.
    gc.freeze()
    analysis = analyze(study, words.language, read_confirmation(folders.url, study))
    return StudyFrames(study, analysis, all_tests, words.language)


def _print_paths(paths: Sequence[Path], console: Console) -> None:
    for path in paths:
        print_line(console, display_path(path))
