"""The report: one HTML page that needs no network, and the same in Markdown."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # it ships no types

from trytable.files import write_atomic
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.types import Analysis
from trytable.results.plots.all import study_plots
from trytable.results.plots.parameters import MAX_INTERVALS
from trytable.results.plots.plotly import figures_json
from trytable.results.plots.types import Plot
from trytable.results.report.story import build_story
from trytable.results.report.verdict import confirmation_sentences, verdict_sentences
from trytable.results.report.view import (
    Findings,
    cost_rows,
    finding_groups,
    html_rows,
    trial_settings,
)
from trytable.results.storage.study import StudyResult
from trytable.results.tables.formats import numeric_columns, to_markdown
from trytable.results.tables.pairs import PAIRS_STEM as PAIRS_FILE
from trytable.results.tables.pairs import pairs_table
from trytable.results.tables.summary import failed_attempts, finding_lines, study_facts, summarize
from trytable.results.tables.trials import TryTable, try_table
from trytable.results.text import escape
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import clean, format_value, one_line

_MOST_PAIRS = 30
"""Lines of the comparison on the page; its files hold them all."""

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    study: StudyResult,
    folder: Path,
    words: Words = ENGLISH,
    *,
    analysis: Analysis | None = None,
    table: TryTable | None = None,
    pairs: TryTable | None = None,
    plots: tuple[Plot, ...] | None = None,
) -> list[Path]:
    """Write report.html and report.md, each completely or not at all; returns their paths.

    `analysis`, `table` (the Try table), `pairs` (the comparison) and `plots` are made here unless
    the caller has them already. Raises OSError.
    """
    analysis = analysis or analyze(study, words.language)
    table = table or try_table(study, words, analysis=analysis)
    pairs = pairs or pairs_table(study, analysis.comparison, words)
    plots = study_plots(study, words, analysis) if plots is None else plots
    contents = {
        "report.html": _page(study, table, analysis, plots, words, pairs=pairs),
        "report.md": _markdown(study, table, pairs, analysis, words),
    }
    for name, content in contents.items():
        write_atomic(folder / name, content.encode())
    return [folder / name for name in contents]


def to_html(study: StudyResult, words: Words = ENGLISH) -> str:
    """The page. It opens offline: plotly stands in it, and its policy forbids any request."""
    analysis = analyze(study, words.language)
    table = try_table(study, words, analysis=analysis)
    pairs = pairs_table(study, analysis.comparison, words)
    plots = study_plots(study, words, analysis)
    return _page(study, table, analysis, plots, words, pairs=pairs)


def to_report_markdown(study: StudyResult, words: Words = ENGLISH) -> str:
    """The report without pictures."""
    analysis = analyze(study, words.language)
    table = try_table(study, words, analysis=analysis)
    return _markdown(study, table, pairs_table(study, analysis.comparison, words), analysis, words)


def _page(
    study: StudyResult,
    table: TryTable,
    analysis: Analysis,
    plots: tuple[Plot, ...],
    words: Words,
    *,
    pairs: TryTable,
) -> str:
    scripts = {"plotly": _plotly() if plots else "", "page": _asset("report.js")}
    content = {
        **_head(study, analysis, words),
        "pairs": _pairs(pairs, analysis),
        **_body(study, table, analysis, words),
        **_drawn(study, plots),
    }
    return (
        _environment()
        .get_template("report.html")
        .render(
            **content,
            has_intervals=any(one.interval for one in analysis.comparison.trials.values()),
            t=words.text,
            style=Markup(_asset("report.css")),  # noqa: S704  a file of ours
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  ours
            policy=_policy(tuple(text for text in scripts.values() if text)),
        )
    )


def try_table_html(table: TryTable, found: Findings, words: Words = ENGLISH) -> str:
    """The Try table as the page has it."""
    return (
        _environment()
        .get_template("tries.html")
        .render(
            columns=table.columns,
            numeric=numeric_columns(table),
            rows=html_rows(table, found, words),
            comma=words.text("list.comma"),
        )
    )


def _head(study: StudyResult, analysis: Analysis, words: Words) -> dict[str, Any]:
    return {
        "study": one_line(clean(study.name)),
        "description": one_line(clean(str(study.sweep.get("description") or ""))),
        "language": words.language,
        "summary": words.paragraph(
            [summarize(study, words), *verdict_sentences(study, analysis, words)]
        ),
        "confirmed": words.paragraph(confirmation_sentences(study, analysis.confirmation, words)),
        "story": build_story(study, analysis, words),
        "objective": words.term("objective", study.objective.name),
        "facts": study_facts(study, words),
    }


def _pairs(table: TryTable, analysis: Analysis) -> dict[str, Any]:
    """The comparison's first lines as texts, and how many more there are."""
    rows = [
        [
            format_value(cell, column.kind)
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        for row in table.rows[:_MOST_PAIRS]
    ]
    has_tests = any(
        one.best_test or one.baseline_test for one in analysis.comparison.trials.values()
    )
    return {
        "titles": [(column.title, column.kind != "text") for column in table.columns],
        "rows": rows if has_tests else [],
        "more": max(0, len(table.rows) - _MOST_PAIRS),
        "file": f"tables/{PAIRS_FILE}.csv",
    }


def _body(study: StudyResult, table: TryTable, analysis: Analysis, words: Words) -> dict[str, Any]:
    headings, lines = trial_settings(study, words)
    return {
        "tries": Markup(try_table_html(table, analysis.findings, words)) if table.rows else "",  # noqa: S704
        "findings": finding_groups(study, analysis.findings, words),
        "failures": failed_attempts(study),
        "settings": headings,
        "setting_lines": Markup(lines),  # noqa: S704  it holds no <, > and &
        "cost": cost_rows(analysis.cost, words),
        "per_point": format_value(analysis.cost.device_seconds_per_point, "seconds"),
    }


def _drawn(study: StudyResult, plots: tuple[Plot, ...]) -> dict[str, Any]:
    points = sum(one.best_value is not None for one in study.trials)
    return {
        "pictures": {one.name: one for one in plots},
        "parameters": [one for one in plots if one.name.startswith("parameter-")],
        "intervals": "intervals" if points <= MAX_INTERVALS else "hover",
        "figures": Markup(figures_json(plots)),  # noqa: S704  it holds no <, > and &
    }


def _markdown(
    study: StudyResult, table: TryTable, pairs: TryTable, analysis: Analysis, words: Words
) -> str:
    description = str(study.sweep.get("description") or "")
    name = escape.markdown(clean(study.name))
    parts = ["# " + words.text("report.title", study=name)]
    summed = words.paragraph([summarize(study, words), *verdict_sentences(study, analysis, words)])
    parts += [escape.markdown(text) for text in (clean(description), summed) if text]
    again = words.paragraph(confirmation_sentences(study, analysis.confirmation, words))
    if again:
        parts.append(f"## {words.text('confirmed.title')}\n\n{escape.markdown(again)}")
    parts.append(f"## {words.text('report.tries')}\n\n{to_markdown(table).rstrip()}")
    parts += [*_markdown_story(study, analysis, words), *_markdown_pairs(pairs, analysis, words)]
    known = (f"- {term}: {escape.markdown(text)}" for term, text in study_facts(study, words))
    parts.append(f"## {words.text('report.facts')}\n\n" + "\n".join(known))
    parts += _markdown_list(
        words.text("report.findings"), finding_lines(study, analysis.findings, words)
    )
    parts += _markdown_list(words.text("report.failures"), failed_attempts(study))
    return "\n\n".join(parts) + "\n"


def _markdown_story(study: StudyResult, analysis: Analysis, words: Words) -> list[str]:
    told = build_story(study, analysis, words)
    if told is None:
        return []
    parts = (f"**{part.title}** {escape.markdown(part.text)}" for part in told.parts)
    return [f"## {told.title}", *parts]


def _markdown_pairs(table: TryTable, analysis: Analysis, words: Words) -> list[str]:
    found = _pairs(table, analysis)
    if not found["rows"]:
        return []
    shown_rows = to_markdown(table, _MOST_PAIRS).rstrip()
    more = words.text("pairs.more", count=found["more"], file=found["file"])
    caption = words.text("pairs.caption")
    told = [f"## {words.text('pairs.title')}", caption, shown_rows]
    return [*told, more] if found["more"] else told


def _markdown_list(title: str, entries: list[Any]) -> list[str]:
    lines = (
        f"- {head}: {', '.join(escape.markdown(str(part)) for part in rest)}"
        for head, *rest in entries
    )
    return [f"## {title}\n\n" + "\n".join(lines)] if entries else []


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
