"""A checked sweep: the one frozen model that a file is read into and that a study stores."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trytable.records import (
    DEFAULT_OBJECTIVE,
    DataSource,
    LaunchSettings,
    Objective,
    Point,
    StoppingKind,
)

ParameterKind = Literal["float", "int", "choice"]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys and does not turn words into numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Values:
    """A list of values: a grid's points, or what a sampler chooses from.

    Kinds `float` and `int` hold numbers of that type, `choice` words, or words and numbers mixed.
    """

    kind: ParameterKind
    values: tuple[Any, ...]

    @property
    def largest(self) -> Any:
        """The largest value. Only numbers have one."""
        return max(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; with a `step`, only low, low + step, ..."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None
    integer: bool = False
    kind: Literal["range"] = "range"

    @property
    def largest(self) -> float:
        """The largest value."""
        return self.high

    def step_count(self) -> Decimal:
        """The number of steps from low to high; a fraction if the steps miss high.

        Decimal, since 0.1 + 0.2 must be the 0.3 that a person wrote. Needs a step.
        """
        return (_exact(self.high) - _exact(self.low)) / _exact(self.step)

    @property
    def values(self) -> tuple[float, ...]:
        """Every value of a range with a step, the lowest first; none without a step."""
        if self.step is None:
            return ()
        low, step = _exact(self.low), _exact(self.step)
        number = int if self.integer else float
        return tuple(number(low + step * index) for index in range(int(self.step_count()) + 1))

    def contains(self, value: float) -> bool:
        """Whether a value is in the range and, if there is a step, on one."""
        if not self.low <= value <= self.high:
            return False
        return self.step is None or (_exact(value) - _exact(self.low)) % _exact(self.step) == 0


def _exact(number: float | None) -> Decimal:
    return Decimal(repr(number))


class Choice(BaseModel):
    """A sampler or pruner by name, with its options as further fields."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    name: str

    @property
    def options(self) -> Mapping[str, Any]:
        """The options by name; `form` has checked them."""
        return self.model_extra or {}


class EarlyStopping(Strict):
    """The findings that stop a trial.

    Attributes:
        kinds: the kinds of findings; if empty, none stops a trial.
        window_steps: optimizer steps before a trial is diagnosed, and over which it is.
        tolerance: share of ln C within which a loss is that of guessing among C classes.
    """

    # Not strict: YAML and JSON know lists, not tuples.
    kinds: tuple[StoppingKind, ...] = Field(("no_learning",), strict=False)
    window_steps: int = Field(300, ge=20, le=1_000_000)
    tolerance: float = Field(0.05, gt=0, lt=1)


@dataclass(frozen=True)
class SweepKinds:
    """What a sweep file may name.

    Attributes:
        trainers: the knobs of each trainer.
        samplers, pruners: the options of each, a dataclass or pydantic model. A lookup raises
            Refused for a kind that is installed but cannot be used.
    """

    trainers: Mapping[str, type[BaseModel]]
    samplers: Mapping[str, type]
    pruners: Mapping[str, type]


class Sweep(Strict):
    """A sweep whose every value has been checked.

    Attributes:
        seed: the root of every random draw; None: the study draws one and stores it.
        baseline: the value of every knob, the trainer's defaults included.
        parameters: what is swept, in the order of the file.
        gate: which findings stop a trial.
        trials: trials in all, or None for every point of a grid.
        hours: a time budget, or None.
        attempts: how often a worker may be started for one trial.
        gpu_failures: after so many failed trials in a row on one GPU, the GPU is set aside.
        max_per_gpu: at most so many trials share a GPU, if its memory holds them.
        silence_minutes: a worker that completes no batch for so long is killed.
        enqueue: points to run first, each with a value for every parameter.
        name: the file's name without its ending; the study has the same.
        script: what trainer `script` runs; None for the other trainers.
        path: the file, as it was given. Not stored: it is this machine's own.
        points: a grid's points if it has only some; None: every combination. Not stored.
    """

    description: str = ""
    trainer: str = "finetune"
    model: str = Field("minilm", min_length=1)
    data: DataSource = DataSource()
    seed: int | None = Field(42, ge=0, lt=2**63)
    objective: Objective = DEFAULT_OBJECTIVE
    baseline: dict[str, Any] = {}
    parameters: dict[str, Values | Range]
    sampler: Choice = Choice(name="grid")
    pruner: Choice = Choice(name="none")
    gate: EarlyStopping = EarlyStopping()
    trials: int | None = Field(None, ge=1, le=1_000_000)
    hours: float | None = Field(None, gt=0)
    attempts: int = Field(3, ge=1, le=100)
    gpu_failures: int = Field(3, ge=1, le=100)
    max_per_gpu: int = Field(1, ge=1, le=100)
    silence_minutes: float = Field(30.0, gt=0, le=100_000)
    enqueue: tuple[Point, ...] = Field((), strict=False)
    name: str = ""
    script: LaunchSettings | None = None
    path: str = Field("", exclude=True)
    points: tuple[Point, ...] | None = Field(None, exclude=True)

    def to_json(self) -> dict[str, Any]:
        """The plain dict that a study stores."""
        content = self.model_dump(mode="json", exclude=None if self.script else {"script"})
        return content | {"data": self.data.to_json()}


FILE_KEYS = tuple(Sweep.model_fields)[: tuple(Sweep.model_fields).index("name")]
"""The keys of every sweep's file, in the order of the documentation."""


def grid_points(sweep: Sweep) -> tuple[Point, ...]:
    """Every point of the grid once, the last parameter fastest; none if a range has no step.

    The baseline's point comes first if it is on the grid.
    """
    if sweep.points is not None:
        return sweep.points
    points = [
        dict(zip(sweep.parameters, values, strict=True))
        for values in itertools.product(*(p.values for p in sweep.parameters.values()))
    ]
    baseline = {name: sweep.baseline[name] for name in sweep.parameters}
    return tuple(sorted(points, key=lambda point: point != baseline))
