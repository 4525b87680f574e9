"""The learning rate's course, step by step."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trytable.records import Refused
from trytable.trainers.finetune.schedule import make_schedule
from trytable.trainers.protocol.messages import FinetuneSettings


def shares(steps_per_epoch: int = 250, **knobs: object) -> list[float]:
    settings = FinetuneSettings.model_validate({"epochs": 4, "warmup": 0, **knobs})
    schedule = make_schedule(settings, steps_per_epoch)
    return [schedule.share(step) for step in range(schedule.steps_total)]


@pytest.mark.parametrize(
    ("name", "middle", "end"), [("constant", 1, 1), ("linear", 0.5, 0), ("cosine", 0.5, 0)]
)
def test_schedules(name: str, middle: float, end: float) -> None:
    rates = shares(schedule=name)
    assert rates[0] == 1
    assert rates[500] == pytest.approx(middle)
    assert rates[999] == pytest.approx(end, abs=2e-3)


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine_restarts"])
def test_a_floor_is_reached_and_never_passed(name: str) -> None:
    rates = shares(schedule=name, schedule_floor=0.2)
    assert rates[0] == 1
    assert 0.2 <= min(rates) == pytest.approx(0.2, abs=2e-3)


def test_cosine_restarts_as_often_as_asked() -> None:
    rates = shares(schedule="cosine_restarts", schedule_cycles=4)
    rises = [step for step in range(1, 1000) if rates[step] > rates[step - 1]]
    assert rises == [250, 500, 750]
    assert [rates[step] for step in rises] == [1, 1, 1]
    assert rates[125] == pytest.approx(0.5)


def test_steps_fall_by_the_factor_every_so_many_epochs() -> None:
    rates = shares(100, schedule="step", decay_factor=0.1, decay_every_epochs=2, epochs=5)
    assert [rates[step] for step in (0, 199, 200, 399, 400, 499)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


@pytest.mark.parametrize(
    ("warmup", "unit", "steps"), [(0.25, "share", 250), (1.5, "epochs", 375), (40, "steps", 40)]
)
def test_warm_up_rises_linearly_over_a_share_epochs_or_steps(
    warmup: float, unit: str, steps: int
) -> None:
    rates = shares(schedule="linear", warmup=warmup, warmup_unit=unit)
    assert rates[:steps] == pytest.approx([(step + 1) / steps for step in range(steps)])
    assert rates[steps:] == sorted(rates[steps:], reverse=True)
    assert rates.index(max(rates)) == steps - 1


@pytest.mark.parametrize(("warmup", "unit"), [(1.0, "share"), (4, "epochs"), (1000, "steps")])
def test_a_warm_up_that_never_ends_is_refused(warmup: float, unit: str) -> None:
    with pytest.raises(
        Refused, match=r"takes 1000 steps, but the training has 1000\. Allowed: les"
    ):
        shares(warmup=warmup, warmup_unit=unit)


_SCHEDULES = st.sampled_from(["constant", "linear", "cosine", "cosine_restarts", "step"])


@given(
    name=_SCHEDULES,
    knobs=st.fixed_dictionaries(
        {
            "schedule_floor": st.floats(0, 0.9),
            "schedule_cycles": st.integers(1, 7),
            "epochs": st.integers(1, 6),
            "warmup": st.floats(0, 0.9),
        }
    ),
    steps=st.integers(1, 60),
)
def test_every_schedule_reaches_its_peak_and_stays_between_floor_and_peak(
    name: str, knobs: dict[str, Any], steps: int
) -> None:
    total = steps * knobs["epochs"]
    assume(round(total * knobs["warmup"]) < total)
    settings = FinetuneSettings.model_validate({"schedule": name, **knobs})
    schedule = make_schedule(settings, steps)
    rates = [schedule.share(step) for step in range(total)]
    assert math.isclose(rates[schedule.peak_step], max(rates))
    assert math.isclose(max(rates), 1)
    floor = knobs["schedule_floor"]
    assert all(floor - 1e-12 <= rate <= 1 + 1e-12 for rate in rates[schedule.warmup_steps :])
    assert all(0 < rate <= 1 for rate in rates[: schedule.warmup_steps])
