"""What a checked sweep is: frozen records that the other rooms read."""

import itertools
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from trytable.records import (
    PRUNER_OPTIONS,
    SAMPLER_OPTIONS,
    Objective,
    ParameterStyle,
    Point,
    PrunerName,
    SamplerName,
    StoppingKind,
)

Kind = Literal["float", "int", "choice"]


@dataclass(frozen=True)
class Values:
    """A list of values: a grid's points, or what a sampler chooses from.

    `float` and `int` hold numbers of that type, `choice` anything else, words and numbers mixed.
    """

    kind: Kind
    values: tuple[Any, ...]

    @property
    def largest(self) -> Any:
        """The largest value. Only numbers have one."""
        return max(self.values)

    def points(self) -> tuple[Any, ...]:
        """The values in the order of the file."""
        return self.values

    def to_json(self) -> dict[str, Any]:
        """A plain dict for the ledger."""
        return {"kind": self.kind, "values": list(self.values)}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; with a `step`, only low, low + step, ..."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    @property
    def largest(self) -> float:
        """The largest value."""
        return self.high

    def steps(self) -> Decimal:
        """How many steps lie between low and high; not whole where the step misses high.

        Decimal, since 0.1 + 0.2 must be the 0.3 that a person wrote. Needs a step.
        """
        return (_exact(self.high) - _exact(self.low)) / _exact(self.step)

    def points(self) -> tuple[float, ...]:
        """Every value of a range with a step, lowest first; of one without, none."""
        if self.step is None:
            return ()
        low, step = _exact(self.low), _exact(self.step)
        number = int if self.integer else float
        return tuple(number(low + step * i) for i in range(int(self.steps()) + 1))

    def contains(self, value: float) -> bool:
        """Whether a value lies in the range and, where there is a step, on one."""
        if not self.low <= value <= self.high:
            return False
        return self.step is None or (_exact(value) - _exact(self.low)) % _exact(self.step) == 0

    def to_json(self) -> dict[str, Any]:
        """A plain dict for the ledger."""
        return {"kind": "range", **asdict(self)}


def _exact(number: float | None) -> Decimal:
    return Decimal(repr(number))


@dataclass(frozen=True)
class Sampler:
    """Who chooses points. `startup_trials`: random ones before tpe and gp begin to learn."""

    name: SamplerName
    startup_trials: int

    def to_json(self) -> dict[str, Any]:
        """The name and the options that this sampler has."""
        return _with_options(self, SAMPLER_OPTIONS[self.name])


@dataclass(frozen=True)
class Pruner:
    """Who ends trials early; each pruner reads its own options only (PRUNER_OPTIONS).

    Attributes:
        startup_trials: trials that must have ended before the median judges.
        warmup_epochs: epochs of a trial that the median never judges.
        patience: epochs without improvement that a trial may have, or None.
        min_epochs: epochs that asha and hyperband give every trial.
        reduction_factor: of so many trials one goes on to the next rung.
    """

    name: PrunerName
    startup_trials: int
    warmup_epochs: int
    patience: int | None
    min_epochs: int
    reduction_factor: int

    def to_json(self) -> dict[str, Any]:
        """The name and the options that this pruner has."""
        return _with_options(self, PRUNER_OPTIONS[self.name])


def _with_options(record: Sampler | Pruner, options: tuple[str, ...]) -> dict[str, Any]:
    return {"name": record.name, **{option: getattr(record, option) for option in options}}


@dataclass(frozen=True)
class Gate:
    """Which diagnoses end a trial early.

    Attributes:
        kinds: the diagnoses; none: every trial goes on.
        window_steps: optimizer steps that a trial has before it is judged, and over which.
        tolerance: share of ln C within which a loss is that of guessing among C classes.
    """

    kinds: tuple[StoppingKind, ...]
    window_steps: int
    tolerance: float

    def to_json(self) -> dict[str, Any]:
        """A plain dict for the ledger."""
        return {**asdict(self), "kinds": list(self.kinds)}


