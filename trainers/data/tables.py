"""Reads tables (CSV, TSV, JSON, Parquet, Excel) into rows by the columns of the data source."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trytable.records import UNLABELLED, DataSource
from trytable.trainers.data import dialect
from trytable.trainers.data.dialect import Ambiguous, Record
from trytable.trainers.data.splits import Rows

_SHOWN_WIDTH = 60


@dataclass(frozen=True)
class _Columns:
    """The indices of the columns; label None: no labels. `header` is its number of rows."""

    text: int
    pair: int | None
    label: int | None
    header: int


def read_separated(text: str, own: str, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    """Read a table whose columns are separated by `own`, unless the content shows otherwise."""
    try:
        separator = _separator(text, own, source, is_test=is_test)
        header = dialect.first_record(text, separator)
        columns = _find_columns(header, source, rows, is_test=is_test)
        if columns is None:
            return
        reading = dialect.read_records(text, separator, source.quoting, columns.label)
        if _is_header(reading.records, columns, source, rows):
            columns = _Columns(columns.text, columns.pair, columns.label, 1)
    except Ambiguous as error:
        rows.add_mistake(error.line, str(error))
        return
    if separator != own:
        name = dialect.SEPARATORS.get(separator, repr(separator))
        rows.notes.append(f"columns are separated by {name}.")
    if reading.note:
        rows.notes.append(reading.note)
        lines = len(dialect.split_lines(text.rstrip("\r\n")))
        rows.extent = f"{len(reading.records) - columns.header} rows from {lines} lines"
    for record in reading.records[columns.header :]:
        _add_fields(record, columns, len(header.fields), source, rows)


def column_names(source: DataSource) -> list[str]:
    return [name for name in (source.text, source.text_pair, source.label) if name is not None]


def _separator(text: str, own: str, source: DataSource, *, is_test: bool) -> str:
    if source.separator is not None:
        return dialect.parse_separator(source.separator)
    names = column_names(source)
    separator = dialect.find_separator(text, own, names)
    if separator is None and is_test:
        separator = dialect.find_separator(text, own, names[:-1])
    numbers = [int(name) for name in names if name.isdecimal()]
    if separator is None and numbers:
        separator = dialect.separator_by_width(text, max(numbers))
    return separator or own


def _find_columns(
    header: Record, source: DataSource, rows: Rows, *, is_test: bool
) -> _Columns | None:
    """Find the columns in the first record; None with the mistake noted."""
    names = column_names(source)
    indices = {name: _index(header.fields, name, source) for name in names}
    is_unlabelled = is_test and indices[source.label] is None
    needed = names[:-1] if is_unlabelled else names
    missing = [name for name in needed if indices[name] is None]
    if missing:
        rows.add_mistake(header.line, _missing_text(header.fields, missing, source))
        return None
    text = indices[source.text]
    assert text is not None, "a missing column has been noted"
    by_name = [name for name in needed if _is_named(header.fields, name, source)]
    if not _are_unique(header.fields, by_name, header.line, rows):
        return None
    if source.header is False and by_name:
        rows.add_mistake(
            header.line,
            "data.header=false needs columns by number, from 1, such as data.text=2 data.label=1.",
        )
        return None
    pair = None if source.text_pair is None else indices[source.text_pair]
    label = indices[source.label]
    return _Columns(text, pair, label, int(bool(by_name) or source.header is True))


def _index(fields: Sequence[str], name: str, source: DataSource) -> int | None:
    """Return the index of a column, by its name or else by its number from 1."""
    if _is_named(fields, name, source):
        return fields.index(name)
    if name.isdecimal() and 1 <= int(name) <= len(fields):
        return int(name) - 1
    return None


def _is_named(fields: Sequence[str], name: str, source: DataSource) -> bool:
    """Whether the first record is a header with this name.

    `1` is a name only in a header of numbers, as pandas writes it, or if the user says that there
    is a header; else it is a column's number, and a first row may well have 1 as its label.
    """
    if name not in fields or not name.isdecimal():
        return name in fields
    numbers = [[str(index) for index in range(first, first + len(fields))] for first in (0, 1)]
    return source.header is True or (source.header is None and list(fields) in numbers)


def absence(
    noun: str, missing: Sequence[str], present: Iterable[object], source: DataSource
) -> str:
    """Return the message for columns that a table lacks: those it has, and what to set."""
    keys = {source.label: "label", source.text_pair: "text_pair", source.text: "text"}
    settings = " and ".join(f"data.{keys[name]}" for name in missing)
    present_names = ", ".join(map(str, present)) or "none"
    return (
        f"no {noun} {', '.join(map(repr, missing))}; found: {present_names}. Set "
        f"{settings} to the right {noun}{'s' if len(missing) > 1 else ''}."
    )


def _missing_text(fields: Sequence[str], missing: Sequence[str], source: DataSource) -> str:
    columns = ", ".join(map(repr, missing))
    looks_like_data = any(_is_number(field) or len(field.split()) > 4 for field in fields)  # noqa: PLR2004 - words
    if looks_like_data and len(fields) > 1:
        longest = max(range(len(fields)), key=lambda index: len(fields[index])) + 1
        return (
            f"the file has no header: no column {columns} in the first line, which is "
            f"{shorten(', '.join(fields))}. Set the columns by number, from 1, such as "
            f"data.text={longest} data.label={1 if longest > 1 else 2}."
        )
    return absence("column", missing, fields, source)


def _are_unique(fields: Sequence[str], needed: Sequence[str], line: int, rows: Rows) -> bool:
    repeated = [name for name in needed if fields.count(name) > 1]
    if repeated:
        columns = ", ".join(map(repr, repeated))
        rows.add_mistake(line, f"more than one column {columns}; keep one of each.")
    return not repeated


def _is_header(
    records: Sequence[Record], columns: _Columns, source: DataSource, rows: Rows
) -> bool:
    """Whether the first record holds names: for columns by number, its label shows it.

    Raises Ambiguous for a first label that is a word and no other row's.
    """
    if columns.header or source.header is not None or columns.label is None or len(records) < 2:  # noqa: PLR2004 - nothing to compare
        return bool(columns.header)
    labels = [r.fields[columns.label] for r in records if columns.label < len(r.fields)]
    first, remaining = labels[0], set(labels[1:])
    if first in remaining or _is_number(first):
        return False
    if all(map(_is_number, remaining)):
        rows.notes.append(f"the first line, {shorten(', '.join(records[0].fields))}, is a header.")
        return True
    raise Ambiguous(
        records[0].line,
        f"this line is a header, or the only row of class {first!r}; set data.header to true or "
        "false.",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_WIDTH else f"{text[:_SHOWN_WIDTH]}..."


def _add_fields(
    record: Record, columns: _Columns, width: int, source: DataSource, rows: Rows
) -> None:
    fields = record.fields
    if len(fields) > width:
        rows.add_mistake(
            record.line,
            "more fields than columns; expected quotes around a text that contains the delimiter.",
            "more fields",
        )
        return
    names = {source.text: columns.text, source.label: columns.label}
    if source.text_pair is not None:
        names[source.text_pair] = columns.pair
    missing = [name for name, index in names.items() if index is not None and index >= len(fields)]
    if missing:
        _add_missing(record.line, missing, rows)
        return
    pair = None if columns.pair is None else fields[columns.pair]
    label = str(UNLABELLED) if columns.label is None else fields[columns.label]
    rows.add(record.line, label, fields[columns.text], pair)


def _add_missing(line: int, names: Sequence[str], rows: Rows) -> None:
    columns = ", ".join(map(repr, names))
    rows.add_mistake(
        line, f"no value for {columns}; expected a string or a number.", f"no value {columns}"
    )


def add_table(
    names: Iterable[str],
    records: Iterable[Mapping[str, Any]],
    source: DataSource,
    rows: Rows,
    *,
    is_test: bool,
    first_line: int = 1,
) -> None:
    """Add the records of a table with these columns; a test table needs no label column."""
    header = list(names)
    labelled = not (is_test and source.label not in header)
    needed = column_names(source) if labelled else column_names(source)[:-1]
    missing = [name for name in needed if name not in header]
    if missing:
        rows.add_mistake(1, absence("column", missing, header, source))
        return
    if not _are_unique(header, needed, 1, rows):
        return
    for number, record in enumerate(records, start=first_line):
        if any(value is not None for value in record.values()):
            add_record(number, record, source, rows, labelled=labelled)
        else:
            rows.add_mistake(number, "the row is empty; expected a text.", "empty row")


def add_record(
    line: int, record: Mapping[str, Any], source: DataSource, rows: Rows, *, labelled: bool
) -> None:
    needed = column_names(source) if labelled else column_names(source)[:-1]
    if labelled and isinstance(record.get(source.label), list):
        rows.add_mistake(
            line,
            f"no value for {source.label!r}: it holds a list. Several labels of one text are "
            "multi-label classification; expected one label, a string or a number.",
            "list of labels",
        )
        return
    values = {name: _cell_text(record.get(name)) for name in needed}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        _add_missing(line, missing, rows)
        return
    words = {name: value for name, value in values.items() if value is not None}
    pair = None if source.text_pair is None else words[source.text_pair]
    rows.add(line, words.get(source.label, str(UNLABELLED)), words[source.text], pair)


def _cell_text(value: object) -> str | None:
    """Return a cell as text, or None if it is neither a string nor a number.

    1.0 becomes `1`: a column with gaps stores whole numbers as floats.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, str | int) else None
