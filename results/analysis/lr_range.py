"""Suggests learning rates from range tests: where the loss falls fastest, over several seeds."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 3.0
"""A search extends by this factor below the lowest and above the highest suggestion."""

_MIN_POINTS = 8
_MIN_FALL = 1.5
"""In standard deviations of a single loss. The mean of ten losses varies by a quarter of one; noise
alone falls this far in fewer than 1 of 100 tests of 140 steps, a model that learns falls ten times
as far."""

_DEVIATIONS_PER_MAD = 1.4826
"""A normal distribution's standard deviation divided by its median absolute deviation."""

_SKIPPED_POINTS = 3
"""The first smoothed losses average too few batches to show a slope."""


@dataclass(frozen=True)
class RangeCurve:
    """One rise of the learning rate: rates, losses and smoothed losses by step.

    All are empty if the first loss is not finite.
    """

    freeze: str
    seed: int
    lr: tuple[float, ...]
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]


@dataclass(frozen=True)
class RateSuggestion:
    """The learning rates that one curve suggests; None if its loss never falls."""

    steepest: float | None
    valley: float | None


@dataclass(frozen=True)
class RateRange:
    """The suggestions of several seeds: lowest, geometric median, highest, and their number."""

    low: float
    median: float
    high: float
    seeds: int


@dataclass(frozen=True)
class StrategyResult:
    """All curves of one freeze strategy, and their joint suggestions.

    `turning` is where the smoothed loss is lowest, after which it only rises.
    """

    freeze: str
    curves: tuple[RangeCurve, ...]
    steepest: RateRange | None
    valley: RateRange | None
    turning: RateRange | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Bounds for a search of the learning rate: MARGIN around all suggestions.

        The upper bound is at most the median turning point. No seed turns below its own
        suggestions, so the bounds contain the medians of these.
        """
        if self.steepest is None or self.valley is None or self.turning is None:
            return None
        low = min(self.steepest.low, self.valley.low) / MARGIN
        high = max(self.steepest.high, self.valley.high) * MARGIN
        return low, min(high, self.turning.median)


def suggest_rates(curve: RangeCurve) -> RateSuggestion:
    """The suggestions of one curve, up to its lowest smoothed loss.

    `steepest` is where the smoothed loss falls fastest by the logarithm of the rate (Smith 2017);
    `valley` is two thirds into the longest run of falling losses (fastai's suggestion of that
    name). A fall within the noise of single losses does not count.
    """
    end = int(np.argmin(curve.smoothed)) + 1 if curve.smoothed else 0
    if end < _MIN_POINTS or not _falls(np.asarray(curve.loss[:end]), curve.smoothed[end - 1]):
        return RateSuggestion(None, None)
    lr, smoothed = curve.lr[:end], curve.smoothed[:end]
    falling = np.gradient(np.asarray(smoothed), np.log(np.asarray(lr)))
    at = int(np.argmin(falling[_SKIPPED_POINTS:])) + _SKIPPED_POINTS
    if falling[at] >= 0:
        return RateSuggestion(None, None)
    begin, stop = longest_fall(smoothed)
    return RateSuggestion(steepest=lr[at], valley=lr[begin + round((stop - begin) * 2 / 3)])


def _falls(losses: NDArray[np.float64], lowest: float) -> bool:
    """Whether losses fall to the lowest smoothed one by more than their noise.

    The noise is estimated from differences between steps, which leaves out the fall itself.
    """
    steps = np.diff(losses)
    noise = _DEVIATIONS_PER_MAD * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2)
    start = float(losses[: max(_MIN_POINTS, len(losses) // 3)].mean())
    return start - lowest > _MIN_FALL * float(noise)


def longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """First and last index of the longest decreasing subsequence.

    By patience sorting (Fredman 1975), in n log n steps: tests may have many thousand points.
    """
    ends: list[float] = []  # the largest loss at which a fall of each length ends, negated
    starts: list[int] = []  # the index at which that fall starts
    longest = (0, 0)
    for index, loss in enumerate(losses):
        length = bisect_left(ends, -loss)
        start = starts[length - 1] if length else index
        if length == len(ends):
            ends.append(-loss)
            starts.append(start)
            longest = (start, index)
        else:
            ends[length], starts[length] = -loss, start
    return longest


def strategy_results(curves: Iterable[RangeCurve]) -> tuple[StrategyResult, ...]:
    """The curves by freeze strategy, in order of first appearance, with their suggestions."""
    grouped: dict[str, list[RangeCurve]] = {}
    for curve in curves:
        grouped.setdefault(curve.freeze, []).append(curve)
    return tuple(_strategy_result(freeze, tuple(group)) for freeze, group in grouped.items())


def _strategy_result(freeze: str, curves: tuple[RangeCurve, ...]) -> StrategyResult:
    suggestions = [suggest_rates(curve) for curve in curves]
    turning = [
        None if suggestion.valley is None else curve.lr[int(np.argmin(curve.smoothed))]
        for curve, suggestion in zip(curves, suggestions, strict=True)
    ]
    return StrategyResult(
        freeze=freeze,
        curves=curves,
        steepest=_rate_range([suggestion.steepest for suggestion in suggestions]),
        valley=_rate_range([suggestion.valley for suggestion in suggestions]),
        turning=_rate_range(turning),
    )


def _rate_range(rates: Sequence[float | None]) -> RateRange | None:
    suggested_rates = [rate for rate in rates if rate is not None]
    if not suggested_rates:
        return None
    median = math.exp(float(np.median(np.log(suggested_rates))))
    return RateRange(min(suggested_rates), median, max(suggested_rates), len(suggested_rates))
