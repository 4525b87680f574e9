"""The Try table on a terminal, as wide as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.errors import UserError
from trytable.results.report.dashboard import PortTaken
from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound
from trytable.results.tables.formats import numeric_columns
from trytable.results.tables.trials import TableRow, TryTable
from trytable.results.text.catalog import Words
from trytable.results.text.format import format_value
from trytable.sweeps.config import loader

_SEVERITY_STYLES = {"warning": "yellow", "error": "bold red"}
_STYLES = {"pruned": "dim", "stopped": "yellow", "failed": "red"}
_PIPE_WIDTH = 200
"""Columns of text when nobody watches: a pipe has no width of its own."""

_GAP = 2
_FIRST_TO_GO = (
    "device_seconds",
    "last_dev_accuracy",
    "equal_best",
    "equal_baseline",
    "confirmed_seeds",
    "test_accuracy",
    "epochs_run",
    "seconds",
    "trained",
    "best_epoch",
    "confirmed_low",
    "confirmed_high",
    "interval_low",
    "interval_high",
    "gap",
    "train_accuracy",
    "p_best",
    "group",
)
"""Columns that a narrow terminal does without, in this order; the files have them all."""

_MOST_ROWS = 100
"""Rows that a terminal shows, the best first; the files have them all."""

_LEFT_OUT_WHEN_BLANK = ("trained", "findings")
_WRAPPED = {"state": len("completed (baseline)"), "findings": len("non_finite (warning)")}
"""Kinds of columns whose longer texts are wrapped, and the room that they ask for."""


def print_table(table: TryTable, console: Console) -> None:
    """Print the first rows; numbers right-aligned, pruned and failed rows set apart by colour."""
    console = wide_enough(console)
    left_out = len(table.rows) - _MOST_ROWS
    table = replace(table, rows=table.rows[:_MOST_ROWS])
    columns = _columns_that_fit(table, console.width)
    numeric = numeric_columns(table)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index in columns:
        column = table.columns[index]
        right = column.key in numeric or column.kind == "try"
        drawn.add_column(
            Text(column.title.replace(" ", "\n")),
            justify="right" if right else "left",
            no_wrap=column.kind not in _WRAPPED,
            overflow="fold",
        )
    for row in table.rows:
        cells = [_styled(table, row, index) for index in columns]
        drawn.add_row(*cells, style=_STYLES.get(row.status, ""))
    console.print(drawn)
    if left_out > 0:
        console.print(Text(Words(table.language).text("table.more", count=left_out)))


def wide_enough(console: Console) -> Console:
    """The console itself, or a wide one in place of a pipe."""
    return console if console.is_terminal else Console(file=console.file, width=_PIPE_WIDTH)


def _columns_that_fit(table: TryTable, width: int) -> list[int]:
    left = [index for index in range(len(table.columns)) if _says_something(table, index)]
    keys = [column.key for column in table.columns]
    for key in (key for key in _FIRST_TO_GO if key in keys):
        if sum(_width(table, index) + _GAP for index in left) <= width:
            break
        left = [index for index in left if keys[index] != key]
    return left


def _says_something(table: TryTable, index: int) -> bool:
    if table.columns[index].key not in _LEFT_OUT_WHEN_BLANK:
        return True
    return any(row.cells[index] is not None for row in table.rows)


def _width(table: TryTable, index: int) -> int:
    column = table.columns[index]
    words = map(cell_len, column.title.split())
    width = max([*words, *(cell_len(_cell(table, row, index)) for row in table.rows)])
    return min(width, _WRAPPED.get(column.kind, width))


def _styled(table: TryTable, row: TableRow, index: int) -> Text:
    found = table.columns[index].kind == "findings"
    style = _SEVERITY_STYLES.get(row.severity, "") if found else ""
    return Text(_cell(table, row, index), style=style)


def _cell(table: TryTable, row: TableRow, index: int) -> str:
    kind = table.columns[index].kind
    text = format_value(row.cells[index], kind)
    return text.removeprefix("Try ") if kind == "try" else text


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the other rooms' errors that the person can mend into UserError."""
    try:
        yield
    except (loader.SweepError, StudyNotFound, DatabaseUnreadable, PortTaken) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        if error.errno is None:
            raise
        where = error.filename or "A file could not be written"
        raise UserError(f"{where}: {error.strerror}.") from error
