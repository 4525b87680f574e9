"""What a table is: columns, a frame of cells, and the tries that its rows are about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from trytable.records import Language, is_number
from trytable.results.storage.rows import Status
from trytable.results.text.format import Cell, CellKind, format_value

if TYPE_CHECKING:  # pandas costs a third of a second, which only those who make a table pay
    import pandas as pd

_TEXT_KINDS = ("try", "findings", "text", "state")


@dataclass(frozen=True)
class Column:
    """A column: `key` is stable, `title` is for people."""

    key: str
    title: str
    kind: CellKind


@dataclass(frozen=True)
class TableRow:
    """A row, with its cells in the columns' order.

    `number` is the displayed one (trial 0 is 1); `severity` is that of the worst finding, or empty.
    """

    number: int
    status: Status
    reason: str
    attempts: int
    is_baseline: bool
    cells: tuple[Cell, ...]
    severity: str = ""


@dataclass(frozen=True, eq=False)
class TryTable:
    """A table of trials: completed ones, best first, then pruned, then stopped, failed, others.

    Attributes:
        study: the study's name.
        columns: the columns in order.
        cells: a frame with the columns' keys, unrounded; what is missing is missing there, too.
        tries: the frame `tries` of the same rows, for what no cell says.
        language: the language of titles and texts.
    """

    study: str
    columns: tuple[Column, ...]
    cells: "pd.DataFrame"
    tries: "pd.DataFrame"
    language: Language = "en"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that vary."""
        return tuple(
            column.key.removeprefix("parameter:")
            for column in self.columns
            if column.kind == "parameter"
        )

    def head(self, count: int) -> "TryTable":
        """The table of the first rows."""
        return replace(self, cells=self.cells.head(count), tries=self.tries.head(count))

    @cached_property
    def values(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells column by column, as Python values; None for what is missing."""
        positions = range(len(self.columns))
        return tuple(tuple(python_values(self.cells.iloc[:, index])) for index in positions)

    @cached_property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The cells column by column as people read them, rounded and not yet escaped."""
        return tuple(
            tuple(format_value(cell, column.kind) for cell in cells)
            for column, cells in zip(self.columns, self.values, strict=True)
        )

    @cached_property
    def numeric(self) -> frozenset[str]:
        """The keys of the columns that hold only numbers and blanks, to be aligned right."""
        columns = zip(self.columns, self.values, strict=True)
        return frozenset(column.key for column, cells in columns if _is_numeric(column, cells))

    @cached_property
    def rows(self) -> tuple[TableRow, ...]:
        """The rows as records."""
        names = ("state", "reason", "attempts", "is_baseline", "severity")
        facts = [python_values(self.tries[name]) for name in names]
        cells = zip(*self.values, strict=True) if len(self.cells) else ()
        return tuple(
            TableRow(
                number=number,
                status=state,
                reason=reason or "",
                attempts=attempts,
                is_baseline=is_baseline,
                cells=row,
                severity=severity or "",
            )
            for number, state, reason, attempts, is_baseline, severity, row in zip(
                self.tries.index, *facts, cells, strict=True
            )
        )


def python_values(column: "pd.Series") -> list[Cell]:
    """A column's values as Python's own; None for what is missing."""
    values: list[Cell] = column.to_numpy(dtype=object, na_value=None).tolist()
    return values


def _is_numeric(column: Column, cells: Sequence[Cell]) -> bool:
    if column.kind == "parameter":
        present = [cell for cell in cells if cell is not None]
        return bool(present) and all(map(is_number, present))
    return column.kind not in _TEXT_KINDS
