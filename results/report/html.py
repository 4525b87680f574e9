"""The report as an HTML page that needs no network; writes it beside its Markdown version."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # it ships no types

from trytable.files import write_atomic
from trytable.results.plots.parameters import MAX_INTERVALS
from trytable.results.plots.plotly import figures_json
from trytable.results.report.content import MAX_PAIRS, ReportContent
from trytable.results.report.markdown import report_markdown
from trytable.results.report.story import build_story
from trytable.results.report.verdict import confirmation_sentences, overview
from trytable.results.report.view import (
    Findings,
    cost_rows,
    finding_groups,
    html_rows,
    trial_settings,
)
from trytable.results.tables.pairs import PAIRS_STEM
from trytable.results.tables.summary import failed_attempts, study_facts
from trytable.results.tables.types import TryTable
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import clean, format_value, one_line

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(content: ReportContent, folder: Path) -> list[Path]:
    """Write report.html and report.md, each atomically, and return their paths. Raises OSError."""
    texts = {"report.html": report_html(content), "report.md": report_markdown(content)}
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in texts]


def report_html(content: ReportContent) -> str:
    """Return the page. It contains plotly, and its policy forbids every request."""
    scripts = {"plotly": _plotly() if content.plots else "", "page": _asset("report.js")}
    return (
        _environment()
        .get_template("report.html")
        .render(
            **_opening(content),
            **_tables(content),
            **_plots(content),
            t=content.words.text,
            style=Markup(_asset("report.css")),  # noqa: S704  our own file
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  ours
            policy=_policy(tuple(text for text in scripts.values() if text)),
        )
    )


def try_table_html(table: TryTable, findings: Findings, words: Words = ENGLISH) -> str:
    """Return the Try table as an HTML table."""
    return (
        _environment()
        .get_template("tries.html")
        .render(
            columns=table.columns,
            numeric=table.numeric,
            rows=html_rows(table, findings, words),
            comma=words.text("list.comma"),
        )
    )


def _opening(content: ReportContent) -> dict[str, Any]:
    study, analysis, words = content.study, content.analysis, content.words
    return {
        "study": one_line(clean(study.name)),
        "description": one_line(clean(str(study.sweep.get("description") or ""))),
        "language": words.language,
        "summary": overview(study, analysis, words),
        "confirmed": words.paragraph(confirmation_sentences(study, analysis.confirmation, words)),
        "story": build_story(study, analysis, words),
        "facts": study_facts(study, words),
    }


def _tables(content: ReportContent) -> dict[str, Any]:
    study, analysis, words = content.study, content.analysis, content.words
    table = try_table_html(content.table, analysis.findings, words) if content.table.rows else ""
    headings, setting_lines = trial_settings(study, words)
    return {
        "tries": Markup(table),  # noqa: S704  the template escaped its texts
        "pairs": _pairs(content),
        "findings": finding_groups(study, analysis.findings, words),
        "failures": failed_attempts(study),
        "settings": headings,
        "setting_lines": Markup(setting_lines),  # noqa: S704  it contains no <, > or &
        "cost": cost_rows(analysis.cost, words),
        "per_point": format_value(analysis.cost.device_seconds_per_point, "seconds"),
    }


def _pairs(content: ReportContent) -> dict[str, Any]:
    """Return the first rows of the comparison as texts, and the number of the others."""
    table = content.pairs
    rows = [
        [
            format_value(cell, column.kind)
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        for row in table.rows[:MAX_PAIRS]
    ]
    return {
        "titles": [(column.title, column.kind != "text") for column in table.columns],
        "rows": rows if content.has_tests else [],
        "more": max(0, len(table.rows) - MAX_PAIRS),
        "file": f"tables/{PAIRS_STEM}.csv",
    }


def _plots(content: ReportContent) -> dict[str, Any]:
    study, trials = content.study, content.analysis.comparison.trials
    points = sum(trial.best_value is not None for trial in study.trials)
    return {
        "objective": content.words.term("objective", study.objective.name),
        "plots": {plot.name: plot for plot in content.plots},
        "parameters": [plot for plot in content.plots if plot.name.startswith("parameter-")],
        "has_intervals": any(trial.interval for trial in trials.values()),
        "intervals": "intervals" if points <= MAX_INTERVALS else "hover",
        "figures": Markup(figures_json(content.plots)),  # noqa: S704  it contains no <, > or &
    }


def _policy(scripts: tuple[str, ...]) -> str:
    """Return a content security policy: only these scripts run, and nothing is requested."""
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
