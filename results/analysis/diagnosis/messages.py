"""Describes findings in one of the languages, from their evidence."""

from collections.abc import Mapping
from typing import Any

from trytable.records import Language, Severity
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.texts import CHINESE, ENGLISH, Wording
from trytable.results.analysis.diagnosis.types import (
    Advice,
    AdviceDirection,
    Diagnosis,
    Symptom,
)
from trytable.results.storage.rows import FindingRow
from trytable.results.text.format import as_cell, format_value

_SEVERITIES: dict[str, Severity] = {"info": "info", "warning": "warning", "error": "error"}
_WORKER_ADVICE: dict[str, tuple[Advice, ...]] = {
    "non_finite": (Advice("lr", "lower"), Advice("precision", "set", "fp32")),
    "oom_retry": (Advice("micro_batch_size", "lower"),),
    "mismatch": (Advice("allow_mismatch", "check"),),
}
"""Advice for the findings of a worker, which reports none itself."""

_WORDINGS: dict[Language, dict[str, Wording]] = {"en": ENGLISH, "zh": CHINESE}

_LEVELS: dict[Language, dict[str, str]] = {
    "en": {"slight": "slight", "moderate": "moderate", "severe": "severe", "none": "no"},
    "zh": {"slight": "轻微", "moderate": "中等", "severe": "严重", "none": "无"},
}

_UNITS: dict[Language, dict[str, str]] = {
    "en": {"step": "step", "epoch": "epoch"},
    "zh": {"step": "步", "epoch": "轮"},
}

_AT_BEST: dict[Language, str] = {
    "en": " and {gap_at_best:.3f} at the best one",
    "zh": "，最佳轮为 {gap_at_best:.3f}",
}

_COMPARED: dict[Language, str] = {
    "en": "; at step {step}: {loss:.4f} and {other:.4f}",
    "zh": "；第 {step} 步分别为 {loss:.4f} 和 {other:.4f}",
}

_ADVICE: dict[Language, dict[AdviceDirection, str]] = {
    "en": {
        "raise": "raise {parameter}",
        "lower": "lower {parameter}",
        "set": "set {parameter}",
        "check": "check {parameter}",
    },
    "zh": {
        "raise": "将 {parameter} 调高",
        "lower": "将 {parameter} 调低",
        "set": "将 {parameter} 设置",
        "check": "检查 {parameter}",
    },
}

_ADVICE_VALUE: dict[Language, str] = {"en": " to {value}", "zh": "为 {value}"}


def describe(symptom: Symptom, language: Language = "en") -> Diagnosis:
    """A symptom in words."""
    wordings = _WORDINGS[language]
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
    wording = _WORDINGS[language].get(row.kind)
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
    text = _ADVICE[language][advice.direction].format(parameter=advice.parameter)
    if advice.value is None:
        return text
    value = format_value(as_cell(advice.value), "parameter")
    return text + _ADVICE_VALUE[language].format(value=value)


def _fill(template: str, evidence: Mapping[str, Any], language: Language) -> str:
    values = dict(evidence)
    if "level" in values:
        values["level"] = _LEVELS[language][values["level"]]
        has_gap = values.get("gap_at_best") is not None
        values["at_best"] = _AT_BEST[language].format(**values) if has_gap else ""
    if "unit" in values:
        values["unit"] = _UNITS[language][values["unit"]]
    if "reference" in values:
        values["compared"] = _compared_losses(values, language)
    return template.format(**values)


def _compared_losses(values: Mapping[str, Any], language: Language) -> str:
    return "".join(
        _COMPARED[language].format(
            step=step, loss=values[f"loss_at_{step}"], other=values[f"reference_loss_at_{step}"]
        )
        for step in thresholds.COMPARED_STEPS
        if f"loss_at_{step}" in values
    )
