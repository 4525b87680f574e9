"""The formats: the same numbers read back from each, and text that stays text."""

import csv
import html
import io
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.results.programs import needs
from tests.results.studies import Maker, Planned, report_content
from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.statistics import mean_over_seeds
from trytable.results.analysis.types import Confirmation, ConfirmedPoint
from trytable.results.frames.frames import StudyFrames
from trytable.results.report.html import try_table_html
from trytable.results.report.view import Findings
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import AttemptRow, FindingRow
from trytable.results.storage.study import EpochResult, StudyResult, TrialResult
from trytable.results.tables.formats import (
    FORMATS,
    note_markdown,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
    to_xlsx,
    write_tables,
)
from trytable.results.tables.trials import try_table
from trytable.results.tables.types import TryTable
from trytable.results.text.catalog import LANGUAGES, Words
from trytable.results.text.format import Cell, format_value

HOSTILE = (
    "<script>alert(1)</script>",
    "</td><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1",
    "\\input{/etc/passwd}",
    "$\\write18{id}$",
    "50% & #1_a^b~{c}",
    "a | b || c",
    "one\ntwo\r\nthree",
    "`code` **bold** [link](http://x.invalid) ![i](http://x.invalid)",
    "http://x.invalid/",
    "don't -- ,, '' \"quoted\" <<guillemets>> ?` !`",
    "学习率 é ß Ω 🙂",
    "\x00\x07\x1b[31m \ud800 \uffff",
    "&lt;not decoded twice&gt; &amp;",
    "'",
    "",
)


def _try(
    number: int,
    values: dict[str, Any],
    accuracies: Sequence[tuple[float | None, float | None]],
    trained: int | None = None,
    findings: Sequence[tuple[str, str]] = (),
    *,
    predicted: Sequence[int] = (),
    pruned: bool = False,
) -> Any:
    curve = tuple(
        EpochResult(epoch, value=dev, dev_accuracy=dev, probe_accuracy=train)
        for epoch, (dev, train) in enumerate(accuracies, start=1)
    )
    known = [(e.dev_accuracy, -e.epoch) for e in curve if e.dev_accuracy is not None]
    best = max(known, default=None)
    return TrialResult(
        number=number,
        uid=None,
        status="failed" if not known else "pruned" if pruned else "completed",
        reason="",
        source="baseline" if number == 0 else "sampler",
        params=values,
        distributions={},
        requested={},
        effective={},
        curve=curve,
        best_epoch=-best[1] if best else None,
        best_value=best[0] if best else None,
        best_dev_accuracy=best[0] if best else None,
        test_accuracy=curve[0].probe_accuracy if curve else None,
        attempts=(_attempt(trained),),
        findings=tuple(FindingRow("u", 1, kind, severity, "", {}) for kind, severity in findings),
        seconds=number / 7 if number % 3 else None,
        predictions={"dev": tuple(predicted)} if predicted else {},
    )


def _attempt(trained: int | None) -> AttemptRow:
    return AttemptRow(
        "u", 1, "1", "cpu", 1, 0.0, 1 / 3, parameters=1_000_003, trainable_parameters=trained
    )


