"""overfit, underfit and still_improving, as people judged the same curves."""

import pytest

from tests.results.analysis.diagnosis.curves import (
    DROPOUT_03,
    DROPOUT_08,
    DROPOUT_09,
    FIVE,
    RATE_1E_3,
    RATE_1E_4,
    RATE_1E_5,
    RATE_1E_6,
    RATE_1E_7,
    RATE_2E_5,
    RATE_2E_5_LONG,
    Rows,
    trial_of,
)
from trytable.records import Objective
from trytable.results.analysis.diagnosis.symptoms.fit import (
    overfit,
    overfit_level,
    still_improving,
    underfit,
)
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial
from trytable.results.analysis.diagnosis.symptoms.types import Advice, OverfitLevel
from trytable.results.storage.study import EpochResult


@pytest.mark.parametrize(
    ("rows", "level"),
    [
        (RATE_1E_7, "none"),
        (RATE_1E_5, "none"),  # "no sign of overfitting"
        (DROPOUT_09, "slight"),
        (DROPOUT_08, "slight"),
        (RATE_2E_5, "moderate"),  # "a risk of overfitting"
        (RATE_1E_4, "moderate"),  # "signs of overfitting"
        (RATE_1E_3, "moderate"),
        (DROPOUT_03, "severe"),
        (RATE_2E_5_LONG, "severe"),
    ],
)
def test_levels_are_those_that_people_gave(rows: Rows, level: OverfitLevel) -> None:
    assert overfit_level(trial_of(rows)) == level


def test_the_evidence_of_a_severe_one() -> None:
    found = overfit(trial_of(DROPOUT_03))
    assert found is not None
    evidence = found.evidence
    assert (evidence["peak_epoch"], evidence["peak_accuracy"]) == (14, 0.419)
    assert evidence["epochs_after_peak"] == 14
    assert evidence["gap_at_best"] == pytest.approx(0.921 - 0.419)
    assert evidence["gap_at_last"] == pytest.approx(0.998 - 0.401)
    assert found.advice[0] == Advice("epochs", "lower", 16)
    assert Advice("dropout", "raise") in found.advice


def test_a_slight_one_is_told_for_information_and_none_not_at_all() -> None:
    found = overfit(trial_of(DROPOUT_08))
    assert found is not None
    assert (found.severity, found.evidence["peak_epoch"]) == ("info", 17)
    assert overfit(trial_of(RATE_1E_5)) is None
    assert overfit_level(DiagnosedTrial(curve=(EpochResult(1, dev_accuracy=0.3),))) is None


@pytest.mark.parametrize(
    ("rows", "severity"),
    [
        (RATE_1E_7, "warning"),
        (RATE_1E_6, "warning"),
        (RATE_1E_5, "info"),
        (DROPOUT_09, "info"),  # "a slight underfit"
        (DROPOUT_08, None),
        (RATE_2E_5, None),
        (DROPOUT_03, None),
    ],
)
def test_underfit_as_people_saw_it(rows: Rows, severity: str | None) -> None:
    found = underfit(trial_of(rows), FIVE)
    assert (found.severity if found else None) == severity


def test_a_bad_underfit_wants_another_rate_first_and_a_light_one_more_epochs() -> None:
    bad, light = underfit(trial_of(RATE_1E_7), FIVE), underfit(trial_of(DROPOUT_09), FIVE)
    assert bad is not None
    assert light is not None
    assert bad.advice[0] == Advice("lr", "raise")
    assert light.advice[0] == Advice("epochs", "raise")
    assert underfit(trial_of(RATE_1E_7, status="pruned"), FIVE) is None


@pytest.mark.parametrize(
    ("rows", "gain"),
    [
        (RATE_1E_5, 0.410 - 0.346),
        (DROPOUT_09, 0.411 - 0.396),
        (RATE_1E_7, None),
        (RATE_1E_3, None),
        (DROPOUT_08, None),
        (DROPOUT_03, None),
    ],
)
def test_still_improving_when_it_ended(rows: Rows, gain: float | None) -> None:
    found = still_improving(trial_of(rows), FIVE)
    assert (found.evidence["gain"] if found else None) == (gain and pytest.approx(gain))


def test_still_improving_when_it_was_stopped_and_by_a_loss() -> None:
    found = still_improving(trial_of(RATE_1E_5, status="pruned"), FIVE)
    assert found is not None
    assert found.variant == "stopped"
    assert found.advice == (Advice("epochs", "raise", 10),)
    losses = tuple(EpochResult(e, value=2.0 - 0.1 * e) for e in (1, 2, 3, 4))
    falling = still_improving(
        DiagnosedTrial(curve=losses, objective=Objective("dev_accuracy", "minimize")), FIVE
    )
    assert falling is not None
    assert falling.evidence["gain"] == pytest.approx(0.2)
    assert still_improving(DiagnosedTrial(curve=losses), FIVE) is None
    assert still_improving(trial_of(RATE_1E_5, status="running"), FIVE) is None
