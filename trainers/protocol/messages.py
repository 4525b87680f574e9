"""What goes into a worker and what comes out: the job, the events, the knobs.

A job is one JSON object; events come back as JSON lines; control lines go the other way.
This module imports neither torch nor another room, so that the orchestrator can read it.
"""

import time
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trytable.records import (
    DEFAULT_OBJECTIVE,
    DataSource,
    Direction,
    EpochMetrics,
    LaunchSettings,
    Objective,
    Scalar,
    Severity,
)
from trytable.trainers.protocol.base import Record
from trytable.trainers.protocol.memory_knobs import memory_shape
from trytable.trainers.protocol.model_knobs import ModelKnobs
from trytable.trainers.protocol.training_knobs import TrainingKnobs

__all__ = [
    "OBJECTIVES",
    "Direction",
    "FinetuneSettings",
    "Objective",
    "Record",
    "memory_shape",
]

FailureKind = Literal[
    "user",
    "oom",
    "non_finite",
    "mismatch",
    "error",
    "exit_code",
    "killed",
    "no_metric",
    "no_progress",
]
"""Why an attempt failed. The last four are a script's: it ended with another exit code than 0, was
killed by a signal that was not ours, ended well without the objective, or fell silent."""

RETRIED: frozenset[FailureKind] = frozenset({"error", "killed"})
"""What is worth another attempt: the others would come again."""

StopReason = Literal["prune", "drain", "gate"]
"""Who asks a worker to stop: the pruner, the person (with a checkpoint), or a diagnosis."""


OBJECTIVES: dict[str, Direction] = {
    "dev_accuracy": "maximize",
    "dev_macro_f1": "maximize",
    "dev_loss": "minimize",
}
"""What the trainers of ours measure after every epoch, and which way is better."""


class FinetuneSettings(ModelKnobs, TrainingKnobs):
    """The knobs of the built-in trainer. Each can be fixed in a sweep's baseline or swept."""

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES
    TELLS_MEMORY: ClassVar[bool] = True
    """Its workers tell what they take of a GPU (see trainers/protocol/memory_knobs.py)."""


class SimulatedSettings(Record):
    """Knobs of the scripted trainer, which trains nothing: it says what a trial would say.

    It shows the orchestrator at work where training is beside the point.
    """

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES

    value: float = Field(0.5, description="dev accuracy that the curve approaches")
    epochs: int = Field(3, ge=1, description="epochs to say")
    epoch_seconds: float = Field(0.0, ge=0, description="seconds that an epoch takes")
    crash: Literal["none", "signal", "exit", "error", "user", "hang", "garbage", "flood"] = Field(
        "none", description="how an attempt ends before its time"
    )
    crash_at_epoch: int = Field(1, ge=1, description="the epoch before whose word it crashes")
    crash_attempts: int = Field(1_000_000, ge=0, description="how many attempts crash")


class ScriptSettings(Record):
    """A script and its parameters, of any names."""

    launch: LaunchSettings
    values: dict[str, Scalar]


