"""What a learning-rate range test says: where the loss falls fastest, and how far to trust it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MARGIN = 3.0
"""A search reaches so many times below the lowest and above the highest suggestion."""

_LEAST_POINTS = 8
_WARM_POINTS = 3
"""The first smoothed losses are of too few batches to show a slope."""


@dataclass(frozen=True)
class RangeCurve:
    """One rise of the learning rate: rates, losses and smoothed losses by step."""

    freeze: str
    seed: int
    lr: tuple[float, ...]
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]


@dataclass(frozen=True)
class Suggested:
    """The learning rates that one curve suggests; None where it never falls."""

    steepest: float | None
    valley: float | None


@dataclass(frozen=True)
class Spread:
    """What several seeds suggest: the lowest, the geometric median, the highest; and how many."""

    low: float
    median: float
    high: float
    seeds: int


@dataclass(frozen=True)
class StrategyResult:
    """All curves of one freeze strategy, and what they suggest together."""

    freeze: str
    curves: tuple[RangeCurve, ...]
    steepest: Spread | None
    valley: Spread | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Bounds for a search of the learning rate: MARGIN around all that was suggested.

        Never beyond the rate at which some curve's loss was least: from there on it only rises.
        """
        found = [spread for spread in (self.steepest, self.valley) if spread is not None]
        if not found:
            return None
        low = min(spread.low for spread in found) / MARGIN
        turning = min(one.lr[int(np.argmin(one.smoothed))] for one in self.curves)
        high = min(max(spread.high for spread in found) * MARGIN, turning)
        return (low, high) if high > low else (low, low * MARGIN)


def suggested(lr: Sequence[float], smoothed: Sequence[float]) -> Suggested:
    """The suggestions of one curve.

    `steepest` is where the smoothed loss falls fastest by the logarithm of the rate (Smith 2017);
    `valley` lies two thirds into the longest run of falling losses, where it falls still and has
    fallen already.
    """
    end = int(np.argmin(smoothed)) + 1 if len(smoothed) else 0
    if end < _LEAST_POINTS:
        return Suggested(None, None)
    falling = np.gradient(np.asarray(smoothed[:end]), np.log(np.asarray(lr[:end])))
    at = int(np.argmin(falling[_WARM_POINTS:])) + _WARM_POINTS
    if falling[at] >= 0:
        return Suggested(None, None)
    begin, stop = _longest_fall(smoothed[:end])
    return Suggested(steepest=lr[at], valley=lr[begin + round((stop - begin) * 2 / 3)])


def _longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """First and last index of the longest decreasing subsequence."""
    lengths, before = [1] * len(losses), list(range(len(losses)))
    for later, earlier in ((b, a) for b in range(len(losses)) for a in range(b)):
        if losses[later] < losses[earlier] and lengths[earlier] + 1 > lengths[later]:
            lengths[later], before[later] = lengths[earlier] + 1, earlier
    last = first = int(np.argmax(lengths))
    while before[first] != first:
        first = before[first]
    return first, last


def strategies(curves: Iterable[RangeCurve]) -> tuple[StrategyResult, ...]:
    """The curves by freeze strategy, in the order in which they came, with their suggestions."""
    grouped: dict[str, list[RangeCurve]] = {}
    for one in curves:
        grouped.setdefault(one.freeze, []).append(one)
    return tuple(_strategy(freeze, tuple(found)) for freeze, found in grouped.items())


def _strategy(freeze: str, curves: tuple[RangeCurve, ...]) -> StrategyResult:
    found = [suggested(one.lr, one.smoothed) for one in curves]
    return StrategyResult(
        freeze=freeze,
        curves=curves,
        steepest=_spread([one.steepest for one in found]),
        valley=_spread([one.valley for one in found]),
    )


def _spread(rates: Sequence[float | None]) -> Spread | None:
    known = [rate for rate in rates if rate is not None]
    if not known:
        return None
    middle = math.exp(float(np.median(np.log(known))))
    return Spread(min(known), middle, max(known), len(known))
