"""What a worker receives and what it sends: jobs, events and results.

A job is one JSON object; the worker answers with events as JSON lines; stop requests go the other
way. This module does not import torch, so that the orchestrator can read it. Field names are stored
in job.json, in events.jsonl and in the ledger: they must not change.
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
    Leak,
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
"""Why an attempt failed. The last four are a script's: it exited with a code other than 0, was
killed by a signal that Trytable did not send, ended without reporting the objective, or printed
nothing for too long."""

RETRYABLE: frozenset[FailureKind] = frozenset({"error", "killed"})
"""Failures that another attempt may avoid; the others would happen again."""

StopReason = Literal["prune", "drain", "gate"]
"""Why a worker is stopped: by the pruner, by the user (with a checkpoint), or by a finding."""


OBJECTIVES: dict[str, Direction] = {
    "dev_accuracy": "maximize",
    "dev_macro_f1": "maximize",
    "dev_loss": "minimize",
}
"""The metrics that Trytable's own trainers measure after every epoch, and their directions."""


class FinetuneSettings(ModelKnobs, TrainingKnobs):
    """The knobs of the built-in trainer. Each can be fixed in a sweep's baseline or swept."""

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES
    REPORTS_MEMORY: ClassVar[bool] = True
    """Its workers report their GPU memory (see trainers/protocol/memory_knobs.py)."""


class SimulatedSettings(Record):
    """Knobs of the scripted trainer, which trains nothing and sends the events of a made-up trial.

    It exercises the orchestrator without the cost of training.
    """

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES

    value: float = Field(0.5, description="dev accuracy that the curve approaches")
    epochs: int = Field(3, ge=1, description="number of epochs")
    epoch_seconds: float = Field(0.0, ge=0, description="seconds that an epoch takes")
    crash: Literal["none", "signal", "exit", "error", "user", "hang", "garbage", "flood"] = Field(
        "none", description="how an attempt fails"
    )
    crash_at_epoch: int = Field(1, ge=1, description="the epoch that it fails before reporting")
    crash_attempts: int = Field(1_000_000, ge=0, description="how many attempts fail")


class ScriptSettings(Record):
    """A script and its parameters, of any names."""

    launch: LaunchSettings
    values: dict[str, Scalar]


class FreeValues(BaseModel):
    """The parameters of a script, which its sweep file names."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")


Settings = FinetuneSettings | SimulatedSettings | ScriptSettings

TRAINERS: dict[str, type[FinetuneSettings] | type[SimulatedSettings] | type[FreeValues]] = {
    "finetune": FinetuneSettings,
    "scripted": SimulatedSettings,
    "script": FreeValues,
}
"""The knobs of each trainer, by the name that a sweep gives it."""


class Job(Record):
    """One attempt at one trial: everything that a worker gets.

    Paths are absolute. `data_hash` names the prepared data in the cache. `seed` is the root of
    every random draw. `device` is `cpu` or the UUID of a GPU; with `shared_device` other trials
    may run on it, too. `model` is `minilm`, a local folder or a hub name.
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
    """A message from a worker; `attempt` tells attempts apart in a trial's events.jsonl."""

    attempt: int
    at: float = Field(default_factory=time.time, description="seconds since 1970, UTC")


class Started(Event):
    """The worker is ready. `effective` was read back from live objects, not from the job."""

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
    """One optimizer step, counted from 1 over the whole trial. `lr` is the rate that it used.

    `running_accuracy` is the share of correct predictions in the epoch so far. `layer_gradients`
    (before clipping) and `layer_weights` are L2 norms of the trained parameters by block
    (`embeddings`, `layer.3`, `head`); few steps have them. None means not measured.
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
    """A problem that a health check found."""

    event: Literal["finding"] = "finding"
    kind: str
    severity: Severity
    message: str
    evidence: dict[str, Scalar] = Field({})


class Checkpoint(Event):
    """A resumable checkpoint is completely written."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    epoch: int


class Finished(Event):
    """The trial is complete. Predictions are class indices in the order of the data's file.

    `best_value` and `best_dev_accuracy` are the objective and the accuracy at the best epoch;
    `test_accuracy` is None if the test file has no gold labels.
    """

    event: Literal["finished"] = "finished"
    best_epoch: int
    best_value: float
    best_dev_accuracy: float | None
    test_accuracy: float | None
    dev_predictions: tuple[int, ...]
    test_predictions: tuple[int, ...]


class Failed(Event):
    """The attempt failed; with `shared_device` it ran out of GPU memory while other trials may have
    used the same GPU.
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
    """Read one JSON line. Raises pydantic.ValidationError if it is not one complete event."""
    return _EVENTS.validate_json(line)


class PreparedData(Record):
    """The result of `entrypoints.prepare`: facts about data and model, before any worker starts.

    `gold` holds the class indices of dev and test; an unlabelled split has no entry. `notes` are
    sentences for the user.
    """

    classes: tuple[str, ...]
    sizes: dict[str, int]
    gold: dict[str, tuple[int, ...]]
    data_hash: str
    model_hash: str
    notes: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()


Verdict = Literal["ok", "warning", "failed"]


class Check(Record):
    """One result of `entrypoints.diagnose`; `rows` are the numbers behind its verdict."""

    name: str
    verdict: Verdict
    message: str
    rows: tuple[tuple[str, Scalar], ...] = ()


class RangePoint(Record):
    """A step of a learning-rate range test; losses are in nats per sentence, steps count from 1."""

    freeze: str
    seed: int
    step: int
    lr: float
    loss: float
    smoothed: float


class ScriptCheck(Record):
    """The result of `entrypoints.check_script`: the sha256 of the files that are run."""

    code_hash: str


class ExportedModel(Record):
    """The result of `entrypoints.export_model`: predictions as class indices in file order."""

    predictions: dict[str, tuple[int, ...]]
    parameters: int


class Line(Protocol):
    """A worker's two-way connection to the orchestrator."""

    def send(self, event: Event) -> None:
        """Write the event to events.jsonl, then send it to the orchestrator."""

    def stop_reason(self) -> StopReason | None:
        """Return why the worker should stop, or None; does not wait."""