class FreeValues(BaseModel):
    """The parameters of a script: the sweep's file names them."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")


Settings = FinetuneSettings | SimulatedSettings | ScriptSettings

TRAINERS: dict[str, type[FinetuneSettings] | type[SimulatedSettings] | type[FreeValues]] = {
    "finetune": FinetuneSettings,
    "scripted": SimulatedSettings,
    "script": FreeValues,
}
"""The trainers that a sweep may name, and the knobs of each."""


class Job(Record):
    """One attempt at one trial: all that a worker knows.

    Paths are absolute. `data_hash` names the data that were prepared in the cache. `seed` is the
    root of every random draw. `device` is `cpu` or the UUID of a GPU; with `shared_device` other
    trials run there too, or may come. `model` is `minilm`, a local folder or a hub name.
    """

    study: str
    trial_uid: str
    number: int
    attempt: int
    folder: str
    cache_folder: str
    model: str
    data: DataSource
    data_hash: str = ""
    settings: Settings
    seed: int
    device: str = "cpu"
    shared_device: bool = False
    threads: int = 1
    objective: Objective = DEFAULT_OBJECTIVE


class Event(Record):
    """What a worker says; `attempt` tells the attempts of a trial apart in its events.jsonl."""

    attempt: int
    at: float = Field(default_factory=time.time, description="seconds since 1970, UTC")


class Started(Event):
    """The worker stands ready. `effective` was read back from live objects, not from the job."""

    event: Literal["started"] = "started"
    effective: dict[str, Scalar]
    parameters: int
    trainable_parameters: int
    data_hash: str
    code_hash: str
    device: str
    threads: int
    precision: str
    steps_per_epoch: int
    steps_total: int
    resumed_from_step: int = 0
    pid: int = 0


class Step(Event):
    """One optimizer step, counted from 1 over the whole trial. `lr` is the one just used.

    `running_accuracy` is the share of right predictions in the epoch so far. What is by layer are
    L2 norms of what is trained, by block (`embeddings`, `layer.3`, `head`); gradients are those
    before clipping. They come now and then only. What was never measured is None.
    """

    event: Literal["step"] = "step"
    step: int
    epoch: int
    loss: float | None = None
    lr: float | None = None
    gradient_norm: float | None = None
    weight_norm: float | None = None
    running_accuracy: float | None = None
    layer_gradients: dict[str, float] | None = None
    layer_weights: dict[str, float] | None = None


class Epoch(Event, EpochMetrics):
    """One epoch, counted from 1, with what it measured.

    `metrics` holds what a script measured under other names. `peak_device_bytes` is the most that
    the worker has held of its GPU's `device_bytes` so far; None on a CPU.

    mypy does not see the fields of EpochMetrics as arguments: pass `**vars(EpochMetrics(...))`.
    """

    event: Literal["epoch"] = "epoch"
    epoch: int
    step: int
    metrics: dict[str, float] = Field({})
    peak_device_bytes: int | None = None
    device_bytes: int | None = None


class Finding(Event):
    """A health check's word."""

    event: Literal["finding"] = "finding"
    kind: str
    severity: Severity
    message: str
    evidence: dict[str, Scalar] = Field({})


class Checkpoint(Event):
    """A resumable checkpoint has been written whole."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    epoch: int


class Finished(Event):
    """The trial is done. Predictions are class indices in the order of the data's file.

    `best_value` is the objective's at the best epoch, `best_dev_accuracy` the accuracy there;
    `test_accuracy` is None where the test file holds no gold labels.
    """

    event: Literal["finished"] = "finished"
    best_epoch: int
    best_value: float
    best_dev_accuracy: float | None
    test_accuracy: float | None
    dev_predictions: tuple[int, ...]
    test_predictions: tuple[int, ...]


class Failed(Event):
    """The attempt ended in an error; `shared_device` says that memory ran out where others may
    have taken it.
    """

    event: Literal["failed"] = "failed"
    kind: FailureKind
    message: str
    traceback: str = ""
    shared_device: bool = False


AnyEvent = Annotated[
    Started | Step | Epoch | Finding | Checkpoint | Finished | Failed,
    Field(discriminator="event"),
]
_EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def parse_event(line: str | bytes) -> AnyEvent:
    """Read one JSON line. Raises pydantic.ValidationError for anything but a whole event."""
    return _EVENTS.validate_json(line)


class Prepared(Record):
    """What `entrypoints.prepare` found and made ready before any worker starts.

    `gold` holds the labels of dev and test, as class indices; no entry for an unlabelled split.
    """

    classes: tuple[str, ...]
    sizes: dict[str, int]
    gold: dict[str, tuple[int, ...]]
    data_hash: str
    model_hash: str
    notes: tuple[str, ...] = ()


Verdict = Literal["ok", "warning", "failed"]


class Check(Record):
    """What `entrypoints.diagnose` found of one thing; `rows` are the numbers behind it."""

    name: str
    verdict: Verdict
    message: str
    rows: tuple[tuple[str, Scalar], ...] = ()


class RangePoint(Record):
    """A step of a learning-rate range test; losses are in nats a sentence, steps count from 1."""

    freeze: str
    seed: int
    step: int
    lr: float
    loss: float
    smoothed: float


class ScriptChecked(Record):
    """What `entrypoints.check_script` found: the sha256 of the files that are run."""

    code_hash: str


class ExportedModel(Record):
    """What `entrypoints.export_model` wrote: its predictions, class indices in file order."""

    predictions: dict[str, tuple[int, ...]]
    parameters: int


class Line(Protocol):
    """A worker's two-way line to whoever started it."""

    def say(self, event: Event) -> None:
        """Write the event to events.jsonl, then send it."""

    def stop_reason(self) -> StopReason | None:
        """Tell without waiting whether a stop has been asked for, and why."""
