"""Findings as short marks, such as `overfit (warning)`."""

from collections.abc import Iterable

from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis
from trytable.results.text.catalog import Words
from trytable.results.text.format import clean, one_line


def finding_marks(findings: Iterable[Diagnosis]) -> tuple[tuple[str, str], ...]:
    """Return severity and kind of the findings, worst first and each kind once, without infos."""
    severities: dict[str, str] = {}
    for finding in findings:
        if finding.severity != "info":
            severities.setdefault(one_line(clean(finding.kind)), finding.severity)
    return tuple((severity, kind) for kind, severity in severities.items())


def mark_text(severity: str, kind: str, words: Words) -> str:
    """Return a mark as in the table's cell: `overfit (warning)`."""
    return words.text("findings.mark", kind=kind, severity=words.term("severity", severity))