_SHARES = st.none() | st.floats(0, 1)
_NUMBERS = st.floats(-1e12, 1e12, allow_nan=False) | st.integers(-(10**9), 10**9)
_TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=20)
_TRIES = st.lists(
    st.tuples(
        _NUMBERS,
        _TEXTS,
        st.lists(st.tuples(_SHARES, _SHARES), max_size=4),
        st.none() | st.integers(0, 1_000_003),
        st.lists(st.tuples(_TEXTS, st.sampled_from(["info", "warning", "error"])), max_size=3),
        st.sampled_from([0, 9]).flatmap(
            lambda n: st.lists(st.integers(0, 2), min_size=n, max_size=n)
        ),
        st.booleans(),
    ),
    max_size=8,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[TryTable, Findings]:
    drawn = draw(_TRIES)
    tries = tuple(
        _try(number, {"lr": lr, "text|<b>=": text}, *rest, predicted=predicted, pruned=pruned)
        for number, (lr, text, *rest, predicted, pruned) in enumerate(drawn)
    )
    study = StudyResult(
        "s", None, DEFAULT_OBJECTIVE, {}, {}, None, tries, gold={"dev": (0, 1, 2) * 3}
    )
    seeds = draw(st.dictionaries(st.integers(0, 99), st.floats(0, 1), max_size=3))
    confirmed = Confirmation("s@confirm", (), 0, None, None, None, 0)
    if seeds:
        mean = mean_over_seeds(tuple(seeds.values()))
        confirmed = replace(confirmed, points=(ConfirmedPoint(0, seeds, mean, None, None),))
    words = Words(draw(st.sampled_from(LANGUAGES)))
    analysis = analyze(study, words.language, confirmed)
    frames = StudyFrames(study, analysis, draw(st.booleans()), words.language)
    table = try_table(frames, words)
    return table, analysis.findings


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_the_same_cells_come_back_from_every_format(drawn: tuple[TryTable, Findings]) -> None:
    table, found = drawn
    exact = [_exact(row.cells) for row in table.rows]
    assert _from_csv(table) == exact
    assert _from_json(table) == [list(row.cells) for row in table.rows]
    assert _from_xlsx(table) == exact
    texts = [_texts(table, row.cells) for row in table.rows]
    assert _from_markdown(table) == texts
    page = try_table_html(table, found, Words(table.language))
    assert [[text for text, _ in cells] for cells in _from_html(page)] == texts
    # What a column is sorted by is the number itself, not the rounded one.
    sorts = [["" if cell is None else str(cell) for cell in row.cells] for row in table.rows]
    sortable = [i for i, one in enumerate(table.columns) if one.kind not in ("findings", "state")]
    assert [[cells[i][1] for i in sortable] for cells in _from_html(page)] == [
        [" ".join(row[i].split()) for i in sortable] for row in sorts
    ]
    assert len(_from_latex(table)) == len(texts)
    for read, meant in zip(_from_latex(table), texts, strict=True):
        numeric = [index for index, text in enumerate(meant) if _is_read_back(text)]
        assert [read[index] for index in numeric] == [meant[index] for index in numeric]
        assert [not text for text in read] == [not text for text in meant]


@given(st.floats(-1e15, 1e15, allow_nan=False))
@example(0.0002)
@example(0.00099996)
@example(1e-5)
@example(123456789.0)
@example(-0.0)
def test_a_shown_parameter_is_close_to_the_number(number: float) -> None:
    text = format_value(number, "parameter")
    assert float(text) == pytest.approx(number, rel=6e-4)
    assert not re.search(r"e[+]|e-0", text)


def test_how_numbers_are_shown() -> None:
    assert format_value(2e-4, "parameter") == "2e-4"
    assert format_value(1e-5, "parameter") == "1e-5"
    assert format_value(0.3, "parameter") == "0.3"
    assert format_value(32, "parameter") == "32"
    assert format_value(1e9, "parameter") == "1e9"
    assert format_value(2 / 3, "accuracy") == "0.667"
    assert format_value(-0.0001, "difference") == "0.000"
    assert format_value(0.0126, "difference") == "+0.013"
    assert format_value(31.26, "seconds") == "31.3"
    assert format_value(1.0, "share") == "100%"
    assert format_value(0.46826, "share") == "46.83%"
    assert format_value(0.0015, "share") == "0.15%"
    assert format_value(4711.6, "seconds") == "4712"
    assert format_value(None, "accuracy") == ""
    assert format_value(True, "parameter") == "true"


def test_markdown_as_people_see_it(full: Maker) -> None:
    lines = to_markdown(_table(full)).splitlines()
    titles = [title.strip() for title in lines[0].strip("|").split("|")]
    assert titles == [
        "try", "dropout", "epochs run", "best dev acc", "95% low", "95% high", "at epoch",
        "last dev acc", "train acc", "test acc", "gap", "vs Try 1", "p vs best", "group", "stars",
        "vs best at its epoch", "vs Try 1 at its epoch", "trained", "seconds", "device seconds",
        "findings", "state",
    ]  # fmt: skip
    assert lines[1] == "| --- |" + " ---: |" * 19 + " --- | --- |"
    assert lines[2].startswith(
        "| Try 2 | 0.3 | 3 | 0.640 | 0.597 | 0.681 | 2 | 0.620 | 0.700 |  | +0.060 | +0.040 |"
    )
    assert lines[3].startswith("| Try 1 | 0.1 | 2 | 0.600 | 0.556 | 0.642 | 2 | 0.600 | 0.700 | ")
    assert "| 0.580 | +0.100 | 0.000 |  |  | ★★★☆☆ |" in lines[3]
    assert lines[-1].endswith("|  |  |  |  |  |  |  |  |  |  |  |  | waiting |")


def test_findings_and_the_trained_share_in_every_text(maker: Maker) -> None:
    marks = (("mismatch", "error", "lr.peak"), ("oom_retry", "warning", "micro-batch 32 -> 8"))
    maker.add(Planned({"lr": 0.1}, (0.9,), findings=marks))
    table = _table(maker)
    cells = "| 50% | 10.0 | 10.0 | mismatch (error), oom_retry (warning) | completed |"
    assert to_markdown(table).splitlines()[-1].endswith(cells)
    assert r"50\% & 10.0 & 10.0 & mismatch (error), oom\_retry (warning) &" in to_latex(table)
    assert "0.5,10.0,10.0," in to_csv(table)
    (row,) = json.loads(to_json(table))["rows"]
    assert (row["trained"], row["findings"]) == (0.5, "mismatch (error), oom_retry (warning)")


def test_markdown_escapes() -> None:
    lines = to_markdown(_hostile()).splitlines()
    assert len(lines) == len(HOSTILE) + 2
    text = "\n".join(lines)
    assert not re.search(r"<(script|img|td)", text)
    assert not re.search(r"(?<!\\)[`\[*]", text)
    widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines}
    assert len(widths) == 1, "a text must not open a new cell"


