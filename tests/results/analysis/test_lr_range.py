"""What a range test suggests, on curves whose answer is known."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.results.analysis.lr_range import (
    MARGIN,
    RangeCurve,
    RateRange,
    StrategyResult,
    longest_fall,
    strategy_results,
    suggest_rates,
)
from trytable.results.report.lr_range import HEADINGS, strategy_advice, strategy_row, write_lr_range

LR = tuple(float(one) for one in np.geomspace(1e-7, 1, 141))


ANYWHERE = RateRange(1.0, 1.0, 1.0, 3)


def losses(falls_at: float, rises_at: float = 0.1) -> tuple[float, ...]:
    """A loss that falls from 1.6 by 1, fastest at one rate, and rises from another on."""
    x = np.log10(LR)
    fall = 1 / (1 + np.exp(-3 * (x - math.log10(falls_at))))
    rise = np.maximum(0, x - math.log10(rises_at)) ** 2
    return tuple(float(one) for one in 1.6 - fall + 10 * rise)


def curve(freeze: str, seed: int, falls_at: float) -> RangeCurve:
    found = losses(falls_at)
    return RangeCurve(freeze, seed, LR, found, found)


def plain(smoothed: Sequence[float], lr: Sequence[float] = LR) -> RangeCurve:
    """A curve without any noise."""
    return RangeCurve("none", 1, tuple(lr)[: len(smoothed)], tuple(smoothed), tuple(smoothed))


def noisy(seed: int, noise: float, fall: float) -> RangeCurve:
    """Losses that fall by so much, with normal noise, smoothed by an exponential mean."""
    drawn = np.random.default_rng(seed).normal(0, noise, len(LR))
    single = 1.6 + drawn + fall * (np.asarray(losses(1e-3)) - 1.6)
    mean, smoothed = 0.0, []
    for step, one in enumerate(single, start=1):
        mean = 0.9 * mean + 0.1 * float(one)
        smoothed.append(mean / (1 - 0.9**step))
    return RangeCurve("none", seed, LR, tuple(map(float, single)), tuple(smoothed))


def rising(freeze: str, seed: int) -> RangeCurve:
    found = tuple(1.6 + i / 100 for i in range(len(LR)))
    return RangeCurve(freeze, seed, LR, found, found)


def nothing(freeze: str, seed: int) -> RangeCurve:
    return RangeCurve(freeze, seed, (), (), ())


def only(*curves: RangeCurve) -> StrategyResult:
    (found,) = strategy_results(curves)
    return found


def test_steepest_is_where_the_loss_falls_fastest() -> None:
    assert suggest_rates(plain(losses(1e-3))).steepest == pytest.approx(1e-3, rel=0.15)


def test_the_valley_lies_two_thirds_into_the_longest_fall() -> None:
    falling = losses(1e-3)
    least = int(np.argmin(falling))
    assert suggest_rates(plain(falling)).valley == LR[round(least * 2 / 3)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_the_longest_fall_is_one_and_none_is_longer(values: list[int]) -> None:
    """Against the definition: the longest of all decreasing subsequences ending at each place."""
    lengths = [1] * len(values)
    for later in range(len(values)):
        for earlier in range(later):
            if values[later] < values[earlier]:
                lengths[later] = max(lengths[later], lengths[earlier] + 1)
    begin, end = longest_fall(values)
    assert end == lengths.index(max(lengths))
    within = values[begin : end + 1]
    assert _longest_from_first_to_last(within) == max(lengths)


def _longest_from_first_to_last(values: list[int]) -> int:
    """Length of the longest fall that begins with the first value and ends with the last."""
    best = [1, *[0] * (len(values) - 1)]
    for later in range(1, len(values)):
        known = [best[i] for i in range(later) if best[i] and values[i] > values[later]]
        best[later] = max(known) + 1 if known else 0
    return best[-1]


def test_many_thousand_points_take_no_time_to_speak_of() -> None:
    count = 200_000
    assert longest_fall([float(-(i % 1000) - i) for i in range(count)])[1] > count / 2


@pytest.mark.parametrize("smoothed", [(), (1.0,) * 5, tuple(np.linspace(1, 2, 141)), (1.5,) * 141])
def test_a_loss_that_never_falls_suggests_nothing(smoothed: tuple[float, ...]) -> None:
    found = suggest_rates(plain(smoothed))
    assert (found.steepest, found.valley) == (None, None)


@given(scale=st.floats(0.1, 50), shift=st.floats(-3, 3), stretch=st.floats(1e-3, 1e3))
def test_units_of_loss_and_rate_change_no_place(scale: float, shift: float, stretch: float) -> None:
    known = noisy(1, noise=0.1, fall=1.0)
    was = suggest_rates(known)
    loss, smoothed = (
        tuple(scale * one + shift for one in losses) for losses in (known.loss, known.smoothed)
    )
    assert suggest_rates(RangeCurve("none", 1, LR, loss, smoothed)) == was
    moved = suggest_rates(
        RangeCurve("none", 1, tuple(lr * stretch for lr in LR), known.loss, known.smoothed)
    )
    assert moved.steepest == pytest.approx((was.steepest or 0) * stretch)
    assert moved.valley == pytest.approx((was.valley or 0) * stretch)


def test_noise_alone_suggests_nothing_and_hides_no_fall() -> None:
    seeds = range(200)
    by_chance = [suggest_rates(noisy(seed, noise=0.3, fall=0.0)).valley for seed in seeds]
    assert sum(one is not None for one in by_chance) <= 4
    real = [suggest_rates(noisy(seed, noise=0.3, fall=1.0)).valley for seed in seeds]
    assert all(one is not None and 1e-6 < one < 0.1 for one in real)


@given(st.lists(st.lists(st.floats(0.01, 10), max_size=60), min_size=1, max_size=4))
def test_whatever_the_losses_suggestions_were_tried_and_lie_within_the_bounds(
    smoothed: list[list[float]],
) -> None:
    curves = [
        RangeCurve("none", seed, LR[: len(one)], tuple(one), tuple(one))
        for seed, one in enumerate(smoothed)
    ]
    found = only(*curves)
    assert (found.bounds is None) == (found.valley is None) == (found.steepest is None)
    if found.bounds is not None and found.valley is not None and found.steepest is not None:
        assert {found.valley.low, found.valley.high, found.steepest.low} <= set(LR)
        low, high = found.bounds
        assert low < min(found.valley.low, found.steepest.low)
        # The median is worked out by logarithms.
        assert max(found.valley.median, found.steepest.median) <= high * (1 + 1e-12)
    assert strategy_advice(found)
    assert len(strategy_row(found)) == len(HEADINGS)


def test_seeds_are_put_together_by_strategy() -> None:
    rates = {1: 1e-4, 2: 1e-3, 3: 3e-3}
    found = strategy_results(
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


def test_a_median_of_two_seeds_is_the_geometric_mean() -> None:
    spread = only(curve("none", 1, 1e-5), curve("none", 2, 1e-3)).steepest
    assert spread is not None
    assert spread.median == pytest.approx(math.sqrt(spread.low * spread.high))
    assert spread.median == pytest.approx(1e-4, rel=0.2)


def test_a_seed_that_never_falls_narrows_no_bounds_and_is_counted() -> None:
    fine = only(curve("none", 1, 1e-3), curve("none", 2, 1e-3))
    marred = only(curve("none", 1, 1e-3), rising("none", 2), nothing("none", 3))
    assert marred.bounds == fine.bounds
    assert strategy_row(marred)[5] == "1 of 3"
    assert "the loss fell in only 1 of 3 seeds" in strategy_advice(marred)


def test_a_search_ends_where_most_seeds_turn() -> None:
    """One curve that turns early, by chance or not, decides nothing."""
    found = losses(1e-3, rises_at=2e-3)
    early = [RangeCurve("none", seed, LR, found, found) for seed in range(3)]
    turning = LR[int(np.argmin(found))]
    assert turning < MARGIN * 1e-3
    late = curve("none", 9, 1e-3)
    bounds = only(*early, late).bounds
    assert bounds is not None
    assert bounds[1] == pytest.approx(turning)
    most = only(early[0], late, late).bounds
    assert most is not None
    assert most[1] == pytest.approx(MARGIN * 1e-3, rel=0.3)


@pytest.mark.parametrize(
    ("falls_at", "said"),
    [
        ((1e-3,), "a single curve is not reliable, so raise SEEDS"),
        ((1e-3, 1e-3, 1e-3), "the valleys of 3 seeds agree within a factor of 1.0"),
    ],
)
def test_trust_is_said_in_words(falls_at: tuple[float, ...], said: str) -> None:
    found = only(*(curve("none", seed, one) for seed, one in enumerate(falls_at)))
    assert said in strategy_advice(found)
    assert strategy_advice(found).startswith("freeze none: start with lr 0.001, or search")


def test_seeds_far_apart_are_called_so() -> None:
    spread = RateRange(1e-4, 3e-4, 5e-4, 3)
    curves = tuple(curve("none", seed, 1e-3) for seed in range(3))
    found = StrategyResult("none", curves, spread, spread, turning=ANYWHERE)
    assert "the valleys of 3 seeds differ by a factor of 5.0, so search" in strategy_advice(found)


def test_cells_have_two_digits() -> None:
    curves = tuple(curve("none", seed, 1e-3) for seed in range(3))
    steepest, valley = RateRange(1.234e-4, 2.345e-4, 4.567e-4, 3), RateRange(1e-3, 1e-3, 1e-3, 1)
    found = StrategyResult("none", curves, steepest, valley, turning=ANYWHERE)
    assert strategy_row(found) == (
        "none", "2.3e-4", "1.2e-4 to 4.6e-4", "0.001", "", "1 of 3", "4.1e-5 to 0.003",
    )  # fmt: skip
    assert strategy_row(only(rising("none", 1))) == ("none", "none", "", "none", "", "0 of 1", "")


def test_the_page_and_the_picture_need_no_network_and_read_no_tags(tmp_path: Path) -> None:
    odd = "<b>$x$.*"
    found = strategy_results([*(curve(odd, seed, 1e-3) for seed in (1, 2)), nothing("half", 1)])
    page, picture, numbers, points = write_lr_range("mine", found, {"rise": {}}, tmp_path)
    text = page.read_text()
    assert "&lt;b&gt;" in text
    assert "<b>$x" not in text
    assert "\\u003cb\\u003e" not in text  # plotly would read it as a tag
    assert 'src="http' not in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = json.loads(numbers.read_text())
    assert [one["freeze"] for one in written["strategies"]] == [odd, "half"]
    assert tuple(written["strategies"][0]["bounds"]) == found[0].bounds
    rows = list(csv.DictReader(points.read_text().splitlines()))
    assert len(rows) == 2 * len(LR)
    assert [float(row["lr"]) for row in rows[: len(LR)]] == list(LR)
    assert {(row["freeze"], row["seed"]) for row in rows} == {(odd, "1"), (odd, "2")}
