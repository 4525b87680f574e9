"""The Try table on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.table import TryTable
from results.text import shown

_STYLES = {"pruned": "dim", "stopped": "yellow", "failed": "red"}
_PIPE_WIDTH = 200
"""Columns of text when nobody watches: a pipe has no width of its own."""


def print_table(table: TryTable, console: Console) -> None:
    """Print every row; numbers right-aligned, pruned and failed rows set apart by colour."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        left = column.kind in ("parameter", "state")
        drawn.add_column(Text(column.title), justify="left" if left else "right")
    for row in table.rows:
        cells = zip(row.cells, table.columns, strict=True)
        drawn.add_row(
            *(Text(shown(cell, column.kind)) for cell, column in cells),
            style=_STYLES.get(row.status, ""),
        )
    console.print(drawn, width=console.width if console.is_terminal else _PIPE_WIDTH)
