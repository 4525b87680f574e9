"""Decides by the whole content of a text table how it is separated, quoted and headed.

A wrong guess loses rows in silence: a quote that is part of a sentence swallows every line up to
the next one. So a file is read in both ways, and a doubt is an Ambiguous that names the line.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
_SPELLINGS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}

csv.field_size_limit(2**31 - 1)  # by default 131072 characters, less than a long document


class Ambiguous(Exception):
    """The content does not decide; `line` shows why, the message says what to set."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Record:
    """The fields of a row; `line` is its first line in the file and `last_line` its last."""

    line: int
    last_line: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """The records of a file, the header included, and a note if it was not read as usual."""

    records: tuple[Record, ...]
    note: str = ""


def parse_separator(text: str) -> str:
    """Return the separator that a user means by `;`, `tab` or `\\t`. Raises Ambiguous."""
    separator = _SPELLINGS.get(text.lower(), text)
    if len(separator) != 1 or separator in '"\r\n':
        raise Ambiguous(1, f"data.separator={text!r} is not a separator; use one character or tab.")
    return separator


def split_lines(text: str) -> list[str]:
    """Split at line ends, of any system, and nowhere else."""
    return re.split("\r\n|\r|\n", text)


def first_record(text: str, separator: str) -> Record:
    """Return the fields of the first line that is not blank."""
    line = re.search(r"[^\r\n]+", text)
    if line is None:
        return Record(1, 1, ())
    number = len(split_lines(text[: line.start()]))
    return Record(number, number, tuple(next(csv.reader([line[0]], delimiter=separator))))


def read_quoted(text: str, separator: str) -> tuple[tuple[Record, ...], Ambiguous | None]:
    """Read by the rules of CSV; the error, if there is one, ends the records."""
    # Strict, since a stray quote would otherwise swallow all lines up to the next quote.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    records, end = [], 0
    try:
        for fields in reader:
            if fields:
                records.append(Record(end + 1, reader.line_num, tuple(fields)))
            end = reader.line_num
    except csv.Error as error:
        message = f"{error}; expected quotes around a field, and doubled quotes inside it."
        return tuple(records), Ambiguous(end + 1, message)
    return tuple(records), None


def read_plain(text: str, separator: str) -> tuple[Record, ...]:
    """Read every line as a row, with quotes as part of the text."""
    return tuple(
        Record(number, number, tuple(line.split(separator)))
        for number, line in enumerate(split_lines(text), start=1)
        if line
    )


def read_records(
    text: str, separator: str, quoting: str | None, label_column: int | None
) -> Reading:
    """Read a table with the quoting that its content shows, or that the user has set.

    Args:
        text: the whole file.
        separator: one character.
        quoting: `csv`, `none`, or None to decide.
        label_column: the index of the column of labels, if there is one.

    Raises Ambiguous if neither way of reading fits the whole file.
    """
    if quoting == "none":
        return Reading(read_plain(text, separator))
    records, error = read_quoted(text, separator)
    if '"' not in text:
        if error is not None:
            raise error
        return Reading(records)
    if quoting == "csv":
        if error is not None:
            raise error
        return Reading(records, _multiline_note(records))
    doubt = error or _swallowed(text, separator, records, label_column)
    if doubt is None:
        return Reading(records, _multiline_note(records))
    plain = read_plain(text, separator)
    if separator == "\t" and _is_unquoted(plain):
        return Reading(
            plain,
            "quotes are read as part of the text, since every line is a row of as many columns "
            "then; data.quoting=csv reads them as quotes around a field.",
        )
    advice = " If quotes are part of the text, set data.quoting=none"
    ending = "." if error else "; if this field is right, set data.quoting=csv."
    raise Ambiguous(doubt.line, f"{doubt}{advice}{ending}")


def _multiline_note(records: Iterable[Record]) -> str:
    multiline = [record for record in records if record.last_line > record.line]
    if not multiline:
        return ""
    return (
        f"{len(multiline)} rows with quoted texts span several lines, the first from line "
        f"{multiline[0].line} to {multiline[0].last_line}."
    )


def _swallowed(
    text: str, separator: str, records: Sequence[Record], label_column: int | None
) -> Ambiguous | None:
    """Find a record of several lines of which at least two are complete rows by themselves.

    A text with line breaks has at most one: the columns before it are on its first line, those
    after it on its last one.
    """
    width = len(records[0].fields) if records else 0
    whole = [record.fields for record in records if len(record.fields) == width]
    column = label_column if label_column is not None and label_column < width else None
    labels = set() if column is None else {fields[column] for fields in whole}
    lines = split_lines(text)
    for record in records:
        if record.last_line == record.line:
            continue
        parts = [line.split(separator) for line in lines[record.line - 1 : record.last_line]]
        complete = [
            fields
            for fields in parts
            if len(fields) == width and (column is None or fields[column].strip('"') in labels)
        ]
        if len(complete) > 1:
            return Ambiguous(
                record.line,
                f"a quoted field takes in {len(parts)} lines, of which {len(complete)} look like "
                "rows of their own.",
            )
    return None


def _is_unquoted(records: Sequence[Record]) -> bool:
    """Whether all lines have as many columns, and no field is written by the rules of CSV."""
    width = len(records[0].fields)
    return all(len(record.fields) == width for record in records) and not any(
        len(field) > 3 and field[0] == field[-1] == '"' and '""' in field[1:-1]  # noqa: PLR2004
        for record in records
        for field in record.fields
    )


def find_separator(text: str, own: str, columns: Sequence[str]) -> str | None:
    """Return the separator whose header has the columns; the file ending's own comes first."""
    for separator in (own, *(other for other in SEPARATORS if other != own)):
        header = first_record(text, separator).fields
        if all(name in header for name in columns):
            return separator
    return None


def separator_by_width(text: str, width: int) -> str:
    """Return the separator that gives every row the same number of columns, `width` or more.

    Raises Ambiguous if none does, or several do.
    """
    fitting = [separator for separator in SEPARATORS if _has_even_rows(text, separator, width)]
    if len(fitting) == 1:
        return fitting[0]
    names = " and ".join(SEPARATORS[separator] for separator in fitting)
    problem = f"{names} fit" if fitting else "no separator gives all rows as many columns"
    raise Ambiguous(1, f"{problem}; set data.separator to the right one, such as ';' or tab.")


def _has_even_rows(text: str, separator: str, width: int) -> bool:
    records, error = read_quoted(text, separator)
    if error is not None:
        records = read_plain(text, separator)
    widths = {len(record.fields) for record in records}
    return len(widths) == 1 and min(widths) >= width
