"""`trytable report` and `trytable export`.

Both import their work when it begins: a sweep, which ends in a report, should not start later by
the seconds that pandas, plotly and matplotlib take.
"""

from collections.abc import Sequence

from rich.console import Console

from trytable.orchestrator.commands.option_records import ReportOptions
from trytable.orchestrator.paths import Folders

DEFAULT_OPTIONS = ReportOptions()


def report_study(
    folders: Folders, console: Console, options: ReportOptions = DEFAULT_OPTIONS
) -> None:
    """Write a study's reports, plots and tables, and print its Try table with a summary.

    Raises StudyNotFound, DatabaseUnreadable and OSError.
    """
    from trytable.orchestrator.commands.look.report_files import (  # noqa: PLC0415 - see above
        write_report_files,
    )

    write_report_files(folders, console, options.words, all_tests=options.all_tests)


def export_tables(
    folders: Folders,
    formats: Sequence[str],
    console: Console,
    options: ReportOptions = DEFAULT_OPTIONS,
) -> None:
    """Write a study's Try table and comparison in these formats; in all if there are none.

    Raises UserError for an unknown format, StudyNotFound, DatabaseUnreadable and OSError.
    """
    from trytable.orchestrator.commands.look.report_files import (  # noqa: PLC0415 - see above
        write_table_files,
    )

    write_table_files(folders, formats, console, options.words, all_tests=options.all_tests)
