"""The points that are known before a sampler is asked, and which of them are still to run. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator import space
from orchestrator.space import Point
from sweeps.spec import Sweep, grid_points


def points_left(
    sweep: Sweep, trials: Sequence[FrozenTrial], is_taken: Callable[[FrozenTrial], bool]
) -> Iterator[tuple[Point, str]]:
    """The known points that no trial has taken, each with its source, in the order of running."""
    taken = {space.key_of(point_of(trial)) for trial in trials if is_taken(trial)}
    for point, source in _known_points(sweep, trials):
        key = space.key_of(point)
        if key not in taken:
            taken.add(key)
            yield point, source


def _known_points(sweep: Sweep, trials: Iterable[FrozenTrial]) -> Iterator[tuple[Point, str]]:
    names = sweep.parameters
    baseline = {name: sweep.baseline[name] for name in names}
    yield baseline, "baseline"
    yield from (({**baseline, **point}, "enqueued") for point in sweep.enqueue)
    if sweep.sampler.name == "grid":
        yield from ((point, "grid") for point in grid_points(sweep))
    for trial in trials:
        if trial.state == TrialState.FAIL and point_of(trial).keys() == names.keys():
            yield point_of(trial), "retry"


def point_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's point; of one that waits, as far as the one who enqueued it has said."""
    fixed = trial.system_attrs.get("fixed_params", {})
    if trial.state == TrialState.WAITING:
        return {**fixed, **trial.params}  # cut off perhaps while it was made ready
    return dict(trial.params or fixed)
