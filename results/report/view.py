"""Records for the templates of the HTML report: rows with badges, findings, settings, cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from trytable.records import is_number
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis
from trytable.results.analysis.types import Cost
from trytable.results.report.trial_detail import SettingLine, setting_lines
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.marks import finding_marks, mark_text
from trytable.results.tables.order import in_table_order
from trytable.results.tables.types import TableRow, TryTable
from trytable.results.text.catalog import Words
from trytable.results.text.escape import script_json
from trytable.results.text.format import Cell, clean, format_value, one_line

Findings = Mapping[int, tuple[Diagnosis, ...]]
"""Findings by the number of their trial."""


@dataclass(frozen=True)
class HtmlCell:
    """A cell of the page; its column is sorted by `sort` if given, else by the text."""

    text: str
    sort: str | None
    is_number: bool


@dataclass(frozen=True)
class Badge:
    """A finding's mark in the Try table; `target` is the id of its row among the findings."""

    text: str
    severity: str
    message: str
    target: str


@dataclass(frozen=True)
class HtmlRow:
    """A row of the page: `status_text` is in the chip, and `state` follows it."""

    number: int
    status: str
    status_text: str
    state: str
    is_baseline: bool
    cells: tuple[HtmlCell, ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class Observation:
    """What a finding observed in one trial, and its advice."""

    target: str
    label: str
    message: str
    advice: str


@dataclass(frozen=True)
class FindingGroup:
    """All findings of a kind and severity."""

    kind: str
    severity: str
    severity_text: str
    explanation: str
    count: str
    observations: tuple[Observation, ...]


@dataclass(frozen=True)
class TrialSettings:
    """The heading of a trial's settings; its lines are in the page's JSON, in the same order."""

    label: str
    differing: str
    differs: bool


def html_rows(table: TryTable, findings: Findings, words: Words) -> list[HtmlRow]:
    """Return the rows of the Try table, with a badge for each mark of their findings."""
    return [_row(table, row, findings.get(row.number - 1, ()), words) for row in table.rows]


def finding_groups(study: StudyResult, findings: Findings, words: Words) -> list[FindingGroup]:
    """Return all findings by severity and kind, worst first; trials in the Try table's order."""
    groups: dict[tuple[str, str], list[tuple[TrialResult, int, Diagnosis]]] = {}
    for severity in ("error", "warning", "info"):
        for trial in in_table_order(study):
            for index, finding in enumerate(findings[trial.number]):
                if finding.severity == severity:
                    key = (severity, finding.kind)
                    groups.setdefault(key, []).append((trial, index, finding))
    return [_group(severity, kind, rows, words) for (severity, kind), rows in groups.items()]


def trial_settings(study: StudyResult, words: Words) -> tuple[list[TrialSettings], str]:
    """Return headings of the trials whose settings were read back, and all their lines as JSON.

    The JSON is a list per trial of [name, requested, effective, differs, is a reading].
    """
    headings, lines_by_trial = [], []
    for trial in in_table_order(study):
        if trial.effective:
            lines = setting_lines(trial.settings, trial.effective, trial.findings)
            count = sum(line.differs for line in lines)
            differing = words.count("page.settings.differ", count)
            text = differing if count else words.text("page.settings.same")
            headings.append(TrialSettings(trial.label, text, bool(count)))
            lines_by_trial.append([_json_line(line) for line in lines])
    return headings, script_json(lines_by_trial)


def cost_rows(cost: Cost, words: Words) -> list[tuple[str, str, str]]:
    """Return worker and device seconds by outcome as texts, then their sums and the savings."""
    rows = [
        (words.text(f"status.{kind}"), _seconds(seconds.wall), _seconds(seconds.device))
        for kind, seconds in cost.by_kind.items()
    ]
    if rows:
        total = cost.total
        rows.append((words.text("page.cost.total"), _seconds(total.wall), _seconds(total.device)))
    if cost.saved:
        rows.append((words.text("plot.saved"), _seconds(sum(cost.saved.values())), ""))
    return rows


def _row(table: TryTable, row: TableRow, findings: tuple[Diagnosis, ...], words: Words) -> HtmlRow:
    cells = tuple(
        _cell(format_value(cell, column.kind), cell, column.kind)
        for cell, column in zip(row.cells, table.columns, strict=True)
    )
    status = words.text(f"status.{row.status}")
    return HtmlRow(
        number=row.number,
        status=row.status,
        status_text=status,
        state=cells[-1].text.removeprefix(status),
        is_baseline=row.is_baseline,
        cells=cells,
        badges=_badges(row, findings, words),
    )


def _cell(text: str, cell: Cell, kind: str) -> HtmlCell:
    sort = "" if cell is None else str(cell)
    return HtmlCell(
        text=text,
        sort=None if sort == text else sort,
        is_number=is_number(cell) and kind != "try",
    )


def _badges(row: TableRow, findings: tuple[Diagnosis, ...], words: Words) -> tuple[Badge, ...]:
    first_of_kind: dict[str, tuple[int, Diagnosis]] = {}
    for index, finding in enumerate(findings):
        first_of_kind.setdefault(one_line(clean(finding.kind)), (index, finding))
    badges = []
    for severity, kind in finding_marks(findings):
        index, finding = first_of_kind[kind]
        badges.append(
            Badge(
                text=mark_text(severity, kind, words),
                severity=severity,
                message=one_line(clean(finding.message)),
                target=_target(row.number - 1, index),
            )
        )
    return tuple(badges)


def _group(
    severity: str, kind: str, rows: list[tuple[TrialResult, int, Diagnosis]], words: Words
) -> FindingGroup:
    return FindingGroup(
        kind=one_line(clean(kind)),
        severity=severity,
        severity_text=words.term("severity", severity),
        explanation=rows[0][2].explanation,
        count=words.count("page.count", len({trial.number for trial, _, _ in rows})),
        observations=tuple(
            Observation(
                target=_target(trial.number, index),
                label=trial.label,
                message=one_line(clean(finding.message)),
                advice=_advice(finding, words),
            )
            for trial, index, finding in rows
        ),
    )


def _advice(finding: Diagnosis, words: Words) -> str:
    return words.text("list.semicolon").join(
        one_line(clean(advice_text(advice, words.language))) for advice in finding.advice
    )


def _json_line(line: SettingLine) -> list[str | int]:
    return [
        one_line(clean(line.name)),
        format_value(line.requested, "parameter"),
        format_value(line.effective, "parameter"),
        int(line.differs),
        int(line.is_reading),
    ]


def _target(number: int, index: int) -> str:
    return f"finding-{number + 1}-{index + 1}"


def _seconds(seconds: float) -> str:
    return format_value(seconds, "seconds")
