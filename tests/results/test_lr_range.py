"""What a range test suggests, on curves whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.lr_pictures import told, write_lr_range
from results.lr_range import RangeCurve, Spread, strategies, suggested

LR = tuple(float(one) for one in np.geomspace(1e-7, 1, 141))


def losses(falls_at: float, rises_at: float = 0.1) -> tuple[float, ...]:
    """A loss that falls from 1.6 by 1, fastest at one rate, and rises from another on."""
    x = np.log10(LR)
    fall = 1 / (1 + np.exp(-3 * (x - math.log10(falls_at))))
    rise = np.maximum(0, x - math.log10(rises_at)) ** 2
    return tuple(float(one) for one in 1.6 - fall + 10 * rise)


def curve(freeze: str, seed: int, falls_at: float) -> RangeCurve:
    found = losses(falls_at)
    return RangeCurve(freeze, seed, LR, found, found)


def test_steepest_is_where_the_loss_falls_fastest() -> None:
    assert suggested(LR, losses(1e-3)).steepest == pytest.approx(1e-3, rel=0.15)


def test_the_valley_lies_two_thirds_into_the_longest_fall() -> None:
    falling = losses(1e-3)
    least = int(np.argmin(falling))
    assert suggested(LR, falling).valley == LR[round(least * 2 / 3)]


@pytest.mark.parametrize("smoothed", [(), (1.0,) * 5, tuple(np.linspace(1, 2, 141)), (1.5,) * 141])
def test_a_loss_that_never_falls_suggests_nothing(smoothed: tuple[float, ...]) -> None:
    found = suggested(LR[: len(smoothed)], smoothed)
    assert (found.steepest, found.valley) == (None, None)


@given(scale=st.floats(0.1, 50), shift=st.floats(-3, 3), stretch=st.floats(1e-3, 1e3))
def test_units_of_loss_and_rate_change_no_place(scale: float, shift: float, stretch: float) -> None:
    plain = suggested(LR, losses(1e-3))
    scaled = suggested(LR, tuple(scale * one + shift for one in losses(1e-3)))
    assert scaled == plain
    moved = suggested(tuple(lr * stretch for lr in LR), losses(1e-3))
    assert moved.steepest == pytest.approx((plain.steepest or 0) * stretch)
    assert moved.valley == pytest.approx((plain.valley or 0) * stretch)


@given(st.lists(st.floats(0.01, 10), max_size=60))
def test_whatever_the_losses_a_suggestion_is_a_rate_that_was_tried(smoothed: list[float]) -> None:
    found = suggested(LR[: len(smoothed)], smoothed)
    assert found.steepest is None or found.steepest in LR
    assert found.valley is None or found.valley in LR


def test_seeds_are_put_together_by_strategy() -> None:
    rates = {1: 1e-4, 2: 1e-3, 3: 3e-3}
    found = strategies(
        [*(curve("none", seed, rate) for seed, rate in rates.items()), curve("half", 1, 1e-2)]
    )
    assert [one.freeze for one in found] == ["none", "half"]
    spread = found[0].steepest
    assert spread is not None
    assert (spread.low, spread.median, spread.high) == pytest.approx((1e-4, 1e-3, 3e-3), rel=0.2)
    assert spread.seeds == 3
    bounds = found[0].bounds
    assert bounds is not None
    assert bounds[0] < spread.low < spread.high < bounds[1] <= 0.2


def test_the_page_and_the_picture_need_no_network(tmp_path: Path) -> None:
    found = strategies([curve("<b>none", seed, 1e-3) for seed in (1, 2, 3)])
    page, picture, numbers = write_lr_range("mine", found, tmp_path)
    text = page.read_text()
    assert "&lt;b&gt;none" in text
    assert "<b>none" not in text.replace("\\u003cb\\u003enone", "")
    assert 'src="http' not in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert '"steepest"' in numbers.read_text()


def test_a_spread_is_told_in_two_digits() -> None:
    assert told(Spread(1.234e-4, 2.345e-4, 4.567e-4, 3)) == "2.3e-4 (1.2e-4 to 4.6e-4)"
    assert told(Spread(1e-3, 1e-3, 1e-3, 1)) == "0.001 (one seed)"
    assert told(None) == "none: the loss never falls"
