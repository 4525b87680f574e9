"""Prints on the terminal: the Try table, fitted to the width, and single lines."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trytable.results.tables.try_columns import TRY_COLUMNS
from trytable.results.tables.types import TableRow, TryTable
from trytable.results.text.catalog import Words
from trytable.results.text.format import format_value

_SEVERITY_STYLES = {"warning": "yellow", "error": "bold red"}
_STATUS_STYLES = {"pruned": "dim", "stopped": "yellow", "failed": "red"}
_PIPE_WIDTH = 200
"""Width in characters if the output is no terminal: a pipe has no width of its own."""

_COLUMN_GAP = 2
_MAX_ROWS = 100
"""Rows printed, the best first; the files have them all."""

_DROP_ORDER = [
    column.key
    for column in sorted(TRY_COLUMNS, key=lambda column: column.priority or 0)
    if column.priority is not None
]
"""Columns that are dropped on a narrow terminal, in this order; the files have them all."""

_DROPPED_IF_BLANK = [column.key for column in TRY_COLUMNS if column.hides_blank]
_WRAPPED_KINDS = {"state": len("completed (baseline)"), "findings": len("non_finite (warning)")}
"""Kinds of columns whose longer texts are wrapped, and the width that they get at least."""


def print_table(table: TryTable, console: Console) -> None:
    """Print the first rows of a Try table in as many columns as fit."""
    console = full_width(console)
    remaining = len(table.rows) - _MAX_ROWS
    table = table.head(_MAX_ROWS)
    columns = _columns_that_fit(table, console.width)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index in columns:
        column = table.columns[index]
        align_right = column.key in table.numeric or column.kind == "try"
        grid.add_column(
            Text(column.title.replace(" ", "\n")),
            justify="right" if align_right else "left",
            no_wrap=column.kind not in _WRAPPED_KINDS,
            overflow="fold",
        )
    for row in table.rows:
        cells = [_styled_cell(table, row, index) for index in columns]
        grid.add_row(*cells, style=_STATUS_STYLES.get(row.status, ""))
    console.print(grid)
    if remaining > 0:
        console.print(Text(Words(table.language).text("table.more", count=remaining)))


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a text literally, as one line however long it is.

    A text may come from a log or a file: rich would read markup in a plain string.
    """
    console.print(Text(text, style=style), soft_wrap=True)


def full_width(console: Console) -> Console:
    """Return the console itself if it is a terminal, else a wide one that writes to its file."""
    return console if console.is_terminal else Console(file=console.file, width=_PIPE_WIDTH)


def _columns_that_fit(table: TryTable, width: int) -> list[int]:
    indices = [index for index in range(len(table.columns)) if not _is_blank(table, index)]
    keys = [column.key for column in table.columns]
    for key in (key for key in _DROP_ORDER if key in keys):
        if sum(_column_width(table, index) + _COLUMN_GAP for index in indices) <= width:
            break
        indices = [index for index in indices if keys[index] != key]
    return indices


def _is_blank(table: TryTable, index: int) -> bool:
    """Return whether a column that is dropped if it is blank holds no value."""
    if table.columns[index].key not in _DROPPED_IF_BLANK:
        return False
    return all(row.cells[index] is None for row in table.rows)


def _column_width(table: TryTable, index: int) -> int:
    column = table.columns[index]
    title_words = map(cell_len, column.title.split())
    width = max([*title_words, *(cell_len(_cell_text(table, row, index)) for row in table.rows)])
    return min(width, _WRAPPED_KINDS.get(column.kind, width))


def _styled_cell(table: TryTable, row: TableRow, index: int) -> Text:
    is_findings = table.columns[index].kind == "findings"
    style = _SEVERITY_STYLES.get(row.severity, "") if is_findings else ""
    return Text(_cell_text(table, row, index), style=style)


def _cell_text(table: TryTable, row: TableRow, index: int) -> str:
    kind = table.columns[index].kind
    text = format_value(row.cells[index], kind)
    return text.removeprefix("Try ") if kind == "try" else text
