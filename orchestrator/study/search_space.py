"""Translates a sweep into Optuna's terms (distributions, sampler, pruner) and compares points."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from trytable.records import Point, Scalar
from trytable.sweeps.config.schema import Range, Sweep, Values


def distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """One distribution per parameter; the numbers of a grid span a range.

    Optuna lets a study's ranges grow but not its categories, so values can be added to a grid
    later; the dashboard also plots them on a number axis. No sampler draws from that range.
    """
    return {
        name: _distribution(
            parameter,
            [point[name] for point in _initial_points(sweep)],
            on_grid=sweep.sampler.name == "grid",
        )
        for name, parameter in sweep.parameters.items()
    }


def _initial_points(sweep: Sweep) -> list[Point]:
    return [
        {name: {**sweep.baseline, **point}[name] for name in sweep.parameters}
        for point in ({}, *sweep.enqueue)
    ]


def _distribution(parameter: Values | Range, initial: list[Any], on_grid: bool) -> BaseDistribution:
    if isinstance(parameter, Range):
        return _range(parameter)
    values = [*parameter.values, *initial]
    if on_grid and parameter.kind == "float":
        return FloatDistribution(min(values), max(values))
    if on_grid and parameter.kind == "int":
        return IntDistribution(min(values), max(values))
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def _range(parameter: Range) -> BaseDistribution:
    if parameter.integer:
        low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
        return IntDistribution(low, high, log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def point_key(point: Mapping[str, Any]) -> frozenset[tuple[str, bool, Any]]:
    """A key that equal points share: 1 and 1.0 are equal, 1 and True are not."""
    return frozenset(
        # A person may enqueue values that no parameter can have, such as a list.
        (name, isinstance(value, bool), value if isinstance(value, Hashable) else repr(value))
        for name, value in point.items()
    )


class PointSet:
    """Points by their `point_key`."""

    def __init__(self, points: Iterable[Mapping[str, Any]] = ()) -> None:
        self._keys = {point_key(point) for point in points}

    def add(self, point: Mapping[str, Any]) -> bool:
        """Add a point and return whether the set lacked it."""
        key = point_key(point)
        is_new = key not in self._keys
        self._keys.add(key)
        return is_new


def same_point(point: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two points are the same."""
    return point_key(point) == point_key(other)


def point_inside(
    parameters: Mapping[str, Scalar], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Scalar]:
    """The values that are inside their distributions."""
    point: dict[str, Scalar] = {}
    for name, distribution in distributions.items():
        if name not in parameters:
            continue
        value = parameters[name]
        try:
            inside = distribution._contains(distribution.to_internal_repr(value))
        except ValueError:
            continue
        if inside:
            point[name] = value
    return point


def trial_point(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's point; a waiting trial has only the values that it was enqueued with."""
    fixed = trial.system_attrs.get("fixed_params", {})
    if trial.state == TrialState.WAITING:
        return {**fixed, **trial.params}  # an earlier run may have been killed while it added them
    return dict(trial.params or fixed)
