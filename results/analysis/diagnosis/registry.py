"""Every kind of symptom that Trytable diagnoses, and what each kind says of a finding."""

from trytable.records import Language, Severity
from trytable.results.analysis.diagnosis.symptoms.divergence import (
    DIVERGENCE,
    EXPLODING_WEIGHTS,
    NON_FINITE,
)
from trytable.results.analysis.diagnosis.symptoms.fit import OVERFIT, STILL_IMPROVING, UNDERFIT
from trytable.results.analysis.diagnosis.symptoms.leaks import LEAK
from trytable.results.analysis.diagnosis.symptoms.learning import MAJORITY_CLASS, NO_LEARNING
from trytable.results.analysis.diagnosis.symptoms.learning_rate import SCHEDULE
from trytable.results.analysis.diagnosis.symptoms.sanity import LABEL_RANGE, LOSS_SCALE, SAME_SEED
from trytable.results.analysis.diagnosis.symptoms.stagnation import FROZEN_VALIDATION, STAGNATION
from trytable.results.analysis.diagnosis.symptoms.trainable import DEAD_GRADIENTS, FROZEN_TOO_MUCH
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis, Symptom
from trytable.results.analysis.diagnosis.worker_findings import WORKER_ADVICE, WORKER_FINDINGS
from trytable.results.storage.rows import FindingRow

DIAGNOSES = (
    LABEL_RANGE,
    LEAK,
    NON_FINITE,
    NO_LEARNING,
    MAJORITY_CLASS,
    DIVERGENCE,
    EXPLODING_WEIGHTS,
    DEAD_GRADIENTS,
    FROZEN_TOO_MUCH,
    FROZEN_VALIDATION,
    STAGNATION,
    SCHEDULE,
    LOSS_SCALE,
    OVERFIT,
    UNDERFIT,
    STILL_IMPROVING,
    SAME_SEED,
)
"""The kinds in the order in which they are checked and reported: causes come first."""

_SEVERITIES: dict[str, Severity] = {"info": "info", "warning": "warning", "error": "error"}
_KINDS = {diagnosis.kind: diagnosis for diagnosis in DIAGNOSES}


def describe(symptom: Symptom, language: Language = "en") -> Diagnosis:
    """A symptom in words."""
    return _KINDS[symptom.kind].describe(symptom, language)


def describe_worker_finding(row: FindingRow, language: Language = "en") -> Diagnosis:
    """A worker's finding in the same form; its message is the worker's, in English."""
    return Diagnosis(
        kind=row.kind,
        severity=_SEVERITIES.get(row.severity, "warning"),
        message=row.message,
        explanation=_worker_explanation(row.kind, language),
        advice=WORKER_ADVICE.get(row.kind, ()),
        evidence=row.evidence or {},
    )


def _worker_explanation(kind: str, language: Language) -> str:
    if kind in WORKER_FINDINGS:
        return WORKER_FINDINGS[kind].explanation[language]
    wording = _KINDS[kind].wordings[language].get("") if kind in _KINDS else None
    return wording.explanation if wording else ""