def test_csv_cells_are_no_formulas() -> None:
    text = to_csv(_hostile())
    rows = list(csv.reader(io.StringIO(text, newline="")))
    column = rows[0].index("'=knob")
    cells = [row[column] for row in rows[1:]]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert "'=cmd|' /C calc'!A0" in cells
    assert "one\ntwo\nthree" in cells


def test_xlsx_cells_are_numbers_and_strings() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(to_xlsx(_hostile()))).active
    kinds = {cell.data_type for row in sheet.iter_rows() for cell in row}
    assert kinds <= {"s", "n"}, "no formula, no error value"
    assert not [cell for row in sheet.iter_rows() for cell in row if cell.hyperlink]
    accuracies = [row[4] for row in sheet.iter_rows(min_row=2)]
    assert {type(cell.value) for cell in accuracies} <= {float, int}
    assert {cell.number_format for cell in accuracies} == {"0.000"}


def test_json_keeps_everything_apart(full: Maker) -> None:
    document = json.loads(to_json(_table(full)))
    assert (document["study"], document["parameters"]) == ("dropout", ["dropout"])
    failed = next(row for row in document["rows"] if row["try"] == 5)
    assert failed["state"] == "failed"
    assert (failed["reason"], failed["attempts"]) == ("CUDA out of memory", 3)
    assert failed["best_dev_accuracy"] is None
    assert failed["parameters"] == {"dropout": 0.95}


def test_latex_compiles_and_runs_nothing(folder: Path) -> None:
    _compile(needs("pdflatex"), folder.parent, to_latex(_hostile()))
    text = (folder.parent / "page.log").read_text(errors="replace")
    assert "runsystem(id)" not in text
    assert "/etc/passwd" not in text


def test_latex_of_an_empty_study_compiles(maker: Maker, tmp_path: Path) -> None:
    _compile(needs("pdflatex"), tmp_path, to_latex(_table(maker)))


def test_a_chinese_table_keeps_its_letters_and_says_what_compiles_it(full: Maker) -> None:
    text = to_latex(report_content(read_study(full.url, full.name), Words("zh")).table)
    assert text.startswith("% For xelatex or lualatex")
    assert "验证准确率" in text
    assert "[U+" not in text


def test_the_note_is_short(maker: Maker) -> None:
    maker.add(*(Planned({"dropout": n / 100}, (n / 100,)) for n in range(5)))
    text = note_markdown(_table(maker), limit=3)
    assert [line for line in text.splitlines() if line.startswith("| Try")][-1][:8] == "| Try 3 "
    assert "and 2 more." in text
    assert "more." not in note_markdown(_table(maker), limit=5)


def test_write_tables(full: Maker, folder: Path) -> None:
    paths = write_tables(_table(full), folder / "a" / "tables")
    assert [path.name for path in paths] == [f"try_table.{name}" for name in FORMATS]
    assert sorted((folder / "a" / "tables").iterdir()) == sorted(paths)
    assert paths[0].read_text() == to_markdown(_table(full))


def test_an_unknown_format_writes_nothing(full: Maker, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"'docx'.*md, csv, tex, xlsx, json"):
        write_tables(_table(full), folder / "tables", ["md", "docx"])
    assert not (folder / "tables").exists()


