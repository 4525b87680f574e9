"""no_learning and majority_class, where they really occur and where they must not be seen."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.results.analysis.diagnosis.curves import (
    ALL_OF_FIVE,
    DROPOUT_03,
    DROPOUT_08,
    DROPOUT_09,
    FIVE,
    RATE_1E_5,
    Rows,
    curve_of,
    step,
    steps_of,
    trial_of,
)
from trytable.results.analysis.diagnosis.symptoms.learning import majority_class, no_learning
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial, Task
from trytable.results.storage.study import EpochResult

LIMIT = Thresholds()
FOUR = Task(classes=4)
FOUR_HUNDRED = Task(classes=400)


def interpolated(rows: Rows, per_epoch: int = 107) -> list[float]:
    """Losses every ten steps between the epochs' means, which stand at the middle of each."""
    places = [per_epoch * (i + 0.5) for i in range(len(rows))]
    means = [loss for loss, _, _ in rows]
    found = []
    for at in range(10, per_epoch * len(rows), 10):
        i = min(max(sum(place <= at for place in places), 1), len(places) - 1)
        share = (at - places[i - 1]) / per_epoch
        found.append(means[i - 1] + min(max(share, 0), 1) * (means[i] - means[i - 1]))
    return found


def test_four_classes_stuck_at_their_logarithm() -> None:
    epochs = ((1.4018, 0.2319), (1.3854, 0.2660))
    curve = tuple(
        EpochResult(n, dev_accuracy=accuracy, train_loss=loss)
        for n, (loss, accuracy) in zip((1, 5), epochs, strict=True)
    )
    found = no_learning(DiagnosedTrial(curve=curve), FOUR, LIMIT)
    assert found is not None
    assert (found.severity, found.variant) == ("error", "epochs")
    assert found.evidence["guessing_loss"] == pytest.approx(1.386294)
    assert found.evidence["loss"] == 1.3854
    assert found.evidence["accuracy"] == 0.2660


def test_four_hundred_classes_at_step_300() -> None:
    steps = tuple(steps_of([5.99] * 30))
    found = no_learning(DiagnosedTrial(steps=steps, status="running"), FOUR_HUNDRED, LIMIT)
    assert found is not None
    assert (found.evidence["first_step"], found.evidence["last_step"]) == (1, 300)
    assert found.evidence["guessing_loss"] == pytest.approx(math.log(400))
    # One logged step before the window's end nothing is said, nor where it is twice as long.
    early = DiagnosedTrial(steps=steps[:-1], status="running")
    assert no_learning(early, FOUR_HUNDRED, LIMIT) is None
    longer = Thresholds(window_steps=600)
    assert no_learning(DiagnosedTrial(steps=steps, status="running"), FOUR_HUNDRED, longer) is None