@dataclass(frozen=True)
class Script:
    """What trainer `script` runs, and how it is read.

    Attributes:
        command: the words as they are run, no shell between; what stands in braces is filled in.
        style: how `{params}` spells each parameter, or in which format of file.
        switches: parameters that are a bare `--name` where true, and nothing where false.
        cwd: the folder it runs in.
        env: variables of its environment, over those that are there.
        config: a file whose copy, with the parameters in it, `{config}` names; or None.
        patterns: regular expressions whose named groups are metrics.
        metrics_file: a JSON-lines or CSV file that it writes metrics into, or None.
        observe: whether a Python script's optimizer and dropout are looked at.
        no_progress_minutes: silence after which it is taken to hang.
        grace_seconds: from SIGTERM to SIGKILL.
    """

    command: tuple[str, ...]
    style: ParameterStyle
    switches: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    config: str | None
    patterns: tuple[str, ...]
    metrics_file: str | None
    observe: bool
    no_progress_minutes: float
    grace_seconds: float

    def to_json(self) -> dict[str, Any]:
        """A plain dict for the ledger."""
        plain = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}


@dataclass(frozen=True)
class Sweep:
    """A sweep whose every value has been checked.

    Attributes:
        name: the file's name without its ending; the study has the same.
        path: the file, as it was given.
        data: where the text comes from: name, text, text_pair, label.
        seed: the root of every random draw; None: the study draws one and keeps it.
        objective: what is maximised or minimised.
        baseline: the value of every knob, the trainer's defaults included.
        parameters: what is swept, in the order of the file.
        trials: trials in all, or None for every point of a grid.
        hours: a budget, or None.
        attempts: starts of a worker that a trial may have.
        gpu_failures: trials that fail on a GPU in a row, after which it is set aside.
        max_per_gpu: trials that share a GPU at most, where its memory holds them.
        silence_minutes: a worker that has not even moved on by a batch for so long is killed.
        enqueue: known tries, each with a value for every parameter.
        gate: which diagnoses end a trial early.
        script: what trainer `script` runs; None for the other trainers.
        points: a grid's points where it has only some; None: every combination.
    """

    name: str
    path: str
    description: str
    trainer: str
    model: str
    data: dict[str, Any]
    seed: int | None
    objective: Objective
    baseline: dict[str, Any]
    parameters: dict[str, Values | Range]
    sampler: Sampler
    pruner: Pruner
    trials: int | None
    hours: float | None
    attempts: int
    enqueue: tuple[Point, ...]
    gate: Gate
    script: Script | None = None
    points: tuple[Point, ...] | None = None
    gpu_failures: int = 3
    max_per_gpu: int = 1
    silence_minutes: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """A plain dict for the ledger; the path stays out, which is this machine's own."""
        return {
            "name": self.name,
            "description": self.description,
            "trainer": self.trainer,
            "model": self.model,
            "data": dict(self.data),
            "seed": self.seed,
            "baseline": dict(self.baseline),
            "parameters": {name: one.to_json() for name, one in self.parameters.items()},
            "sampler": self.sampler.to_json(),
            "pruner": self.pruner.to_json(),
            "trials": self.trials,
            "hours": self.hours,
            "attempts": self.attempts,
            "gpu_failures": self.gpu_failures,
            "max_per_gpu": self.max_per_gpu,
            "silence_minutes": self.silence_minutes,
            "enqueue": [dict(point) for point in self.enqueue],
            "objective": asdict(self.objective),
            "gate": self.gate.to_json(),
            **({"script": self.script.to_json()} if self.script else {}),
        }


def grid_points(sweep: Sweep) -> tuple[Point, ...]:
    """Every point of the grid once, the last parameter fastest; none where a range has no step.

    The baseline's point is first where it is on the grid.
    """
    if sweep.points is not None:
        return sweep.points
    points = [
        dict(zip(sweep.parameters, values, strict=True))
        for values in itertools.product(*(one.points() for one in sweep.parameters.values()))
    ]
    baseline = {name: sweep.baseline[name] for name in sweep.parameters}
    return tuple(sorted(points, key=lambda point: point != baseline))
