"""Means over fresh seeds: which tries they are of, how sure, and how much the search flattered."""

from dataclasses import replace

import pytest
from scipy import stats as reference  # type: ignore[import-untyped]  # it ships no types

from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.analysis.confirmation import confirm
from trytable.results.storage.study import StudyResult, TrialResult

SEARCH = {0: (0.1, 0.40), 1: (0.3, 0.45), 2: (0.5, 0.44), 3: (0.7, 0.30)}
"""Number, dropout and value of each try of the search; the first is the baseline."""

SEEDS = {
    0.1: {11: 0.39, 12: 0.41, 13: 0.40},
    0.3: {11: 0.42, 12: 0.41, 13: 0.43},
    0.5: {11: 0.44, 12: 0.45, 14: 0.43},
}
"""Dropout: the value by seed; the seed 14 was trained with one point alone."""


def _try(number: int, params: dict[str, float], value: float, source: str = "grid") -> TrialResult:
    return TrialResult(
        number=number,
        uid=None,
        status="completed",
        reason="",
        source=source,
        params=params,
        distributions={},
        requested={},
        effective={},
        curve=(),
        best_epoch=None,
        best_value=value,
        best_dev_accuracy=value,
        test_accuracy=value - 0.01,
        attempts=(),
        findings=(),
        seconds=None,
    )


LOWER = Objective("dev_accuracy", "minimize")


def _study(
    name: str, tries: list[TrialResult], objective: Objective = DEFAULT_OBJECTIVE
) -> StudyResult:
    return StudyResult(name, None, objective, {}, {}, None, tuple(tries))


@pytest.fixture
def search() -> StudyResult:
    tries = [
        _try(n, {"dropout": dropout}, value, "grid" if n else "baseline")
        for n, (dropout, value) in SEARCH.items()
    ]
    return _study("dropout", tries)


@pytest.fixture
def again() -> StudyResult:
    points = [
        ({"dropout": dropout, "seed": seed}, value)
        for dropout, by_seed in SEEDS.items()
        for seed, value in by_seed.items()
    ]
    return _study("dropout@confirm", [_try(n, *point) for n, point in enumerate(points)])


def test_means_stand_beside_the_tries_that_they_are_of(
    search: StudyResult, again: StudyResult
) -> None:
    found = confirm(search, again)
    assert found is not None
    assert [one.number for one in found.points] == [2, 1, 0], "the best mean first"
    point = found.point(2)
    assert point is not None
    assert point.values == SEEDS[0.5]
    assert point.over_seeds.mean == pytest.approx(0.44)
    values = list(SEEDS[0.5].values())
    low, high = reference.t.interval(0.95, 2, loc=0.44, scale=reference.sem(values))
    assert point.over_seeds.interval is not None
    assert (point.over_seeds.interval.low, point.over_seeds.interval.high) == pytest.approx(
        (low, high)
    )
    assert point.test_accuracy is not None
    assert point.test_accuracy.mean == pytest.approx(0.43)
    assert found.point(3) is None


def test_points_are_paired_over_the_seeds_that_both_have(
    search: StudyResult, again: StudyResult
) -> None:
    found = confirm(search, again)
    assert found is not None
    two, one, base = found.points
    assert two.against_baseline is not None
    assert two.against_baseline.count == 2, "seeds 11 and 12"
    assert two.against_baseline.mean == pytest.approx(0.045)
    assert one.against_baseline is not None
    test = reference.ttest_rel([0.42, 0.41, 0.43], [0.39, 0.41, 0.40])
    assert one.against_baseline.p == pytest.approx(test.pvalue)
    p_of_two = reference.ttest_rel([0.44, 0.45], [0.39, 0.41]).pvalue
    corrected = min(1, 2 * min(test.pvalue, p_of_two))
    assert min(one.against_baseline_p or 9, two.against_baseline_p or 9) == pytest.approx(corrected)
    assert (base.against_baseline, two.against_best) == (None, None)
    assert base.against_best is not None


def test_the_optimism_of_the_search(search: StudyResult, again: StudyResult) -> None:
    found = confirm(search, again)
    assert found is not None
    assert (found.winner, found.draws) == (1, 4)
    assert found.optimism == pytest.approx(0.45 - 0.42)
    assert found.deviation == pytest.approx(0.01)
    assert found.expected_optimism == pytest.approx(0.01 * 1.0293754, rel=1e-5)  # Harter 1961


def test_of_a_loss_the_smaller_is_the_better_and_optimism_is_positive_all_the_same(
    search: StudyResult, again: StudyResult
) -> None:
    found = confirm(replace(search, objective=LOWER), replace(again, objective=LOWER))
    assert found is not None
    assert [one.number for one in found.points] == [0, 1, 2]
    assert (found.winner, found.optimism) == (3, None), "the winner was not trained again"
    tries = [one for one in search.trials if one.number != 3]
    found = confirm(_study("s", tries, LOWER), replace(again, objective=LOWER))
    assert found is not None
    assert found.winner == 0
    assert found.optimism == pytest.approx(0.0)


def test_one_seed_gives_no_interval_and_no_deviation(search: StudyResult) -> None:
    again = _study("dropout@confirm", [_try(0, {"dropout": 0.3, "seed": 7}, 0.4)])
    found = confirm(search, again)
    assert found is not None
    assert found.points[0].over_seeds.interval is None
    assert (found.deviation, found.expected_optimism) == (None, None)
    assert found.optimism == pytest.approx(0.05)


def test_nothing_confirmed(search: StudyResult) -> None:
    assert confirm(search, _study("dropout@confirm", [])) is None
    strange = [_try(0, {"dropout": 0.77, "seed": 7}, 0.4), _try(1, {"dropout": 0.3}, 0.4)]
    assert confirm(search, _study("dropout@confirm", strange)) is None
    assert _study("dropout@confirm", []).is_confirmation
    assert not search.is_confirmation


def test_tries_of_a_search_that_swept_its_seed_are_found_by_the_rest_of_their_point(
    search: StudyResult, again: StudyResult
) -> None:
    tries = [replace(one, params={**one.params, "seed": 100 + one.number}) for one in search.trials]
    swept = confirm(replace(search, trials=tuple(tries)), again)
    plain = confirm(search, again)
    assert swept is not None
    assert swept == plain
