"""Intervals and tests: pure functions of counts and numbers, without random draws.

`scipy.stats` is not used: its import takes a second, which every command that prints a table would
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
"""Confidence level of all intervals."""

ALPHA = 0.05
"""Significance level of a corrected p."""


@dataclass(frozen=True)
class Interval:
    """An interval from `low` to `high`, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedCounts:
    """Two trials on the same examples: how many only the first, or only the second, got right."""

    only_first: int
    only_second: int
    examples: int

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the second, as a share."""
        return (self.only_first - self.only_second) / self.examples

    @property
    def p(self) -> float:
        """Two-sided p of the exact McNemar test."""
        return exact_mcnemar(self.only_first, self.only_second)

    @property
    def interval(self) -> Interval:
        """Bootstrap interval of the difference."""
        return bootstrap_difference(self.only_first, self.only_second, self.examples)


@dataclass(frozen=True)
class Mean:
    """A mean over seeds; deviation and interval are None for a single value."""

    count: int
    mean: float
    deviation: float | None
    interval: Interval | None


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference over shared seeds with its interval and the p of the paired t test."""

    count: int
    mean: float
    interval: Interval | None
    p: float | None


def wilson(correct: int, examples: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of an accuracy (Wilson 1927: score interval, without continuity correction).

    Raises ValueError unless 0 <= correct <= examples and examples >= 1.
    """
    if not 0 <= correct <= examples or examples < 1:
        raise ValueError(f"{correct} of {examples} is not an accuracy")
    z = float(special.ndtri((1 + confidence) / 2))
    share, spread = correct / examples, z * z / examples
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / examples + spread / (4 * examples)) / (1 + spread)
    # Clamped, since rounding could leave a share of 0 or 1 outside its own interval.
    return Interval(max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def standard_error(accuracy: float, examples: int) -> float:
    """Standard error of an accuracy as a share: sqrt(p (1 - p) / n), of a binomial proportion."""
    return math.sqrt(accuracy * (1 - accuracy) / examples)


def paired_counts(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedCounts:
    """Count how two trials differ; arrays of shape (examples,), True for a correct prediction.

    Raises ValueError if the shapes differ or are empty.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"shapes {first.shape} and {second.shape} cannot be paired")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return PairedCounts(only_first, only_second, int(first.size))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of the exact McNemar test (McNemar 1947), by the binomial with p = 1/2.

    Twice the smaller tail, at most 1; equals `scipy.stats.binomtest(only_first, discordant, 0.5)`.
    """
    discordant = only_first + only_second
    tail = float(special.bdtr(min(only_first, only_second), discordant, 0.5)) if discordant else 1.0
    return min(1.0, 2 * tail)


@lru_cache(maxsize=2**14)  # every table and page of a study needs the same intervals
def bootstrap_difference(
    only_first: int, only_second: int, examples: int, confidence: float = CONFIDENCE
) -> Interval:
    """Percentile interval of an accuracy difference, by the paired bootstrap over examples.

    The ideal bootstrap (Efron 1979): the exact distribution over all resamples instead of a few
    thousand, so that no seed matters. An example contributes +1, -1 or 0; the distribution of the
    sum over a resample is a convolution power of theirs, taken by a Fourier transform.
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
    """The p values with Holm's correction for multiple tests (Holm 1979), in their own order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, lower_bound = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        lower_bound = max(lower_bound, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = lower_bound
    return tuple(corrected)


def mean_over_seeds(values: Sequence[float], confidence: float = CONFIDENCE) -> Mean:
    """Mean, sample standard deviation and t interval (Student 1908). Raises ValueError if empty."""
    if not values:
        raise ValueError("no values to average")
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return Mean(1, mean, None, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    quantile = float(special.stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * deviation / math.sqrt(count)
    return Mean(count, mean, deviation, Interval(mean - half, mean + half))


def mean_difference(differences: Sequence[float], confidence: float = CONFIDENCE) -> MeanDifference:
    """Mean of differences over shared seeds, with t interval and two-sided paired t test.

    The p is None if all differences are equal, as the statistic is undefined then. Raises
    ValueError if empty.
    """
    mean = mean_over_seeds(differences, confidence)
    p = None
    if mean.deviation is not None and mean.deviation > _ZERO_DEVIATION:
        statistic = mean.mean / (mean.deviation / math.sqrt(mean.count))
        p = float(2 * special.stdtr(mean.count - 1, -abs(statistic)))
    return MeanDifference(mean.count, mean.mean, mean.interval, p)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups, pooled by degrees of freedom; None without any."""
    means = [mean_over_seeds(values) for values in groups if len(values) > 1]
    squares = [(mean.count - 1) * mean.deviation**2 for mean in means if mean.deviation is not None]
    freedom = sum(mean.count - 1 for mean in means)
    return math.sqrt(math.fsum(squares) / freedom) if freedom else None


def expected_maximum(draws: int, deviation: float) -> float:
    """Expected excess over the mean of the largest of `draws` normal values.

    The largest order statistic's expectation: the integral of `n x phi(x) Phi(x)^(n-1)` (David and
    Nagaraja 2003). Raises ValueError for fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws have no maximum")
    return deviation * _largest_of_normals(draws)


_ZERO_DEVIATION = 1e-12


@lru_cache(maxsize=1024)
def _largest_of_normals(draws: int) -> float:
    def density(x: float) -> float:
        bell = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return float(draws * x * bell * math.exp((draws - 1) * special.log_ndtr(x)))

    # Beyond ten deviations the density is zero in floating point.
    value, _ = integrate.quad(density, -10, 10, limit=200, points=(0, 2, 4))
    return float(value)
