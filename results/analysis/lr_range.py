"""What a learning-rate range test says: where the loss falls fastest, and how far to trust it."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NORMAL = 1.4826
"""A normal distribution's standard deviation, in median absolute deviations."""

FloatArray = NDArray[np.float64]

MARGIN = 3.0
"""A search reaches so many times below the lowest and above the highest suggestion."""

_LEAST_POINTS = 8
_LEAST_FALL = 1.5
"""In standard deviations of a single loss. A mean over ten strays by a quarter of one; noise alone
falls so far in fewer than 1 of 100 tests of 140 steps, a model that learns ten times as far."""
_WARM_POINTS = 3
"""The first smoothed losses are of too few batches to show a slope."""


@dataclass(frozen=True)
class RangeCurve:
    """One rise of the learning rate: rates, losses and smoothed losses by step.

    All are empty where the first loss was not finite already.
    """

    freeze: str
    seed: int
    lr: tuple[float, ...]
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]


@dataclass(frozen=True)
class RateSuggestion:
    """The learning rates that one curve suggests; None where it never falls."""

    steepest: float | None
    valley: float | None


@dataclass(frozen=True)
class RateRange:
    """What several seeds suggest: lowest, geometric median, highest; and how many fell."""

    low: float
    median: float
    high: float
    seeds: int


@dataclass(frozen=True)
class StrategyResult:
    """All curves of one freeze strategy, and what they suggest together.

    `turning` is where the loss was least: from there on it only rises.
    """

    freeze: str
    curves: tuple[RangeCurve, ...]
    steepest: RateRange | None
    valley: RateRange | None
    turning: RateRange | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Bounds for a search of the learning rate: MARGIN around all that was suggested.

        They end where most seeds turn. No seed turns below its own suggestions, so the medians of
        these lie within.
        """
        if self.steepest is None or self.valley is None or self.turning is None:
            return None
        low = min(self.steepest.low, self.valley.low) / MARGIN
        high = max(self.steepest.high, self.valley.high) * MARGIN
        return low, min(high, self.turning.median)


def suggest_rates(curve: RangeCurve) -> RateSuggestion:
    """The suggestions of one curve, up to its least smoothed loss.

    `steepest` is where the smoothed loss falls fastest by the logarithm of the rate (Smith 2017);
    `valley` lies two thirds into the longest run of falling losses, where it falls still and has
    fallen already (as fastai describes its suggestion of that name). A fall that is lost in the
    noise of single losses is none.
    """
    end = int(np.argmin(curve.smoothed)) + 1 if curve.smoothed else 0
    if end < _LEAST_POINTS or not _falls(np.asarray(curve.loss[:end]), curve.smoothed[end - 1]):
        return RateSuggestion(None, None)
    lr, smoothed = curve.lr[:end], curve.smoothed[:end]
    falling = np.gradient(np.asarray(smoothed), np.log(np.asarray(lr)))
    at = int(np.argmin(falling[_WARM_POINTS:])) + _WARM_POINTS
    if falling[at] >= 0:
        return RateSuggestion(None, None)
    begin, stop = longest_fall(smoothed)
    return RateSuggestion(steepest=lr[at], valley=lr[begin + round((stop - begin) * 2 / 3)])


def _falls(losses: FloatArray, least: float) -> bool:
    """Whether losses fall to the least one, as smoothed, by more than they scatter.

    The scatter is worked out from step to step, so the fall itself is no part of it.
    """
    steps = np.diff(losses)
    noise = _NORMAL * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2)
    before = float(losses[: max(_LEAST_POINTS, len(losses) // 3)].mean())
    return before - least > _LEAST_FALL * float(noise)


def longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """First and last index of the longest decreasing subsequence.

    By patience sorting (Fredman 1975), in n log n steps: tests may have many thousand points.
    """
    ends: list[float] = []  # by length: the largest loss that a fall so long ends at, negated
    starts: list[int] = []  # and where that fall begins
    found = (0, 0)
    for index, loss in enumerate(losses):
        length = bisect_left(ends, -loss)
        start = starts[length - 1] if length else index
        if length == len(ends):
            ends.append(-loss)
            starts.append(start)
            found = (start, index)
        else:
            ends[length], starts[length] = -loss, start
    return found


def strategy_results(curves: Iterable[RangeCurve]) -> tuple[StrategyResult, ...]:
    """The curves by freeze strategy, in the order in which they came, with their suggestions."""
    grouped: dict[str, list[RangeCurve]] = {}
    for one in curves:
        grouped.setdefault(one.freeze, []).append(one)
    return tuple(_strategy(freeze, tuple(found)) for freeze, found in grouped.items())


def _strategy(freeze: str, curves: tuple[RangeCurve, ...]) -> StrategyResult:
    found = [suggest_rates(one) for one in curves]
    turning = [
        None if what.valley is None else one.lr[int(np.argmin(one.smoothed))]
        for one, what in zip(curves, found, strict=True)
    ]
    return StrategyResult(
        freeze=freeze,
        curves=curves,
        steepest=_spread([one.steepest for one in found]),
        valley=_spread([one.valley for one in found]),
        turning=_spread(turning),
    )


def _spread(rates: Sequence[float | None]) -> RateRange | None:
    known = [rate for rate in rates if rate is not None]
    if not known:
        return None
    middle = math.exp(float(np.median(np.log(known))))
    return RateRange(min(known), middle, max(known), len(known))
