"""Writes a table as Markdown, CSV, LaTeX, XLSX and JSON: the same numbers, with text escaped."""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from trytable.files import write_atomic
from trytable.records import is_number
from trytable.results.tables.types import Column, TableRow, TryTable, python_values
from trytable.results.text import escape
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell

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
    # pandas' writer needs tabulate, and pads the cells.
    first = table if limit is None else table.head(limit)
    columns = [
        [
            escape.markdown(column.title),
            "---:" if column.key in table.numeric else "---",
            *map(escape.markdown, texts),
        ]
        for column, texts in zip(first.columns, first.texts, strict=True)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in zip(*columns, strict=True))


def to_csv(table: TryTable) -> str:
    """Return comma-separated text with unrounded numbers."""
    titles = [escape.spreadsheet(column.title) for column in table.columns]
    cells = table.cells.apply(_csv_column)
    return str(cells.to_csv(header=titles, index=False, lineterminator="\n"))


def to_latex(table: TryTable) -> str:
    """Return a booktabs tabular for pdflatex, with numbers aligned right.

    A table in Chinese keeps its letters and needs xelatex or lualatex.
    """
    # pandas' writer makes the same lines in ten times the time.
    is_unicode = table.language != "en"
    titles = (escape.latex(column.title, keeps_letters=is_unicode) for column in table.columns)
    cells = (
        _latex_column(*column, is_unicode)
        for column in zip(table.columns, table.values, table.texts, strict=True)
    )
    alignment = "".join("r" if column.key in table.numeric else "l" for column in table.columns)
    lines = [
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in zip(*cells, strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    head = _LATEX_HEAD_UNICODE if is_unicode else _LATEX_HEAD
    return head + "\n".join(lines) + "\n"


def to_xlsx(table: TryTable) -> bytes:
    """Return a workbook of one sheet; numbers are stored unrounded and text never as a formula."""
    content = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with pd.ExcelWriter(content, engine="xlsxwriter", engine_kwargs={"options": options}) as writer:
        layout = {"startrow": 1, "header": False, "index": False, "freeze_panes": (1, 1)}
        cells = table.cells.astype(object)  # pandas reads nullable dtypes at half the speed
        cells.to_excel(writer, sheet_name=_SHEET, **layout)
        book, sheet = writer.book, writer.sheets[_SHEET]
        bold = book.add_format({"bold": True})
        for index, column in enumerate(table.columns):
            sheet.write_string(0, index, column.title, bold)
            style = book.add_format({"num_format": _XLSX_FORMATS.get(column.kind, "General")})
            sheet.set_column(index, index, None, style)
        sheet.autofit()
    return content.getvalue()


def to_json(table: TryTable) -> str:
    """Return JSON with unrounded numbers.

    Each row has its parameters in an object of their own, so that no name can clash.
    """
    # pandas' own writer rounds to 15 digits.
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


STAR_LATEX = r"\star"

_SHEET = "Try table"

_XLSX_FORMATS = {
    "p": "0.000",
    "accuracy": "0.000",
    "difference": "+0.000;-0.000;0.000",
    "share": "0.00##%",
    "seconds": "0.0",
}


def _csv_column(column: pd.Series) -> pd.Series:
    """Return a column as it is written: texts without formulas, truth values in lower case."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column
    return pd.Series([_in_csv(cell) for cell in python_values(column)], column.index, dtype=object)


def _in_csv(cell: Cell) -> Cell:
    match cell:
        case bool():
            return "true" if cell else "false"
        case str():
            return escape.spreadsheet(cell)
        case _:
            return cell


def _latex_column(
    column: Column, cells: Sequence[Cell], texts: Sequence[str], keeps_letters: bool
) -> list[str]:
    return [
        _in_latex(cell, text, column, keeps_letters)
        for cell, text in zip(cells, texts, strict=True)
    ]


def _in_latex(cell: Cell, text: str, column: Column, keeps_letters: bool) -> str:
    if column.kind == "stars" and isinstance(cell, int):
        return f"${STAR_LATEX * cell}$"  # no font that every LaTeX has contains an empty star
    if is_number(cell) and column.kind != "try":
        return text.replace("-", "$-$", 1).replace("%", r"\%")
    return escape.latex(text, keeps_letters=keeps_letters)


def _in_json(table: TryTable, row: TableRow) -> dict[str, object]:
    entries = list(zip(row.cells, table.columns, strict=True))
    settings = [cell for cell, column in entries if column.kind == "parameter"]
    parameters = dict(zip(table.parameters, settings, strict=True))
    outcome = {column.key: cell for cell, column in entries if column.kind != "parameter"}
    return {
        **outcome,
        "state": row.status,
        "reason": row.reason,
        "attempts": row.attempts,
        "is_baseline": row.is_baseline,
        "parameters": parameters,
    }
