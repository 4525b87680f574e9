"""Compares a search with a study that trained its best points again with fresh seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trytable.results.analysis.statistics import (
    Mean,
    MeanDifference,
    expected_maximum,
    holm,
    mean_difference,
    mean_over_seeds,
    pooled_deviation,
)
from trytable.results.analysis.types import Confirmation, ConfirmedPoint
from trytable.results.storage.engine import StudyNotFound
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import SEED
from trytable.results.storage.study import CONFIRM_SUFFIX, StudyResult, TrialResult


def read_confirmation(url: str, study: StudyResult) -> Confirmation | None:
    """The confirmation of a study's best points; None if they were not trained again.

    Raises DatabaseUnreadable.
    """
    try:
        retrained = read_study(url, study.name + CONFIRM_SUFFIX)
    except StudyNotFound:
        return None
    return confirm(study, retrained)


def confirm(search: StudyResult, retrained: StudyResult) -> Confirmation | None:
    """Compare a search with the study that trained its best points again.

    None if no trial of either completed.
    """
    objective = search.objective
    points = sorted(
        _points(search, retrained), key=lambda point: objective.rank(point.over_seeds.mean)
    )
    if not points or not search.ranked:
        return None
    winner = search.ranked[0]
    winner_point = _point_of(points, winner)
    optimism = None
    if winner_point is not None and winner.best_value is not None:
        optimism = objective.gain(winner.best_value, winner_point.over_seeds.mean)
    deviation = pooled_deviation([tuple(point.values.values()) for point in points])
    draws = len(search.ranked)
    return Confirmation(
        study=retrained.name,
        points=_with_differences(points, _point_of(points, search.baseline)),
        winner=winner.number,
        optimism=optimism,
        expected_optimism=None if deviation is None else expected_maximum(draws, deviation),
        deviation=deviation,
        draws=draws,
    )


def _point_of(points: Sequence[ConfirmedPoint], trial: TrialResult | None) -> ConfirmedPoint | None:
    return next((point for point in points if trial and point.number == trial.number), None)


def _points(search: StudyResult, retrained: StudyResult) -> list[ConfirmedPoint]:
    groups: dict[int, dict[int, TrialResult]] = {}
    for trial in retrained.ranked:
        number = _number_in_search(search, trial)
        if number is not None and SEED in trial.params:
            groups.setdefault(number, {})[int(trial.params[SEED])] = trial
    return [_confirmed_point(number, by_seed) for number, by_seed in groups.items()]


def _number_in_search(search: StudyResult, trial: TrialResult) -> int | None:
    """The search's trial of the same point: the baseline first, then the best one."""
    params = _without_seed(trial)
    candidates = (*([search.baseline] if search.baseline else []), *search.ranked)
    matches = (candidate for candidate in candidates if _without_seed(candidate) == params)
    return next((match.number for match in matches), None)


def _without_seed(trial: TrialResult) -> dict[str, Any]:
    return {name: value for name, value in trial.params.items() if name != SEED}


def _confirmed_point(number: int, by_seed: Mapping[int, TrialResult]) -> ConfirmedPoint:
    seeds = sorted(by_seed)
    trials = [by_seed[seed] for seed in seeds]
    values = {
        seed: trial.best_value
        for seed, trial in zip(seeds, trials, strict=True)
        if trial.best_value is not None
    }
    return ConfirmedPoint(
        number=number,
        values=values,
        over_seeds=mean_over_seeds(tuple(values.values())),
        dev_accuracy=_mean([trial.best_dev_accuracy for trial in trials]),
        test_accuracy=_mean([trial.test_accuracy for trial in trials]),
    )


def _mean(values: Sequence[float | None]) -> Mean | None:
    measured_values = [value for value in values if value is not None]
    return mean_over_seeds(measured_values) if measured_values else None


def _with_differences(
    points: Sequence[ConfirmedPoint], baseline: ConfirmedPoint | None
) -> tuple[ConfirmedPoint, ...]:
    best_differences, best_p = _differences(points, points[0])
    baseline_differences, baseline_p = _differences(points, baseline)
    return tuple(
        replace(
            point,
            against_best=best_differences.get(point.number),
            against_best_p=best_p.get(point.number),
            against_baseline=baseline_differences.get(point.number),
            against_baseline_p=baseline_p.get(point.number),
        )
        for point in points
    )


def _differences(
    points: Sequence[ConfirmedPoint], other: ConfirmedPoint | None
) -> tuple[dict[int, MeanDifference], dict[int, float]]:
    """Each point's mean difference to another one over shared seeds, and Holm's corrected p."""
    differences: dict[int, MeanDifference] = {}
    for point in points:
        shared = point.values.keys() & other.values.keys() if other else ()
        if other and point is not other and shared:
            gaps = [point.values[seed] - other.values[seed] for seed in sorted(shared)]
            differences[point.number] = mean_difference(gaps)
    p_values = {number: d.p for number, d in differences.items() if d.p is not None}
    corrected = holm(tuple(p_values.values()))
    return differences, dict(zip(p_values, corrected, strict=True))
