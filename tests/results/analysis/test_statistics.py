"""Intervals and tests against scipy, statsmodels and numbers that are known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as reference  # type: ignore[import-untyped]  # it ships no types
from statsmodels.stats.contingency_tables import (  # type: ignore[import-untyped]  # no types
    mcnemar,
)
from statsmodels.stats.multitest import (  # type: ignore[import-untyped]  # it ships no types
    multipletests,
)
from statsmodels.stats.proportion import (  # type: ignore[import-untyped]  # it ships no types
    proportion_confint,
)

from trytable.results.analysis.statistics import (
    Interval,
    PairedCounts,
    bootstrap_difference,
    exact_mcnemar,
    expected_maximum,
    holm,
    mean_difference,
    mean_over_seeds,
    paired_counts,
    pooled_deviation,
    standard_error,
    wilson,
)

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
VALUES = st.lists(st.floats(0, 1).map(lambda x: round(x, 6)), min_size=2, max_size=12)


def test_wilson_of_known_counts() -> None:
    # 0.435 of 1,101: statsmodels 0.15's own answer, to the digits that it prints.
    low, high = wilson(479, 1101).low, wilson(479, 1101).high
    assert (round(low, 4), round(high, 4)) == (0.4061, 0.4645)
    never = wilson(0, 10)
    assert never.low == 0
    assert never.high == pytest.approx(0.2775, abs=1e-4)


@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_statsmodels_and_scipys(counts: tuple[int, int], confidence: float) -> None:
    correct, examples = counts
    ours = wilson(correct, examples, confidence)
    low, high = proportion_confint(correct, examples, alpha=1 - confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)
    theirs = reference.binomtest(correct, examples).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= ours.low <= correct / examples <= ours.high <= 1


@pytest.mark.parametrize("counts", [(-1, 3), (4, 3), (0, 0)])
def test_what_is_no_accuracy_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is not an accuracy"):
        wilson(*counts)


def test_standard_error() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 10) == 0.0


@given(st.integers(0, 400), st.integers(0, 400))
@example(0, 0)
@example(1100, 1)
def test_mcnemar_is_scipys_and_statsmodels(only_one: int, only_other: int) -> None:
    ours = exact_mcnemar(only_one, only_other)
    assert ours == exact_mcnemar(only_other, only_one)
    both = only_one + only_other
    if both:
        assert ours == pytest.approx(reference.binomtest(only_one, both, 0.5).pvalue, rel=1e-9)
        table = [[7, only_one], [only_other, 5]]
        assert ours == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)
    else:
        assert ours == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_pairs_are_counted_and_swapping_them_turns_the_sign(
    answers: list[tuple[bool, bool]],
) -> None:
    one, other = (np.array(column) for column in zip(*answers, strict=True))
    found = paired_counts(one, other)
    assert found.difference == pytest.approx(one.mean() - other.mean())
    swapped = PairedCounts(found.only_second, found.only_first, len(answers))
    assert paired_counts(other, one) == swapped
    assert paired_counts(one, one).p == 1.0


def test_arrays_that_do_not_match_are_refused() -> None:
    for other in (np.ones(3, bool), np.ones((2, 2), bool)):
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_counts(np.ones(4, bool), other)


def test_the_bootstrap_is_scipys_over_examples() -> None:
    answers = np.repeat([1, -1, 0], [60, 35, 405])
    theirs = reference.bootstrap(
        (answers,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_difference(60, 35, 500)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.0021)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_bootstrap_is_that_over_all_samples(
    one: int, other: int, rest: int, confidence: float
) -> None:
    """Every sample of so few examples, one by one."""
    answers = [1] * one + [-1] * other + [0] * rest
    if not answers:
        return
    sums = sorted(sum(sample) for sample in itertools.product(answers, repeat=len(answers)))
    tail = (1 - confidence) / 2
    places = [math.ceil(share * len(sums) - 1e-6) - 1 for share in (tail, 1 - tail)]
    low, high = (sums[place] / len(answers) for place in places)
    found = bootstrap_difference(one, other, len(answers), confidence)
    assert (found.low, found.high) == pytest.approx((low, high))


@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 2000))
def test_the_bootstrap_holds_the_difference(one: int, other: int, rest: int) -> None:
    examples = one + other + rest
    found = bootstrap_difference(one, other, examples)
    assert found.low <= (one - other) / examples <= found.high
    turned = bootstrap_difference(other, one, examples)
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high), abs=1 / examples)
    if one == other == 0:
        assert found == Interval(0.0, 0.0)


@settings(max_examples=30)  # statsmodels is slow
@given(P_VALUES)
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    ours = holm(p_values)
    assert ours == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, ours, strict=True))


def test_holm_of_known_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()


@given(VALUES)
def test_a_mean_over_seeds_is_scipys(values: list[float]) -> None:
    found = mean_over_seeds(values)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert found.interval is not None
    if found.deviation and found.deviation > 1e-9:
        scale = reference.sem(values)
        theirs = reference.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scale)
        assert (found.interval.low, found.interval.high) == pytest.approx(theirs, rel=1e-7)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = mean_over_seeds([0.4])
    assert (found.mean, found.deviation, found.interval) == (0.4, None, None)
    with pytest.raises(ValueError, match="no values"):
        mean_over_seeds([])


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=2, max_size=9))
def test_a_paired_difference_is_scipys(pairs: list[tuple[int, int]]) -> None:
    one, other = ([value / 1000 for value in column] for column in zip(*pairs, strict=True))
    found = mean_difference([a - b for a, b in zip(one, other, strict=True)])
    if len({a - b for a, b in pairs}) == 1:
        assert found.p is None
    else:
        theirs = reference.ttest_rel(one, other)
        assert found.p == pytest.approx(theirs.pvalue, rel=1e-6)
        low, high = theirs.confidence_interval(0.95)
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-9)


def test_a_pooled_deviation() -> None:
    groups = [[0.1, 0.3], [0.5, 0.5, 0.8], [0.9]]
    squares = 0.02 + np.var(groups[1]) * 3
    assert pooled_deviation(groups) == pytest.approx(math.sqrt(squares / 3))
    assert pooled_deviation([[0.5]]) is None


def test_the_expected_maximum_of_known_numbers() -> None:
    # Closed forms for two and three draws; 1.53875 for ten (Harter 1961, table 1).
    assert expected_maximum(1, 1.0) == pytest.approx(0, abs=1e-9)
    assert expected_maximum(2, 1.0) == pytest.approx(1 / math.sqrt(math.pi))
    assert expected_maximum(3, 1.0) == pytest.approx(1.5 / math.sqrt(math.pi))
    assert expected_maximum(10, 2.0) == pytest.approx(2 * 1.5387527)
    drawn = np.random.default_rng(3).normal(size=(4000, 500)).max(axis=1).mean()
    assert expected_maximum(500, 1.0) == pytest.approx(drawn, abs=0.03)
    with pytest.raises(ValueError, match="no maximum"):
        expected_maximum(0, 1.0)
