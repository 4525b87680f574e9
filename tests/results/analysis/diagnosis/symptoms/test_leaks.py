"""Texts that two splits share are a finding of every trial from 1 % on."""

import pytest

from trytable.results.analysis.diagnosis.api import make_task, symptoms_of
from trytable.results.analysis.diagnosis.registry import describe
from trytable.results.analysis.diagnosis.symptoms.leaks import leak
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial

SMALL = {"split": "dev", "other": "train", "size": 200, "shared": 3, "other_label": 1}
LARGE = {"split": "test", "other": "dev", "size": 50, "shared": 5, "other_label": 0}


@pytest.mark.parametrize(("shared", "is_finding"), [(0, False), (2, False), (3, True)])
def test_one_of_a_hundred_texts_may_be_shared(shared: int, is_finding: bool) -> None:
    task = make_task({"leaks": [{**SMALL, "shared": shared}]}, ())
    assert (leak(task) is not None) == is_finding


def test_every_trial_has_the_finding_of_the_largest_leak() -> None:
    task = make_task({"leaks": [SMALL, LARGE]}, ())
    for trial in (DiagnosedTrial(), DiagnosedTrial(number=7, status="failed")):
        (symptom,) = symptoms_of(trial, task, Thresholds())
        assert (symptom.kind, symptom.evidence["split"]) == ("leak", "test")
        assert "5 of 50 test texts (10.0%) are also in dev" in describe(symptom).message
        assert "test 的 50 条文本中有 5 条（10.0%）也在 dev 中" in describe(symptom, "zh").message


def test_a_study_that_was_made_before_leaks_were_counted_has_none() -> None:
    assert leak(make_task({}, ())) is None
