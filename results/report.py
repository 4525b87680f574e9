"""The report: one HTML page that needs no network, and the same in Markdown."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_json  # type: ignore[import-untyped]  # it ships no types
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # it ships no types

from results import markup
from results.files import write_whole
from results.formats import numeric_columns, to_markdown
from results.language import ENGLISH, Words
from results.plots import figures
from results.records import StudyResult
from results.summary import facts, failures, findings, summary
from results.table import TableRow, TryTable, try_table
from results.text import clean, is_number, one_line, shown

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class HtmlCell:
    """A cell as the page shows it; `sort` is what its column is sorted by, empty for a blank."""

    text: str
    sort: str
    is_number: bool


@dataclass(frozen=True)
class HtmlRow:
    """A row as the page shows it."""

    status: str
    is_baseline: bool
    cells: tuple[HtmlCell, ...]
    severity: str


def write_report(study: StudyResult, folder: Path, words: Words = ENGLISH) -> list[Path]:
    """Write report.html and report.md, each whole or not at all; returns their paths.

    Raises OSError.
    """
    contents = {
        "report.html": to_html(study, words),
        "report.md": to_report_markdown(study, words),
    }
    for name, content in contents.items():
        write_whole(folder / name, content.encode())
    return [folder / name for name in contents]


def to_html(study: StudyResult, words: Words = ENGLISH) -> str:
    """The page. It opens offline: plotly stands in it, and its policy forbids any request."""
    table, drawn = try_table(study, words), figures(study)
    scripts = {"plotly": _plotly(), "page": _asset("report.js")}
    return (
        _environment()
        .get_template("report.html")
        .render(
            study=one_line(clean(study.name)),
            description=one_line(clean(str(study.sweep.get("description") or ""))),
            language=words.language,
            summary=summary(study, words),
            objective=words.named("objective", study.objective),
            facts=facts(study, words),
            columns=table.columns,
            numeric=numeric_columns(table),
            rows=[_html_row(table, row) for row in table.rows],
            plots=_plots(tuple(drawn)),
            completed=len(study.ranked),
            figures=Markup(_figures_json(drawn)),  # noqa: S704  plotly escapes <, > and / in it
            findings=findings(study),
            failures=failures(study),
            style=Markup(_asset("report.css")),  # noqa: S704  a file of ours
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  ours
            policy=_policy(tuple(scripts.values()) if drawn else (scripts["page"],)),
        )
    )


def to_report_markdown(study: StudyResult, words: Words = ENGLISH) -> str:
    """The report without pictures."""
    description = str(study.sweep.get("description") or "")
    name = markup.markdown(clean(study.name))
    parts = ["# " + words.text("report.title", study=name)]
    told = (clean(description), summary(study, words))
    parts += [markup.markdown(text) for text in told if text]
    table = to_markdown(try_table(study, words)).rstrip()
    parts.append(f"## {words.text('report.tries')}\n\n{table}")
    known = (f"- {term}: {markup.markdown(text)}" for term, text in facts(study, words))
    parts.append(f"## {words.text('report.facts')}\n\n" + "\n".join(known))
    parts += _markdown_list(words.text("report.findings"), findings(study))
    parts += _markdown_list(words.text("report.failures"), failures(study))
    return "\n\n".join(parts) + "\n"


def _markdown_list(title: str, entries: list[Any]) -> list[str]:
    lines = (
        f"- {head}: {', '.join(markup.markdown(str(part)) for part in rest)}"
        for head, *rest in entries
    )
    return [f"## {title}\n\n" + "\n".join(lines)] if entries else []


def _html_row(table: TryTable, row: TableRow) -> HtmlRow:
    cells = tuple(
        HtmlCell(
            text=shown(cell, column.kind),
            sort="" if cell is None else str(cell),
            is_number=is_number(cell) and column.kind != "try",
        )
        for cell, column in zip(row.cells, table.columns, strict=True)
    )
    return HtmlRow(row.status, row.is_baseline, cells, row.severity)


def _plots(ids: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    kinds = ("curves", "rates", "parameter", "importances")
    return {kind: tuple(i for i in ids if i.startswith(f"plot-{kind}")) for kind in kinds}


def _figures_json(drawn: dict[str, Any]) -> str:
    written = (f"{json.dumps(name)}: {to_json(figure)}" for name, figure in drawn.items())
    return "{" + ", ".join(written) + "}"


def _policy(scripts: tuple[str, ...]) -> str:
    """A content security policy: only these very scripts run, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _plotly() -> str:
    return str(get_plotlyjs())


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
