"""Writes a table as Markdown, CSV, LaTeX, XLSX and JSON: the same numbers, with text escaped."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import xlsxwriter

from trytable.files import write_atomic
from trytable.records import is_number
from trytable.results.tables.trials import Column, TableRow, TryTable
from trytable.results.text import escape
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell, format_value

_LATEX_HEAD = r"""% Put it into a document with \usepackage[T1]{fontenc}, \usepackage{textcomp} and
% \usepackage{booktabs}. To see it alone:
% \documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{booktabs}
% \begin{document}\tiny\noindent\input{try_table}\end{document}
"""


_LATEX_HEAD_UNICODE = r"""% For xelatex or lualatex: put it into a document with
% \usepackage{booktabs}, \usepackage{fontspec} and a font that has its letters, such as
% \setmainfont{Noto Serif CJK SC}.
"""


def to_markdown(table: TryTable, limit: int | None = None) -> str:
    """Return a pipe table of the first `limit` rows, with numbers aligned right."""
    lines = [
        [escape.markdown(column.title) for column in table.columns],
        ["---:" if _is_numeric(table, index) else "---" for index in range(len(table.columns))],
        *([_in_markdown(*entry) for entry in _entries(table, row)] for row in table.rows[:limit]),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_csv(table: TryTable) -> str:
    """Return comma-separated text with unrounded numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(escape.spreadsheet(column.title) for column in table.columns)
    for row in table.rows:
        writer.writerow(_in_csv(cell) for cell in row.cells)
    return text.getvalue()


def to_latex(table: TryTable) -> str:
    """Return a booktabs tabular for pdflatex, with numbers aligned right.

    A table in Chinese keeps its letters and needs xelatex or lualatex.
    """
    is_unicode = table.language != "en"
    numeric = [_is_numeric(table, index) for index in range(len(table.columns))]
    titles = (escape.latex(column.title, keeps_letters=is_unicode) for column in table.columns)
    rows = ((_in_latex(*entry, is_unicode) for entry in _entries(table, row)) for row in table.rows)
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        *(" & ".join(cells) + r" \\" for cells in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    head = _LATEX_HEAD_UNICODE if is_unicode else _LATEX_HEAD
    return head + "\n".join(lines) + "\n"


def to_xlsx(table: TryTable) -> bytes:
    """Return a workbook of one sheet; numbers are stored unrounded and text never as a formula."""
    content = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(content, options) as book:
        sheet = book.add_worksheet("Try table")
        sheet.freeze_panes(1, 1)
        bold = book.add_format({"bold": True})
        for index, column in enumerate(table.columns):
            sheet.write_string(0, index, column.title, bold)
            style = book.add_format({"num_format": _XLSX_FORMATS.get(column.kind, "General")})
            for line, row in enumerate(table.rows, start=1):
                _write_cell(sheet, (line, index), row.cells[index], style)
        sheet.autofit()
    return content.getvalue()


def to_json(table: TryTable) -> str:
    """Return JSON with unrounded numbers.

    Each row has its parameters in an object of their own, so that no name can clash.
    """
    rows = [_in_json(table, row) for row in table.rows]
    document = {"study": table.study, "parameters": table.parameters, "rows": rows}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def note_markdown(table: TryTable, limit: int = 30, words: Words = ENGLISH) -> str:
    """Return Markdown of the first `limit` rows, for the study's note in the dashboard."""
    rest = len(table.rows) - limit
    footer = "\n" + words.text("table.more", count=rest) + "\n" if rest > 0 else ""
    title = words.text("table.note", study=escape.markdown(table.study))
    return f"### {title}\n\n{to_markdown(table, limit)}{footer}"


FORMATS: dict[str, Callable[[TryTable], str | bytes]] = {
    "md": to_markdown,
    "csv": to_csv,
    "tex": to_latex,
    "xlsx": to_xlsx,
    "json": to_json,
}
"""The formats of write_tables, by file ending."""


def write_tables(
    table: TryTable, folder: Path, formats: Iterable[str] = FORMATS, stem: str = "try_table"
) -> list[Path]:
    """Write STEM.FORMAT for each format, each atomically, and return the paths.

    Raises ValueError for an unknown format, before anything is written, and OSError.
    """
    names = tuple(dict.fromkeys(formats))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        unknown_names = ", ".join(map(repr, unknown))
        raise ValueError(f"Unknown format {unknown_names}. Allowed: {', '.join(FORMATS)}.")
    paths = []
    for name in names:
        content = FORMATS[name](table)
        paths.append(folder / f"{stem}.{name}")
        write_atomic(paths[-1], content if isinstance(content, bytes) else content.encode())
    return paths


def numeric_columns(table: TryTable) -> frozenset[str]:
    """Return the keys of the columns that hold only numbers and blanks, to be aligned right."""
    columns = enumerate(table.columns)
    return frozenset(column.key for index, column in columns if _is_numeric(table, index))


STAR_LATEX = r"\star"

_XLSX_FORMATS = {
    "p": "0.000",
    "accuracy": "0.000",
    "difference": "+0.000;-0.000;0.000",
    "share": "0.00##%",
    "seconds": "0.0",
}


def _entries(table: TryTable, row: TableRow) -> list[tuple[Cell, Column]]:
    return list(zip(row.cells, table.columns, strict=True))


def _is_numeric(table: TryTable, index: int) -> bool:
    if table.columns[index].kind == "parameter":
        cells = [row.cells[index] for row in table.rows if row.cells[index] is not None]
        return bool(cells) and all(map(is_number, cells))
    return table.columns[index].kind not in ("try", "findings", "text", "state")


def _in_markdown(cell: Cell, column: Column) -> str:
    return escape.markdown(format_value(cell, column.kind))


def _in_latex(cell: Cell, column: Column, keeps_letters: bool) -> str:
    if column.kind == "stars" and isinstance(cell, int):
        return f"${STAR_LATEX * cell}$"  # no font that every LaTeX has contains an empty star
    text = format_value(cell, column.kind)
    if is_number(cell) and column.kind != "try":
        return text.replace("-", "$-$", 1).replace("%", r"\%")
    return escape.latex(text, keeps_letters=keeps_letters)


def _in_csv(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case str():
            return escape.spreadsheet(cell)
        case _:
            return repr(cell)


def _write_cell(
    sheet: xlsxwriter.worksheet.Worksheet,
    position: tuple[int, int],
    cell: Cell,
    style: xlsxwriter.format.Format,
) -> None:
    match cell:
        case None:
            pass
        case bool():
            sheet.write_boolean(*position, cell)
        case str():
            sheet.write_string(*position, cell)
        case _:
            sheet.write_number(*position, cell, style)


def _in_json(table: TryTable, row: TableRow) -> dict[str, object]:
    entries = _entries(table, row)
    parameters = dict(zip(table.parameters, _parameter_cells(entries), strict=True))
    outcome = {column.key: cell for cell, column in entries if column.kind != "parameter"}
    return {
        **outcome,
        "state": row.status,
        "reason": row.reason,
        "attempts": row.attempts,
        "is_baseline": row.is_baseline,
        "parameters": parameters,
    }


def _parameter_cells(entries: list[tuple[Cell, Column]]) -> list[Cell]:
    return [cell for cell, column in entries if column.kind == "parameter"]