def test_the_fall_that_people_call_success_is_one() -> None:
    """5.99 to 5.6 within 300 steps was the written sign of a go."""
    losses = [5.99 - 0.39 * i / 29 for i in range(30)]
    assert no_learning(DiagnosedTrial(steps=tuple(steps_of(losses))), FOUR_HUNDRED, LIMIT) is None


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("rows", ALL_OF_FIVE)
def test_no_real_course_that_learnt_is_stopped_at_any_step(rows: Rows, noise: float) -> None:
    """Even the slowest of them, whose losses pass ln 5 while accuracy is still at chance."""
    draw = random.Random(1)
    losses = [loss + draw.gauss(0, noise) for loss in interpolated(rows)]
    steps = steps_of(losses, per_epoch=107)
    for end in range(1, len(steps) + 1):
        curve = curve_of(rows)[: steps[end - 1].step // 107]
        trial = DiagnosedTrial(status="running", steps=tuple(steps[:end]), curve=curve)
        assert no_learning(trial, FIVE, LIMIT) is None, steps[end - 1]


def test_nothing_is_said_while_the_rate_still_rises() -> None:
    flat = [step(10 * i, 1.386, lr=1e-6 * i) for i in range(1, 31)]
    assert no_learning(DiagnosedTrial(steps=tuple(flat)), FOUR, LIMIT) is None
    steady = [step(10 * i, 1.386) for i in range(31, 61)]
    assert no_learning(DiagnosedTrial(steps=(*flat, *steady)), FOUR, LIMIT) is not None


def test_accuracy_above_chance_is_learning_whatever_the_loss() -> None:
    steps = tuple(steps_of([1.6] * 40))
    learnt = (EpochResult(1, dev_accuracy=0.33),)
    assert no_learning(DiagnosedTrial(steps=steps, curve=learnt), FIVE, LIMIT) is None
    at_chance = (EpochResult(1, dev_accuracy=0.262),)
    assert no_learning(DiagnosedTrial(steps=steps, curve=at_chance), FIVE, LIMIT) is not None
    running = (*steps[:-1], step(400, 1.6, running_accuracy=0.4))
    assert no_learning(DiagnosedTrial(steps=running, curve=at_chance), FIVE, LIMIT) is None


def test_a_loss_that_only_learnt_the_shares_of_unequal_classes_is_guessing() -> None:
    skewed = Task(classes=2, shares=(0.9, 0.1), dev_size=1000)
    steps = tuple(steps_of([0.33] * 30))  # the entropy of 0.9 and 0.1 is 0.325
    found = no_learning(DiagnosedTrial(steps=steps), skewed, LIMIT)
    assert found is not None
    assert found.evidence["prior_loss"] == pytest.approx(0.325083, abs=1e-6)
    assert no_learning(DiagnosedTrial(steps=tuple(steps_of([0.2] * 30))), skewed, LIMIT) is None


@given(st.integers(2, 1000), st.integers(0, 10_000))
def test_guessing_with_noise_is_found_by_the_end_of_some_window(classes: int, seed: int) -> None:
    draw = random.Random(seed)
    task = Task(classes=classes)
    losses = [math.log(classes) * (1 + draw.gauss(0, 0.01)) for _ in range(60)]
    steps = steps_of(losses)
    ends = range(30, 61)
    assert any(no_learning(DiagnosedTrial(steps=tuple(steps[:e])), task, LIMIT) for e in ends)


def test_first_epochs_of_a_real_run_said_one_class_only() -> None:
    # Dropout 0.9: epochs 8 (0.253) and no other equals a class's share of the dev sentences.
    found = majority_class(trial_of(DROPOUT_09), FIVE)
    assert found is not None
    assert (found.variant, found.severity) == ("early", "info")
    assert found.evidence["epochs"] == "4, 8"  # 0.262 and 0.253
    found = majority_class(trial_of(DROPOUT_09[:8]), FIVE)
    assert found is not None
    assert (found.variant, found.severity) == ("last", "warning")
    assert found.evidence["class"] == 3
    assert majority_class(trial_of(DROPOUT_03[2:]), FIVE) is None
    assert majority_class(trial_of(DROPOUT_08), FIVE) is None


def test_predictions_decide_where_they_are_known() -> None:
    trial = trial_of(RATE_1E_5, predictions=(2,) * 1095 + (1,) * 6)
    found = majority_class(trial, FIVE)
    assert found is not None
    assert (found.variant, found.evidence["class"]) == ("best", 2)
    assert found.evidence["share"] == pytest.approx(1095 / 1101)
    spread = trial_of(RATE_1E_5[2:], predictions=(2,) * 1000 + (1,) * 101)
    assert majority_class(spread, FIVE) is None


def test_what_the_worker_counted_decides_before_an_accuracy_that_fits_by_accident() -> None:
    counted = {"predicted_largest_share": 0.6, "predicted_largest_class": 1.0}
    curve = (EpochResult(1, dev_accuracy=289 / 1101, metrics=counted),)
    assert majority_class(DiagnosedTrial(curve=curve, best_epoch=1), FIVE) is None
    small = Task(classes=2, shares=(0.5, 0.5), dev_size=40)
    curve = (EpochResult(1, dev_accuracy=0.5),)
    assert majority_class(DiagnosedTrial(curve=curve, best_epoch=1), small) is None
