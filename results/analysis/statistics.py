"""Intervals and tests: pure functions of counts and numbers. Nothing here draws at random.

`scipy.stats` is left alone: it takes a second to import, which every verb that prints a table would
pay.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, integrate, special  # type: ignore[import-untyped]  # it ships no types

CONFIDENCE = 0.95
"""Share of such intervals that hold the truth."""

ALPHA = 0.05
"""A corrected p below this tells two tries apart."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedCounts:
    """Two tries on the same examples: which only the one got right, and which only the other.

    Shares are of `examples`; `difference` is the one's accuracy minus the other's.
    """

    only_first: int
    only_second: int
    examples: int

    @property
    def difference(self) -> float:
        """Accuracy of the one minus that of the other."""
        return (self.only_first - self.only_second) / self.examples

    @property
    def p(self) -> float:
        """Exact two-sided McNemar test."""
        return exact_mcnemar(self.only_first, self.only_second)

    @property
    def interval(self) -> Interval:
        """Bootstrap interval of the difference."""
        return bootstrap_difference(self.only_first, self.only_second, self.examples)


@dataclass(frozen=True)
class Mean:
    """A mean over seeds; no interval and no deviation of fewer than two values."""

    count: int
    mean: float
    deviation: float | None
    interval: Interval | None


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference over shared seeds with its interval and the paired t test's p."""

    count: int
    mean: float
    interval: Interval | None
    p: float | None


def wilson(correct: int, examples: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of an accuracy (Wilson 1927, score interval without continuity correction).

    Raises ValueError unless 0 <= correct <= examples and there is an example.
    """
    if not 0 <= correct <= examples or examples < 1:
        raise ValueError(f"{correct} of {examples} is no accuracy")
    z = float(special.ndtri((1 + confidence) / 2))
    share, spread = correct / examples, z * z / examples
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / examples + spread / (4 * examples)) / (1 + spread)
    # Rounding must not put the share itself outside at 0 and at 1.
    return Interval(max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def standard_error(accuracy: float, examples: int) -> float:
    """Standard error of an accuracy as a share: sqrt(p (1 - p) / n), of a binomial proportion."""
    return math.sqrt(accuracy * (1 - accuracy) / examples)


def paired_counts(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> PairedCounts:
    """Counts of two tries' right answers on the same examples; both arrays of shape (examples,).

    Raises ValueError where the shapes differ or nothing is there.
    """
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"shapes {one.shape} and {other.shape} cannot be paired")
    return PairedCounts(int((one & ~other).sum()), int((other & ~one).sum()), int(one.size))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's test (1947) by the exact binomial with one half.

    Twice the smaller tail, at most 1: `scipy.stats.binomtest(only_first, both, 0.5)` for counts.
    """
    both = only_first + only_second
    tail = float(special.bdtr(min(only_first, only_second), both, 0.5)) if both else 1.0
    return min(1.0, 2 * tail)


@lru_cache(maxsize=2**14)  # every table and page of a study asks for the same ones
def bootstrap_difference(
    only_first: int, only_second: int, examples: int, confidence: float = CONFIDENCE
) -> Interval:
    """Percentile interval of an accuracy difference over examples drawn with replacement, paired.

    The ideal bootstrap (Efron 1979): not some thousand samples but the distribution over all of
    them, so nothing is left to a seed. An example counts +1, -1 or 0, and the sum over a sample is
    their distribution's power, which a Fourier transform takes.
    """
    length = fft.next_fast_len(2 * examples + 1, real=True)
    single = np.zeros(length)
    single[[0, 1, -1]] = examples - only_first - only_second, only_first, only_second
    sums = fft.irfft(fft.rfft(single / examples) ** examples, length)
    cumulated = np.cumsum(np.concatenate([sums[-examples:], sums[: examples + 1]]))
    tail = (1 - confidence) / 2
    low, high = np.searchsorted(cumulated, [tail, 1 - tail]) - examples
    return Interval(float(low) / examples, float(high) / examples)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p values corrected for their number (Holm 1979), in their own order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return tuple(corrected)


def mean_over_seeds(values: Sequence[float], confidence: float = CONFIDENCE) -> Mean:
    """Mean, sample standard deviation and Student's t interval. Raises ValueError for no value."""
    if not values:
        raise ValueError("no value has no mean")
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return Mean(1, mean, None, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    quantile = float(special.stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * deviation / math.sqrt(count)
    return Mean(count, mean, deviation, Interval(mean - half, mean + half))


def mean_difference(differences: Sequence[float], confidence: float = CONFIDENCE) -> MeanDifference:
    """Mean of differences over shared seeds, with t interval and two-sided paired t test.

    Differences without any spread have no p: no test can weigh them. Raises ValueError for none.
    """
    found = mean_over_seeds(differences, confidence)
    p = None
    if found.deviation is not None and found.deviation > _NO_SPREAD:
        statistic = found.mean / (found.deviation / math.sqrt(found.count))
        p = float(2 * special.stdtr(found.count - 1, -abs(statistic)))
    return MeanDifference(found.count, found.mean, found.interval, p)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups of values, pooled by their degrees of freedom."""
    found = [mean_over_seeds(values) for values in groups if len(values) > 1]
    squares = [(one.count - 1) * one.deviation**2 for one in found if one.deviation is not None]
    freedom = sum(one.count - 1 for one in found)
    return math.sqrt(math.fsum(squares) / freedom) if freedom else None


def expected_maximum(draws: int, deviation: float) -> float:
    """How far the largest of so many normal draws of that deviation stands above their mean.

    The expectation of a normal's largest order statistic, `n x phi(x) Phi(x)^(n-1)` integrated.
    Raises ValueError for fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws have no largest one")
    return deviation * _largest_of_normals(draws)


_NO_SPREAD = 1e-12


@lru_cache(maxsize=1024)
def _largest_of_normals(draws: int) -> float:
    def density(x: float) -> float:
        bell = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return float(draws * x * bell * math.exp((draws - 1) * special.log_ndtr(x)))

    # Beyond ten deviations nothing is left that a float could tell from zero.
    value, _ = integrate.quad(density, -10, 10, limit=200, points=(0, 2, 4))
    return float(value)
