"""The schedule as it was, and trials that began alike."""

import math

import pytest

from tests.results.analysis.diagnosis.curves import curve_of, step
from trytable.results.analysis.diagnosis.symptoms.learning_rate import schedule
from trytable.results.analysis.diagnosis.symptoms.sanity import same_seed
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial

PEAK = 1e-5
COSINE = {"lr": PEAK, "schedule": "cosine"}


def cosine(at: float, length: float) -> float:
    """Half cosines of this length, one after the other, up and down."""
    return PEAK * 0.5 * (1 + math.cos(math.pi * at / length))


def trial(rates: dict[int, float], settings: dict[str, object], **known: object) -> DiagnosedTrial:
    steps = tuple(step(at, 1.0, (at - 1) // 107 + 1, lr=rate) for at, rate in rates.items())
    given = {"steps_total": max(rates), "curve": curve_of([(1.0, 0.5, 0.5)] * 20), **known}
    return DiagnosedTrial(steps=steps, settings=settings, **given)  # type: ignore[arg-type] # a field's


def test_a_cosine_over_20_epochs_that_was_stepped_after_every_batch() -> None:
    """T_max = 20 stepped 107 times an epoch: down in 20 steps and up in the next 20."""
    rates = {at: cosine(at, 20) for at in range(10, 2141, 10)}
    found = schedule(trial(rates, COSINE))
    assert found is not None
    assert (found.variant, found.severity) == ("swinging", "warning")
    assert found.evidence["period_steps"] == 40
    assert found.evidence["steps_per_epoch"] == 100
    assert found.evidence["lowest"] == pytest.approx(0, abs=1e-12)
    restarts = {**COSINE, "schedule": "cosine_restarts"}
    assert schedule(trial(rates, restarts, status="pruned")) is None


def test_the_same_cosine_over_all_steps_is_as_asked() -> None:
    rates = {at: cosine(at, 2140) for at in range(10, 2141, 10)}
    assert schedule(trial(rates, COSINE)) is None


def test_one_warm_up_is_no_swing() -> None:
    rates = {at: PEAK * min(at / 200, (2140 - at) / 1940) for at in range(10, 2141, 10)}
    assert schedule(trial(rates, {"lr": PEAK, "schedule": "linear"})) is None


def test_a_rate_three_times_that_asked_for() -> None:
    rates = dict.fromkeys(range(10, 301, 10), 0.00015)
    found = schedule(trial(rates, {"lr": 5e-5, "schedule": "constant"}))
    assert found is not None
    assert (found.variant, found.severity) == ("peak", "error")
    assert found.evidence["ratio"] == pytest.approx(3.0)


def test_a_head_that_is_trained_alone_has_its_own_peak() -> None:
    rates = dict.fromkeys(range(10, 301, 10), 0.001)
    settings = {"lr": 1e-5, "head_lr_multiplier": 100.0, "schedule": "constant"}
    assert schedule(trial(rates, settings)) is None


def test_a_constant_rate_where_a_falling_one_was_asked_for() -> None:
    rates = dict.fromkeys(range(10, 301, 10), PEAK)
    found = schedule(trial(rates, COSINE))
    assert found is not None
    assert found.variant == "constant"
    assert schedule(trial(rates, {"lr": PEAK, "schedule": "constant"})) is None


def test_a_rate_that_never_came_down_to_its_floor() -> None:
    rates = {at: PEAK * (1 - at / 2140) for at in range(10, 1071, 10)}
    found = schedule(trial(rates, {"lr": PEAK, "schedule": "linear"}, steps_total=2140))
    assert found is not None
    assert (found.variant, found.severity) == ("above_floor", "info")
    assert found.evidence["share"] == pytest.approx(0.5, abs=0.01)
    whole = {at: PEAK * (1 - at / 2140) for at in range(10, 2141, 10)}
    assert schedule(trial(whole, {"lr": PEAK, "schedule": "linear"})) is None


def test_two_rates_from_one_seed_part_after_their_first_steps() -> None:
    """The losses that two people compared: 1e-4 against 2e-5, both with seed 42."""
    losses = ((1.6831, 1.6831), (2.8455, 1.4320), (3.1209, 1.2155))
    fast, slow, other = (
        DiagnosedTrial(
            number=number,
            steps=tuple(step(at, loss) for at, loss in zip((100, 500, 1000), course, strict=True)),
        )
        for number, course in enumerate((*zip(*losses, strict=True), (1.7, 1.5, 1.3)))
    )
    ((number, found),) = same_seed([fast, slow, other])
    assert number == 1
    assert (found.severity, found.variant) == ("info", "differs")
    assert found.evidence == {
        "reference": 1, "first_loss": 1.6831, "alike_until": 100, "parts_at": 500,
        "loss_at_100": 1.6831, "reference_loss_at_100": 1.6831,
        "loss_at_500": 1.4320, "reference_loss_at_500": 2.8455,
        "loss_at_1000": 1.2155, "reference_loss_at_1000": 3.1209,
    }  # fmt: skip


def test_courses_that_never_part_say_that_nothing_was_changed() -> None:
    same = [DiagnosedTrial(number=n, steps=(step(1, 1.5), step(10, 1.2))) for n in (0, 1)]
    ((_, found),) = same_seed(same)
    assert (found.variant, found.evidence["alike_until"]) == ("identical", 10)
