"""The registry of diagnoses: each kind once, causes first, stopping kinds as a sweep knows them."""

from typing import get_args

import pytest

from tests.results.analysis.diagnosis.curves import DROPOUT_03, FIVE, RATE_1E_7, steps_of, trial_of
from tests.results.analysis.diagnosis.symptoms.test_stagnation import STUCK
from trytable.records import StoppingKind
from trytable.results.analysis.diagnosis.api import stopping_symptom, symptoms_of
from trytable.results.analysis.diagnosis.registry import DIAGNOSES
from trytable.results.analysis.diagnosis.symptoms.fit import underfit
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial
from trytable.results.storage.rows import StepRow
from trytable.results.storage.study import EpochResult

KINDS = {kind.kind: kind for kind in DIAGNOSES}
GUESSING = DiagnosedTrial(status="stopped", steps=tuple(steps_of([1.6094] * 30)))
DIVERGING = DiagnosedTrial(steps=tuple(steps_of([1.6] * 10 + [4.0] * 30)))
NAN = DiagnosedTrial(steps=(*steps_of([1.6]), StepRow("t", 1, 20, 1, None, 1e-3, 1.0, None)))
TRIALS = (trial_of(DROPOUT_03), trial_of(RATE_1E_7), STUCK, GUESSING, NAN, DIVERGING)


def test_every_kind_is_registered_once_and_has_one_check() -> None:
    assert len(KINDS) == len(DIAGNOSES)
    for kind in DIAGNOSES:
        assert (kind.check is None) != (kind.check_study is None)


def test_the_stopping_kinds_are_those_that_a_sweep_may_name() -> None:
    assert {kind.kind for kind in DIAGNOSES if kind.stops} == set(get_args(StoppingKind))


def test_causes_come_before_what_they_explain() -> None:
    order = list(KINDS)
    for kind in DIAGNOSES:
        for cause in kind.explained_by:
            assert order.index(cause) < order.index(kind.kind)


@pytest.mark.parametrize("trial", TRIALS)
def test_a_symptom_is_as_its_kind_declares(trial: DiagnosedTrial) -> None:
    symptoms = list(symptoms_of(trial, FIVE, Thresholds()))
    assert symptoms
    for symptom in symptoms:
        kind = KINDS[symptom.kind]
        assert symptom.severity in kind.severities
        assert symptom.variant in kind.wordings["en"] or "" in kind.wordings["en"]


def test_an_explained_symptom_is_not_reported() -> None:
    """A trial that learns nothing does not fit its train data either: that is no second finding."""
    curve = tuple(
        EpochResult(n, train_loss=1.6094, probe_accuracy=0.2, dev_accuracy=0.2) for n in (1, 2, 3)
    )
    trial = DiagnosedTrial(curve=curve)
    assert underfit(trial, FIVE) is not None
    kinds = [symptom.kind for symptom in symptoms_of(trial, FIVE, Thresholds())]
    assert "no_learning" in kinds
    assert "underfit" not in kinds


@pytest.mark.parametrize("kind", get_args(StoppingKind))
def test_only_the_chosen_kinds_stop_a_trial(kind: StoppingKind) -> None:
    limits = Thresholds(stopping_kinds=(kind,))
    symptoms = [stopping_symptom(trial, FIVE, limits) for trial in (GUESSING, NAN, DIVERGING)]
    assert [symptom.kind for symptom in symptoms if symptom] == [kind]
