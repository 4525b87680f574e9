"""What fresh seeds say of a search's leaders: means over seeds against the values it was won by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from trytable.results.storage.engine import StudyNotFound
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import SEED
from trytable.results.storage.study import CONFIRM_SUFFIX, StudyResult, TrialResult

Values = Mapping[int, float]
"""The objective's best by seed."""


@dataclass(frozen=True)
class ConfirmedPoint:
    """One point trained again: `number` is that of its try in the search (Try 1 is 0).

    `against_*` are differences over the seeds that both were trained with; their p is Holm's over
    all confirmed points. None: nothing to compare with.
    """

    number: int
    values: Values
    over_seeds: Mean
    dev_accuracy: Mean | None
    test_accuracy: Mean | None
    against_best: MeanDifference | None = None
    against_best_p: float | None = None
    against_baseline: MeanDifference | None = None
    against_baseline_p: float | None = None


@dataclass(frozen=True)
class Confirmation:
    """A search and its confirmed points, the best mean first.

    `winner` is the search's best try; `optimism` is by how much its value in the search beats its
    own confirmed mean, in the objective's units; `expected_optimism` is what the best of `draws`
    equally good tries would show by noise of `deviation` alone. None: not known (yet).
    """

    study: str
    points: tuple[ConfirmedPoint, ...]
    winner: int
    optimism: float | None
    expected_optimism: float | None
    deviation: float | None
    draws: int

    def point(self, number: int) -> ConfirmedPoint | None:
        """What was confirmed of a try of the search."""
        return next((one for one in self.points if one.number == number), None)


def confirm(search: StudyResult, again: StudyResult) -> Confirmation | None:
    """Compare a search with the study that trained its leaders again; None: nothing completed."""
    objective = search.objective
    found = sorted(_points(search, again), key=lambda one: objective.rank(one.over_seeds.mean))
    if not found or not search.ranked:
        return None
    baseline = search.baseline
    base = next((one for one in found if baseline and one.number == baseline.number), None)
    winner = search.ranked[0]
    won = next((one for one in found if one.number == winner.number), None)
    deviation = pooled_deviation([tuple(one.values.values()) for one in found])
    draws = len(search.ranked)
    optimism = None
    if won is not None and winner.best_value is not None:
        optimism = objective.gain(winner.best_value, won.over_seeds.mean)
    return Confirmation(
        study=again.name,
        points=_compared(found, base),
        winner=winner.number,
        optimism=optimism,
        expected_optimism=None if deviation is None else expected_maximum(draws, deviation),
        deviation=deviation,
        draws=draws,
    )


def _points(search: StudyResult, again: StudyResult) -> list[ConfirmedPoint]:
    tries: dict[int, dict[int, TrialResult]] = {}
    for one in again.ranked:
        number = _try_of(search, one)
        if number is not None and SEED in one.params:
            tries.setdefault(number, {})[int(one.params[SEED])] = one
    return [_confirmed(number, by_seed) for number, by_seed in tries.items()]


def _try_of(search: StudyResult, one: TrialResult) -> int | None:
    """The try of the search that has the same point: the baseline itself, else the best."""
    point = _point(one)
    baseline = [search.baseline] if search.baseline else []
    same = (found for found in (*baseline, *search.ranked) if _point(found) == point)
    return next((found.number for found in same), None)


def _point(one: TrialResult) -> dict[str, Any]:
    return {name: value for name, value in one.params.items() if name != SEED}


def _confirmed(number: int, by_seed: Mapping[int, TrialResult]) -> ConfirmedPoint:
    tries = [by_seed[seed] for seed in sorted(by_seed)]
    values = {seed: by_seed[seed].best_value for seed in sorted(by_seed)}
    known = {seed: value for seed, value in values.items() if value is not None}
    return ConfirmedPoint(
        number=number,
        values=known,
        over_seeds=mean_over_seeds(tuple(known.values())),
        dev_accuracy=_mean([one.best_dev_accuracy for one in tries]),
        test_accuracy=_mean([one.test_accuracy for one in tries]),
    )


def _mean(values: Sequence[float | None]) -> Mean | None:
    known = [value for value in values if value is not None]
    return mean_over_seeds(known) if known else None


def _compared(
    found: Sequence[ConfirmedPoint], base: ConfirmedPoint | None
) -> tuple[ConfirmedPoint, ...]:
    best, baseline = _against(found, found[0]), _against(found, base)
    compared = []
    for one in found:
        (to_best, best_p), (to_baseline, baseline_p) = best(one), baseline(one)
        compared.append(
            replace(
                one,
                against_best=to_best,
                against_best_p=best_p,
                against_baseline=to_baseline,
                against_baseline_p=baseline_p,
            )
        )
    return tuple(compared)


def _against(
    found: Sequence[ConfirmedPoint], other: ConfirmedPoint | None
) -> Callable[[ConfirmedPoint], tuple[MeanDifference | None, float | None]]:
    """How each point does against another one over the seeds that both have."""
    differences: dict[int, MeanDifference] = {}
    for one in found:
        shared = one.values.keys() & other.values.keys() if other else ()
        if other and one is not other and shared:
            gaps = [one.values[seed] - other.values[seed] for seed in sorted(shared)]
            differences[one.number] = mean_difference(gaps)
    tested = {number: d.p for number, d in differences.items() if d.p is not None}
    corrected = dict(zip(tested, holm(tuple(tested.values())), strict=True))
    return lambda one: (differences.get(one.number), corrected.get(one.number))


def read_confirmation(url: str, study: StudyResult) -> Confirmation | None:
    """What fresh seeds say of a study's leaders; None where they were not trained again.

    Raises DatabaseUnreadable.
    """
    try:
        again = read_study(url, study.name + CONFIRM_SUFFIX)
    except StudyNotFound:
        return None
    return confirm(study, again)
