"""Describes findings in one of the languages, from their evidence."""

from collections.abc import Mapping
from typing import Any

from trytable.records import Language, Severity
from trytable.results.analysis.diagnosis import texts, thresholds
from trytable.results.analysis.diagnosis.types import Advice, Diagnosis, Symptom
from trytable.results.storage.rows import FindingRow
from trytable.results.text.format import as_cell, format_value

_SEVERITIES: dict[str, Severity] = {"info": "info", "warning": "warning", "error": "error"}
_WORKER_ADVICE: dict[str, tuple[Advice, ...]] = {
    "non_finite": (Advice("lr", "lower"), Advice("precision", "set", "fp32")),
    "oom_retry": (Advice("micro_batch_size", "lower"),),
    "mismatch": (Advice("allow_mismatch", "check"),),
}
"""Advice for the findings of a worker, which reports none itself."""


def describe(symptom: Symptom, language: Language = "en") -> Diagnosis:
    """A symptom in words."""
    wordings = texts.WORDINGS[language]
    wording = wordings.get(f"{symptom.kind}.{symptom.variant}") or wordings[symptom.kind]
    return Diagnosis(
        kind=symptom.kind,
        severity=symptom.severity,
        message=_fill(wording.message, symptom.evidence, language),
        explanation=wording.explanation,
        advice=symptom.advice,
        evidence=symptom.evidence,
    )


def describe_worker_finding(row: FindingRow, language: Language = "en") -> Diagnosis:
    """A worker's finding in the same form; its message is the worker's, in English."""
    wording = texts.WORDINGS[language].get(row.kind)
    return Diagnosis(
        kind=row.kind,
        severity=_SEVERITIES.get(row.severity, "warning"),
        message=row.message,
        explanation=wording.explanation if wording else "",
        advice=_WORKER_ADVICE.get(row.kind, ()),
        evidence=row.evidence or {},
    )


def advice_text(advice: Advice, language: Language = "en") -> str:
    """An advice in words, such as `lower epochs to 18`."""
    text = texts.ADVICE[language][advice.direction].format(parameter=advice.parameter)
    if advice.value is None:
        return text
    value = format_value(as_cell(advice.value), "parameter")
    return text + texts.ADVICE_VALUE[language].format(value=value)


def _fill(template: str, evidence: Mapping[str, Any], language: Language) -> str:
    values = dict(evidence)
    if "level" in values:
        values["level"] = texts.LEVELS[language][values["level"]]
        has_gap = values.get("gap_at_best") is not None
        values["at_best"] = texts.AT_BEST[language].format(**values) if has_gap else ""
    if "unit" in values:
        values["unit"] = texts.UNITS[language][values["unit"]]
    if "reference" in values:
        values["compared"] = _compared_losses(values, language)
    return template.format(**values)


def _compared_losses(values: Mapping[str, Any], language: Language) -> str:
    return "".join(
        texts.COMPARED[language].format(
            step=step, loss=values[f"loss_at_{step}"], other=values[f"reference_loss_at_{step}"]
        )
        for step in thresholds.COMPARED_STEPS
        if f"loss_at_{step}" in values
    )
