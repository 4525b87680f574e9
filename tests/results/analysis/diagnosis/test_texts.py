"""Every finding in both languages, from the same numbers."""

import re
import string

import pytest

from tests.results.analysis.diagnosis.curves import DROPOUT_03, FIVE, RATE_1E_7, steps_of, trial_of
from tests.results.analysis.diagnosis.symptoms.test_stagnation import STUCK
from trytable.records import Language
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.diagnosis.api import symptoms_of
from trytable.results.analysis.diagnosis.registry import (
    DIAGNOSES,
    describe,
    describe_worker_finding,
)
from trytable.results.analysis.diagnosis.symptoms.divergence import NON_FINITE
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial, DiagnosisKind
from trytable.results.analysis.diagnosis.symptoms.types import Advice
from trytable.results.analysis.diagnosis.worker_findings import WORKER_FINDINGS, WorkerFinding
from trytable.results.storage.rows import FindingRow

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SEVERE = trial_of(DROPOUT_03, settings={"lr": 1e-5})
STOPPED = DiagnosedTrial(status="stopped", steps=tuple(steps_of([1.6094] * 30)))


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("kind", DIAGNOSES, ids=lambda kind: kind.kind)
def test_both_languages_say_the_same_of_every_kind(kind: DiagnosisKind) -> None:
    assert set(kind.wordings) == set(LANGUAGES)
    assert kind.wordings["en"].keys() == kind.wordings["zh"].keys() != set()
    for variant, english in kind.wordings["en"].items():
        chinese = kind.wordings["zh"][variant]
        assert fields(english.message) == fields(chinese.message)
        assert re.search(r"[\u4e00-\u9fff]", chinese.explanation)
        assert not re.search(r"[\u4e00-\u9fff]", english.message + english.explanation)


@pytest.mark.parametrize("finding", WORKER_FINDINGS.values(), ids=WORKER_FINDINGS)
def test_both_languages_explain_a_workers_findings(finding: WorkerFinding) -> None:
    assert set(finding.explanation) == set(LANGUAGES)
    assert re.search(r"[\u4e00-\u9fff]", finding.explanation["zh"])
    assert not re.search(r"[\u4e00-\u9fff]", finding.explanation["en"])


def test_a_severe_overfit_in_words() -> None:
    (found,) = [one for one in symptoms_of(SEVERE, FIVE, Thresholds()) if one.kind == "overfit"]
    english, chinese = describe(found), describe(found, "zh")
    assert english.message == (
        "severe overfitting: train minus dev accuracy is 0.597 at the last epoch and 0.502 at the "
        "best one; dev accuracy peaked at epoch 14 with 0.419, 14 epochs before the end"
    )
    assert "严重过拟合" in chinese.message
    for number in ("0.597", "0.502", "14", "0.419"):
        assert number in chinese.message
    assert english.evidence == chinese.evidence
    assert english.advice == chinese.advice


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("trial", [SEVERE, STUCK, STOPPED, trial_of(RATE_1E_7)])
def test_every_field_of_a_text_is_in_the_evidence(
    trial: DiagnosedTrial, language: Language
) -> None:
    said = [describe(found, language) for found in symptoms_of(trial, FIVE, Thresholds())]
    assert said
    for one in said:
        assert "{" not in one.message
        assert one.explanation


def test_the_reason_of_a_stop_names_the_numbers() -> None:
    (found,) = [
        one for one in symptoms_of(STOPPED, FIVE, Thresholds()) if one.kind == "no_learning"
    ]
    assert describe(found).message == (
        "from step 1 to 300 the mean loss is 1.609, within 5% of ln 5 = 1.609"
    )


@pytest.mark.parametrize(
    ("advice", "english", "chinese"),
    [
        (Advice("epochs", "lower", 16), "lower epochs to 16", "将 epochs 调低为 16"),
        (Advice("lr", "raise"), "raise lr", "将 lr 调高"),
        (Advice("precision", "set", "fp32"), "set precision to fp32", "将 precision 设置为 fp32"),
    ],
)
def test_advice_in_words(advice: Advice, english: str, chinese: str) -> None:
    assert (advice_text(advice), advice_text(advice, "zh")) == (english, chinese)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_workers_finding_has_the_same_form(language: Language) -> None:
    row = FindingRow("t", 1, "oom_retry", "warning", "micro-batch 32 to 16", {"micro_batch": 16})
    said = describe_worker_finding(row, language)
    assert (said.message, said.severity) == ("micro-batch 32 to 16", "warning")
    assert said.advice == (Advice("micro_batch_size", "lower"),)
    assert said.explanation == WORKER_FINDINGS["oom_retry"].explanation[language]
    unknown = describe_worker_finding(FindingRow("t", 1, "odd", "fatal", "what?", {}), language)
    assert (unknown.kind, unknown.explanation, unknown.severity) == ("odd", "", "warning")


def test_a_workers_finding_of_a_diagnosed_kind_has_its_explanation() -> None:
    said = describe_worker_finding(FindingRow("t", 1, "non_finite", "error", "loss is NaN", {}))
    assert said.explanation == NON_FINITE.wordings["en"][""].explanation
    assert said.advice == (Advice("lr", "lower"), Advice("precision", "set", "fp32"))
