"""A sweep, as the other rooms see it: frozen, checked, complete."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sweeps.schema import Pruner, Sampler

Point = dict[str, Any]
"""A value for each parameter that varies."""


@dataclass(frozen=True)
class Values:
    """Listed values: points of a grid, or what a sampler chooses from.

    Numbers are all `float` or all `int`; anything else, mixed lists too, is a `choice`.
    """

    kind: Literal["float", "int", "choice"]
    values: tuple[Any, ...]

    @property
    def largest(self) -> Any:
        """The largest of the numbers."""
        return max(self.values)


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; `log`: drawn evenly on a log scale."""

    low: float
    high: float
    log: bool
    step: float | None
    integer: bool

    @property
    def largest(self) -> float:
        """The upper end."""
        return self.high


@dataclass(frozen=True)
class Sweep:
    """What to try. `baseline` holds every knob of the trainer, `enqueue` known points."""

    name: str
    path: str
    description: str
    trainer: str
    model: str
    data: dict[str, Any]
    seed: int
    baseline: dict[str, Any]
    parameters: dict[str, Values | Range]
    sampler: Sampler
    pruner: Pruner
    trials: int | None
    hours: float | None
    attempts: int
    enqueue: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a database."""
        plain = {
            key: value
            for key, value in vars(self).items()
            if key not in ("path", "parameters", "sampler", "pruner", "enqueue")
        }
        return {
            **plain,
            "parameters": {name: _plain(p) for name, p in self.parameters.items()},
            "sampler": self.sampler.model_dump(),
            "pruner": self.pruner.model_dump(),
            "enqueue": list(self.enqueue),
            "objective": {"name": "dev_accuracy", "direction": "maximize"},
        }


def _plain(parameter: Values | Range) -> dict[str, Any]:
    if isinstance(parameter, Values):
        return {"kind": parameter.kind, "values": list(parameter.values)}
    return {"kind": "range", **asdict(parameter)}


def grid_points(sweep: Sweep) -> tuple[Point, ...]:
    """Every combination of the listed values, in their order, the baseline's first if it is one."""
    listed = {n: p.values for n, p in sweep.parameters.items() if isinstance(p, Values)}
    if len(listed) < len(sweep.parameters):
        return ()
    points = [
        dict(zip(listed, combination, strict=True))
        for combination in itertools.product(*listed.values())
    ]
    baseline = {name: sweep.baseline[name] for name in listed}
    points.sort(key=lambda point: point != baseline)
    return tuple(points)
