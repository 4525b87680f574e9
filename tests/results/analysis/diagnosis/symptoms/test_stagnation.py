"""stagnation and frozen_validation, in the run that had both."""

from dataclasses import replace

import pytest

from tests.results.analysis.diagnosis.curves import ALL_OF_FIVE, Rows, step, trial_of
from trytable.results.analysis.diagnosis.symptoms.sanity import loss_scale
from trytable.results.analysis.diagnosis.symptoms.stagnation import frozen_validation, stagnation
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial
from trytable.results.storage.study import EpochResult

TRAIN = (113.08, 105.40, 105.43, 105.49, 105.50)
TRAIN_F1 = (0.9684, 0.9775, 0.9775, 0.9775, 0.9775)
DEV = (209.88552416403462, 209.88415675275908, 209.88427272306026, 209.88465478101114,
       209.8854776467551)  # fmt: skip
STUCK = DiagnosedTrial(
    curve=tuple(
        EpochResult(n, train_loss=train, dev_loss=dev, dev_accuracy=0.9781, probe_accuracy=f1)
        for n, (train, dev, f1) in enumerate(zip(TRAIN, DEV, TRAIN_F1, strict=True), start=1)
    ),
    best_epoch=1,
)


def test_a_train_loss_that_moved_by_a_thousandth_over_four_epochs() -> None:
    found = stagnation(STUCK)
    assert found is not None
    assert (found.evidence["first_epoch"], found.evidence["last_epoch"]) == (2, 5)
    assert found.evidence["movement"] == pytest.approx(0.10 / 105.50)
    assert found.variant == "unknown_rate"


def test_a_rate_that_has_come_down_to_nothing_explains_it() -> None:
    steps = [step(10 * e, 105.0, e, lr=1e-4 if e == 1 else 1e-7) for e in range(1, 6)]
    assert stagnation(replace(STUCK, steps=tuple(steps))) is None
    steps = [step(10 * e, 105.0, e, lr=1.5e-4) for e in range(1, 6)]
    found = stagnation(replace(STUCK, steps=tuple(steps)))
    assert found is not None
    assert found.evidence["lr"] == 1.5e-4


def test_dev_that_stays_the_same_while_the_train_loss_moves() -> None:
    found = frozen_validation(STUCK)
    assert found is not None
    assert found.severity == "error"
    assert found.evidence["epochs"] == 5
    assert found.evidence["movement"] == pytest.approx(6.5e-6, abs=2e-7)
    assert found.evidence["moved"] == "train_loss"


def test_dev_that_stays_the_same_because_no_weight_changes_is_another_matter() -> None:
    still = [step(10 * e, 105.0, e, weight_norm=73.25) for e in range(1, 6)]
    assert frozen_validation(replace(STUCK, steps=tuple(still))) is None
    moving = [step(10 * e, 105.0, e, weight_norm=73.25 + 0.01 * e) for e in range(1, 6)]
    found = frozen_validation(replace(STUCK, steps=tuple(moving)))
    assert found is not None
    assert found.evidence["moved"] == "weight_norm"


def test_accuracies_alone_must_agree_for_four_epochs() -> None:
    def trial(*dev: float) -> DiagnosedTrial:
        return trial_of([(2.0 - 0.1 * i, 0.5, one) for i, one in enumerate(dev)])

    assert frozen_validation(trial(0.374, 0.374, 0.374, 0.373)) is None
    assert frozen_validation(trial(0.2, 0.374, 0.374, 0.374, 0.374)) is not None


def test_dev_loss_twice_the_train_loss_at_equal_accuracy() -> None:
    found = loss_scale(STUCK)
    assert found is not None
    assert found.evidence["ratio"] == pytest.approx(1.963, abs=1e-3)
    assert found.evidence["highest_ratio"] == pytest.approx(1.99, abs=2e-3)
    assert found.evidence["largest_gap"] == pytest.approx(0.0097)


def test_what_dropout_does_to_the_train_loss_is_no_fault_of_scale() -> None:
    rows = [EpochResult(e, train_loss=3.0, dev_loss=1.6, probe_accuracy=0.27, dev_accuracy=0.26)
            for e in (1, 2)]  # fmt: skip
    assert loss_scale(DiagnosedTrial(curve=tuple(rows), settings={"dropout": 0.8})) is None
    assert loss_scale(DiagnosedTrial(curve=tuple(rows), settings={"dropout": 0.1})) is not None


def test_overfitting_is_no_fault_of_scale() -> None:
    rows = [EpochResult(e, train_loss=0.4, dev_loss=0.8, probe_accuracy=0.9, dev_accuracy=0.8)
            for e in (1, 2)]  # fmt: skip
    assert loss_scale(DiagnosedTrial(curve=tuple(rows))) is None


@pytest.mark.parametrize("rows", ALL_OF_FIVE)
def test_courses_that_move_are_left_alone(rows: Rows) -> None:
    trial = trial_of(rows)
    assert (stagnation(trial), frozen_validation(trial), loss_scale(trial)) == (None, None, None)
