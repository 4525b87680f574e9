"""What the report's page shows, put together as records: rows with badges, findings, settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from trytable.records import is_number
from trytable.results.analysis.diagnosis.messages import advice_text
from trytable.results.analysis.diagnosis.types import Diagnosis
from trytable.results.analysis.types import Cost
from trytable.results.report.trial_detail import setting_lines
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.trials import (
    TableRow,
    TryTable,
    finding_marks,
    in_table_order,
    mark_text,
)
from trytable.results.text.catalog import Words
from trytable.results.text.escape import script_json
from trytable.results.text.format import Cell, clean, format_value, one_line


@dataclass(frozen=True)
class HtmlCell:
    """A cell as the page shows it; `sort` is what its column is sorted by where the text is not."""

    text: str
    sort: str | None
    is_number: bool


@dataclass(frozen=True)
class Badge:
    """A finding's mark in the Try table; `target` is the id of its place among the findings."""

    text: str
    severity: str
    message: str
    target: str


@dataclass(frozen=True)
class HtmlRow:
    """A row as the page shows it. `status_text` is that of the chip, `state` what follows it."""

    number: int
    status: str
    status_text: str
    state: str
    is_baseline: bool
    cells: tuple[HtmlCell, ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class Observation:
    """What a finding saw in one try."""

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
    why: str
    count: str
    seen: tuple[Observation, ...]


@dataclass(frozen=True)
class TrialSettings:
    """A try's heading among the settings; its lines are in the page's JSON, by the same order."""

    label: str
    differing: str
    differs: bool


Findings = Mapping[int, tuple[Diagnosis, ...]]


def html_rows(table: TryTable, found: Findings, words: Words) -> list[HtmlRow]:
    """The rows of the Try table, with a badge for each mark in their cell of findings."""
    return [_row(table, row, found.get(row.number - 1, ()), words) for row in table.rows]


def finding_groups(study: StudyResult, found: Findings, words: Words) -> list[FindingGroup]:
    """All findings by severity and kind, gravest first, in the Try table's order of tries."""
    groups: dict[tuple[str, str], list[tuple[TrialResult, int, Diagnosis]]] = {}
    for severity in ("error", "warning", "info"):
        for one in in_table_order(study):
            for index, finding in enumerate(found[one.number]):
                if finding.severity == severity:
                    key = (severity, finding.kind)
                    groups.setdefault(key, []).append((one, index, finding))
    return [_group(severity, kind, rows, words) for (severity, kind), rows in groups.items()]


def trial_settings(study: StudyResult, words: Words) -> tuple[list[TrialSettings], str]:
    """Headings of the tries whose settings were read back, and all lines as JSON for a script.

    The JSON is a list by try of [name, requested, effective, differs, is a reading].
    """
    headings, lines = [], []
    for one in in_table_order(study):
        if one.effective:
            found = setting_lines(one.settings, one.effective, one.findings)
            count = sum(line.differs for line in found)
            differing = words.count("page.settings.differ", count)
            text = differing if count else words.text("page.settings.same")
            headings.append(TrialSettings(one.label, text, bool(count)))
            lines.append(
                [
                    [
                        one_line(clean(line.name)),
                        format_value(line.requested, "parameter"),
                        format_value(line.effective, "parameter"),
                        int(line.differs),
                        int(line.is_reading),
                    ]
                    for line in found
                ]
            )
    return headings, script_json(lines)


def cost_rows(spent: Cost, words: Words) -> list[tuple[str, str, str]]:
    """What was spent on what: worker seconds and device seconds, then their sums and savings."""
    rows = [
        (words.text(f"status.{kind}"), _seconds(spent.wall), _seconds(spent.device))
        for kind, spent in spent.by_kind.items()
    ]
    if rows:
        total = spent.total
        rows.append((words.text("page.cost.total"), _seconds(total.wall), _seconds(total.device)))
    if spent.saved:
        rows.append((words.text("picture.saved"), _seconds(sum(spent.saved.values())), ""))
    return rows


def _row(table: TryTable, row: TableRow, found: tuple[Diagnosis, ...], words: Words) -> HtmlRow:
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
        badges=_badges(row, found, words),
    )


def _cell(text: str, cell: Cell, kind: str) -> HtmlCell:
    sort = "" if cell is None else str(cell)
    return HtmlCell(
        text=text,
        sort=None if sort == text else sort,
        is_number=is_number(cell) and kind != "try",
    )


def _badges(row: TableRow, found: tuple[Diagnosis, ...], words: Words) -> tuple[Badge, ...]:
    places: dict[str, tuple[int, Diagnosis]] = {}
    for index, finding in enumerate(found):
        places.setdefault(one_line(clean(finding.kind)), (index, finding))
    badges = []
    for severity, kind in finding_marks(found):
        index, finding = places[kind]
        told = one_line(clean(finding.message))
        badges.append(
            Badge(mark_text(severity, kind, words), severity, told, _target(row.number - 1, index))
        )
    return tuple(badges)


def _group(
    severity: str, kind: str, rows: list[tuple[TrialResult, int, Diagnosis]], words: Words
) -> FindingGroup:
    return FindingGroup(
        kind=one_line(clean(kind)),
        severity=severity,
        severity_text=words.term("severity", severity),
        why=rows[0][2].explanation,
        count=words.count("page.count", len({one.number for one, _, _ in rows})),
        seen=tuple(
            Observation(
                target=_target(one.number, index),
                label=one.label,
                message=one_line(clean(finding.message)),
                advice=_advice(finding, words),
            )
            for one, index, finding in rows
        ),
    )


def _advice(finding: Diagnosis, words: Words) -> str:
    return words.text("list.semicolon").join(
        one_line(clean(advice_text(advice, words.language))) for advice in finding.advice
    )


def _target(number: int, index: int) -> str:
    return f"finding-{number + 1}-{index + 1}"


def _seconds(seconds: float) -> str:
    return format_value(seconds, "seconds")
