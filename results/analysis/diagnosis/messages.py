"""Puts findings into words, in one of the languages, from their evidence."""

from collections.abc import Mapping
from typing import Any

from trytable.records import Language, Severity
from trytable.results.analysis.diagnosis import texts, thresholds
from trytable.results.analysis.diagnosis.texts import Wording
from trytable.results.analysis.diagnosis.types import Advice, Diagnosis, Symptom
from trytable.results.storage.rows import FindingRow
from trytable.results.text.format import as_cell, format_value

_SEVERITIES: dict[str, Severity] = {"info": "info", "warning": "warning", "error": "error"}
_ADVICE: dict[str, tuple[Advice, ...]] = {
    "non_finite": (Advice("lr", "lower"), Advice("precision", "set", "fp32")),
    "oom_retry": (Advice("micro_batch_size", "lower"),),
    "mismatch": (Advice("allow_mismatch", "check"),),
}
"""What to try next after a worker's finding, which brings no advice of its own."""


def describe(found: Symptom, language: Language = "en") -> Diagnosis:
    """A finding in words."""
    wording = _wording(found, language)
    return Diagnosis(
        kind=found.kind,
        severity=found.severity,
        message=_filled(wording.message, found.evidence, language),
        explanation=wording.explanation,
        advice=found.advice,
        evidence=found.evidence,
    )


def describe_worker_finding(row: FindingRow, language: Language = "en") -> Diagnosis:
    """A worker's finding in the same form; what was seen is in the worker's own words."""
    known = texts.WORDINGS[language].get(row.kind)
    return Diagnosis(
        kind=row.kind,
        severity=_SEVERITIES.get(row.severity, "warning"),
        message=row.message,
        explanation=known.explanation if known else "",
        advice=_ADVICE.get(row.kind, ()),
        evidence=row.evidence or {},
    )


def advice_text(advice: Advice, language: Language = "en") -> str:
    """An advice in words, such as `lower epochs to 18`."""
    text = texts.ADVICE[language][advice.direction].format(parameter=advice.parameter)
    if advice.value is None:
        return text
    value = format_value(as_cell(advice.value), "parameter")
    return text + texts.ADVICE_VALUE[language].format(value=value)


def _wording(found: Symptom, language: Language) -> Wording:
    known = texts.WORDINGS[language]
    return known.get(f"{found.kind}.{found.variant}") or known[found.kind]


def _filled(template: str, evidence: Mapping[str, Any], language: Language) -> str:
    fields = dict(evidence)
    if "level" in fields:
        fields["level"] = texts.LEVELS[language][fields["level"]]
        known = fields.get("gap_at_best") is not None
        fields["at_best"] = texts.AT_BEST[language].format(**fields) if known else ""
    if "unit" in fields:
        fields["unit"] = texts.UNITS[language][fields["unit"]]
    if "reference" in fields:
        fields["compared"] = _compared(fields, language)
    return template.format(**fields)


def _compared(fields: Mapping[str, Any], language: Language) -> str:
    template = texts.COMPARED[language]
    return "".join(
        template.format(
            step=step, loss=fields[f"loss_at_{step}"], other=fields[f"reference_loss_at_{step}"]
        )
        for step in thresholds.COMPARED_STEPS
        if f"loss_at_{step}" in fields
    )