def test_a_table_that_cannot_be_written_leaves_nothing_behind(full: Maker, folder: Path) -> None:
    (folder / "try_table.md" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_tables(_table(full), folder, ["md"])
    assert not list(folder.glob(".*"))


def _hostile() -> TryTable:
    tries = tuple(
        _try(number, {"=knob": text, "lr": 10.0**-number}, [(number / 100, None)])
        for number, text in enumerate(HOSTILE)
    )
    study = StudyResult("<b>=s", None, DEFAULT_OBJECTIVE, {}, {}, None, tries)
    return report_content(study).table


def _table(maker: Maker) -> TryTable:
    return report_content(read_study(maker.url, maker.name)).table


def _exact(cells: tuple[Cell, ...]) -> list[Cell]:
    """An empty text and a missing value are both a blank cell."""
    return [None if cell == "" else cell for cell in cells]


def _from_csv(table: TryTable) -> list[list[Cell]]:
    rows = list(csv.reader(io.StringIO(to_csv(table), newline="")))[1:]
    return [
        [_parsed(text, cell) for text, cell in zip(texts, row.cells, strict=True)]
        for texts, row in zip(rows, table.rows, strict=True)
    ]


def _parsed(text: str, meant: Cell) -> Cell:
    if text == "":
        return None
    if isinstance(meant, str):
        return text if text == meant else text.removeprefix("'")
    return json.loads(text)  # type: ignore[no-any-return]  # a number


def _from_json(table: TryTable) -> list[list[Cell]]:
    read = []
    for row, meant in zip(json.loads(to_json(table))["rows"], table.rows, strict=True):
        cells = {**row, **{f"parameter:{name}": cell for name, cell in row["parameters"].items()}}
        assert cells["state"] == meant.status, "the state stands apart from its reason here"
        read.append([cells[column.key] for column in table.columns[:-1]] + [meant.cells[-1]])
    return read


def _from_xlsx(table: TryTable) -> list[list[Cell]]:
    sheet = openpyxl.load_workbook(io.BytesIO(to_xlsx(table))).active
    rows = sheet.iter_rows(min_row=2, max_row=1 + len(table.rows), values_only=True)
    return [
        [_from_sheet(cell, meant) for cell, meant in zip(cells, row.cells, strict=True)]
        for cells, row in zip(rows, table.rows, strict=True)
    ]


def _from_sheet(cell: Any, meant: Cell) -> Cell:
    if isinstance(meant, int | float):
        return meant if cell == pytest.approx(meant, rel=1e-14) else cell
    return None if cell == "" else cell


def _from_markdown(table: TryTable) -> list[list[str]]:
    lines = to_markdown(table).splitlines()[2:]
    return [
        [_unescaped(text) for text in re.split(r" (?<!\\)\| ", f"{line[1:-1]}| ")[:-1]]
        for line in lines
    ]


class _Page(HTMLParser):
    """The body rows of a table: of each cell its text and what it is sorted by."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self._parts: list[str] = []
        self._sort: str | None = None
        self._in_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_body = self._in_body or tag == "tbody"
        if tag == "tr" and self._in_body:
            self.rows.append([])
        if tag in ("td", "th"):
            self._parts, self._sort = [], dict(attrs).get("data-sort")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._in_body:
            text = " ".join("".join(self._parts).split())
            sort = text if self._sort is None else " ".join(self._sort.split())
            self.rows[-1].append((text, sort))

    def handle_data(self, data: str) -> None:
        self._parts.append(data)


def _from_html(page: str) -> list[list[tuple[str, str]]]:
    parser = _Page()
    parser.feed(page)
    return parser.rows


def _unescaped(text: str) -> str:
    return html.unescape(re.sub(r"\\(.)", r"\1", text)).strip()


def _from_latex(table: TryTable) -> list[list[str]]:
    body = to_latex(table).split("\\midrule\n")[1].split("\\bottomrule")[0]
    lines = [line.removesuffix(r" \\") for line in body.splitlines()]
    return [[_from_latex_cell(cell.strip()) for cell in re.split(r"(?<!\\)&", x)] for x in lines]


def _from_latex_cell(cell: str) -> str:
    if re.fullmatch(r"\$(\\star)+\$", cell):
        return format_value(cell.count("star"), "stars")
    return cell.replace("$-$", "-")


def _texts(table: TryTable, cells: tuple[Cell, ...]) -> list[str]:
    pairs = zip(cells, table.columns, strict=True)
    return [" ".join(format_value(cell, column.kind).split()) for cell, column in pairs]


def _is_read_back(text: str) -> bool:
    """Whether LaTeX gives the very text back: numbers and stars."""
    return bool(re.fullmatch(r"[+-]?\d[\d.e]*|★+☆*", text))


def _compile(pdflatex: str, folder: Path, table: str) -> None:
    page = (
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{textcomp}"
        "\\usepackage{booktabs}\\begin{document}\\tiny\\noindent\n%s\\end{document}\n"
    )
    (folder / "page.tex").write_text(page % table, encoding="utf-8")
    done = subprocess.run(
        [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "page.tex"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    assert (folder / "page.pdf").stat().st_size > 1000
