"""Declares the columns of a frame once: name, dtype, unit, description and where a value is from.

Every dtype can hold a missing value, so that a metric that was never measured is `<NA>`, never 0.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import pandas as pd

from trytable.records import is_number
from trytable.results.text.format import as_cell, clean

Dtype = Literal["Int64", "Float64", "boolean", "string", "category", "datetime64[us, UTC]"]

_EXACT_INTEGERS = 2**53
"""Up to here every integer is a float, too."""

_INT64 = 2**63


@dataclass(frozen=True)
class FrameColumn:
    """A column, or a level of the index.

    Attributes:
        name: its name in the frame.
        dtype: its pandas dtype.
        unit: what a number counts or measures; empty for texts.
        description: one sentence for the documentation.
        source: the attribute of a record that holds the value, if it is not called `name`; dots
            lead to attributes of attributes, and a None on the way makes the value missing.
        categories: all values of a `category`, in order.
        ordered: whether `<` and `max` work on the categories.
    """

    name: str
    dtype: Dtype
    unit: str
    description: str
    source: str = ""
    categories: tuple[str, ...] = ()
    ordered: bool = False

    def array(self, records: Iterable[Any]) -> Any:
        """The column's values of all records, as a pandas array of its dtype."""
        read = _reader(self.source or self.name)
        values = [read(record) for record in records]
        match self.dtype:
            case "category":
                return pd.Categorical(values, self.categories, ordered=self.ordered)
            case "datetime64[us, UTC]":
                seconds = pd.array(values, dtype="Float64").to_numpy(float, na_value=np.nan)
                return pd.to_datetime(seconds, unit="s", utc=True).as_unit("us")
            case "string":
                return text_array(values)
            case _:
                return pd.array(values, dtype=self.dtype)

    def index_values(self, values: Sequence[Any]) -> pd.Index:
        """The values as an index level, which never lacks one: its numbers are plain integers."""
        if self.dtype == "category":
            categories = pd.Categorical(values, self.categories, ordered=self.ordered)
            return pd.CategoricalIndex(categories, name=self.name)
        return pd.Index(values, dtype="int64", name=self.name)


def _reader(path: str) -> Callable[[Any], Any]:
    names = path.split(".")
    if len(names) == 1:
        return attrgetter(path)

    def read(record: Any) -> Any:
        for name in names:
            if record is None:
                return None
            record = getattr(record, name)
        return record

    return read


@dataclass(frozen=True)
class FrameFamily:
    """Columns whose names depend on the study: `prefix` and the name of a parameter or metric."""

    prefix: str
    dtype: str
    unit: str
    description: str


@dataclass(frozen=True)
class FrameSchema:
    """A frame: what one row is, the levels of its index, and its columns in order."""

    name: str
    row: str
    index: tuple[FrameColumn, ...]
    columns: tuple[FrameColumn, ...]
    families: tuple[FrameFamily, ...] = ()

    def build(self, records: Sequence[Any], *levels: Sequence[Any]) -> pd.DataFrame:
        """A frame with a row for each record; `levels` are the values of each index level."""
        index = [
            level.index_values(values) for level, values in zip(self.index, levels, strict=True)
        ]
        names = [level.name for level in self.index]
        return pd.DataFrame(
            {column.name: column.array(records) for column in self.columns},
            index=pd.MultiIndex.from_arrays(index, names=names) if len(index) > 1 else index[0],
        )


def family_columns(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """The column of each name, without characters that no file can hold."""
    columns: dict[str, str] = {}
    for name in dict.fromkeys(names):
        column = prefix + clean(name)
        while column in columns.values():
            column += "'"  # two names that differ only in such characters
        columns[name] = column
    return columns


def text_array(values: Sequence[str | None]) -> Any:
    """Texts as a pandas array of dtype `string`, without characters that no file can hold.

    An empty text is missing.
    """
    return pd.array([clean(text) if text else None for text in values], dtype="string")


def setting_array(values: Sequence[Any]) -> Any:
    """The values of a parameter in the narrowest dtype that holds them all exactly.

    Texts and numbers together, and integers beyond 64 bits, stay Python objects.
    """
    cells = [as_cell(value) for value in values]
    present = [cell for cell in cells if cell is not None]
    if present and all(isinstance(cell, bool) for cell in present):
        return pd.array(cells, dtype="boolean")
    if present and all(isinstance(cell, str) for cell in present):
        return pd.array(cells, dtype="string")
    if present and all(map(is_number, present)):
        return pd.array(cells, dtype=_number_dtype(present))
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def _number_dtype(numbers: Sequence[Any]) -> str:
    integers = [number for number in numbers if isinstance(number, int)]
    limit = _INT64 if len(integers) == len(numbers) else _EXACT_INTEGERS
    if not all(-limit <= number < limit for number in integers):
        return "object"
    return "Int64" if len(integers) == len(numbers) else "Float64"
