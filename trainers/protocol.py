"""What goes into a worker and what comes out: the job, the events, the knobs.

A job is one JSON object; events come back as JSON lines; control lines go the other way.
This module imports neither torch nor another room, so that the orchestrator can read it.
"""

import time
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Scalar = bool | int | float | str | None
"""A value that a parameter, an attribute or a table cell may hold."""

FailureKind = Literal["user", "oom", "non_finite", "mismatch", "error"]
"""Why an attempt failed. Only `error` is worth another attempt: the others would come again."""

Severity = Literal["info", "warning", "error"]

StopReason = Literal["prune", "drain", "gate"]
"""Who asks a worker to stop: the pruner, the person (with a checkpoint), or a diagnosis."""


class Record(BaseModel):
    """A frozen record that refuses unknown keys and keeps NaN and infinity through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class DataSource(Record):
    """Where the text comes from.

    `name` is `docstrings` (the embedded data), a folder with train, dev and test files, or a
    data set name for the `datasets` package.
    """

    name: str = "docstrings"
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"


Direction = Literal["maximize", "minimize"]


class Objective(Record):
    """What a sweep is after: a metric of every epoch, and which way is better."""

    name: str = "dev_accuracy"
    direction: Direction = "maximize"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another one, or none at all."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than


OBJECTIVES: dict[str, Direction] = {
    "dev_accuracy": "maximize",
    "dev_macro_f1": "maximize",
    "dev_loss": "minimize",
}
"""What the trainers of ours measure after every epoch, and which way is better."""


class FinetuneSettings(Record):
    """The knobs of the built-in trainer. Each can be fixed in a sweep's baseline or swept."""

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES

    lr: float = Field(
        2e-4, gt=0, le=1, description="peak learning rate of AdamW, per optimizer step"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="probability that a unit is dropped")
    dropout_scope: Literal["head", "all"] = Field(
        "head",
        description="`head`: the dropout before the classifier; `all`: every dropout of the model",
    )
    weight_decay: float = Field(
        0.01, ge=0, le=10, description="decoupled weight decay; never on biases and norms"
    )
    batch_size: int = Field(32, ge=1, le=65536, description="sentences per optimizer step")
    freeze: (
        Literal["none", "embed", "half", "full"]
        | Annotated[int, Field(ge=0)]
        | Annotated[str, Field(pattern=r"[.*]", title="patterns of weights' names")]
    ) = Field(
        "none",
        description=(
            "`embed`: the embeddings; `half`: embeddings and lower half of the layers; `full`: "
            "embeddings and lower three quarters; a number: embeddings and that many layers; or "
            "patterns of the backbone's weights, such as `embeddings.* encoder.layer.0.*`"
        ),
    )
    unfreeze_layers_per_epoch: int = Field(
        0, ge=0, le=1000, description="frozen layers that each further epoch trains, from the top"
    )
    lora_rank: int = Field(
        0, ge=0, le=1024, description="rank of LoRA's adapters; 0: the weights themselves train"
    )
    lora_alpha: int = Field(
        16, ge=1, le=10_000, description="adapters count lora_alpha / lora_rank times"
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that an adapter's input unit is dropped"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, more time"
    )
    head: Literal["linear", "mlp"] = Field(
        "linear", description="`mlp`: linear, batch norm, ReLU, dropout for each of `head_widths`"
    )
    head_widths: list[Annotated[int, Field(ge=1, le=65536)]] = Field(
        [512, 256], min_length=1, max_length=8, description="units of the mlp head's hidden layers"
    )
    head_batch_norm: bool = Field(
        True, description="whether the mlp head's hidden layers have batch norm"
    )
    augment_delete: float = Field(
        0.0, ge=0, le=0.9, description="probability that a training token is left out"
    )
    augment_swap: float = Field(
        0.0, ge=0, le=0.9, description="share of a training text's tokens that change places"
    )
    augment_replace: float = Field(
        0.0, ge=0, le=0.9, description="probability that a near neighbour replaces a training token"
    )
    epochs: int = Field(3, ge=1, le=10_000, description="passes over the training sentences")
    schedule: Literal["constant", "linear", "cosine", "cosine_restarts", "step"] = Field(
        "linear", description="shape of the learning rate after warm-up, by optimizer step"
    )
    schedule_floor: float = Field(
        0.0, ge=0, lt=1, description="share of the peak to which the learning rate falls"
    )
    schedule_cycles: int = Field(
        3, ge=1, le=1000, description="half cosines of `cosine_restarts`, of equal length"
    )
    decay_factor: float = Field(
        0.5, gt=0, lt=1, description="what `step` multiplies the learning rate by"
    )
    decay_every_epochs: int = Field(
        1, ge=1, le=10_000, description="epochs between two falls of `step`"
    )
    warmup: float = Field(
        0.1,
        ge=0,
        le=1_000_000,
        description="how long the learning rate rises linearly from 0, in `warmup_unit`",
    )
    warmup_unit: Literal["share", "epochs", "steps"] = Field(
        "share", description="what `warmup` counts: a share of all steps, epochs, or steps"
    )
    head_lr_multiplier: float = Field(
        1.0, gt=0, le=1_000_000, description="the head's peak learning rate, in multiples of lr"
    )
    head_lr: float | None = Field(
        None, gt=0, le=1, description="the head's own peak learning rate; null: lr times multiplier"
    )
    layer_lr_decay: float = Field(
        1.0, gt=0, le=1, description="each layer's learning rate by that of the layer above it"
    )
    class_weights: Literal["none", "balanced"] | list[Annotated[float, Field(gt=0)]] = Field(
        "none", description="weights of the classes' losses; `balanced`: N / (C n_c)"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target spread evenly over all classes"
    )
    focal_gamma: float = Field(
        0.0, ge=0, le=10, description="losses are scaled by (1 - p of the gold class) ** gamma"
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="sentences in memory at once; gradients add up to batch_size. null: all",
    )
    max_gradient_norm: float = Field(
        1.0, gt=0, description="gradients are scaled down to this global L2 norm"
    )
    max_length: int = Field(128, ge=8, le=131_072, description="tokens kept of each text")
    pooling: Literal["cls", "mean", "last"] = Field(
        "mean", description="how token states become one sentence vector"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="autocast; `fp16` scales losses; `auto`: bf16 where it is native, else fp32",
    )
    patience_epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="epochs without a better objective (at a tie: dev loss) that end a trial",
    )
    min_epochs: int = Field(
        1, ge=1, le=10_000, description="epochs before which `patience_epochs` ends nothing"
    )
    probe_size: int = Field(
        500, ge=1, description="train sentences on which train accuracy is measured in eval mode"
    )
    log_every_steps: int = Field(10, ge=1, description="optimizer steps between `step` events")
    checkpoint_seconds: float = Field(
        60, ge=0, description="least time between two resumable checkpoints, taken at epoch ends"
    )
    allow_mismatch: bool = Field(
        False, description="train although a parameter was read back otherwise than asked for"
    )

    @model_validator(mode="after")
    def _one_head_rate(self) -> "FinetuneSettings":
        if self.head_lr is not None and self.head_lr_multiplier != 1:
            raise ValueError(
                f"head_lr {self.head_lr:g} and head_lr_multiplier {self.head_lr_multiplier:g} "
                "exclude each other. Allowed: one of them"
            )
        return self


class ScriptedSettings(Record):
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


Settings = FinetuneSettings | ScriptedSettings

TRAINERS: dict[str, type[FinetuneSettings] | type[ScriptedSettings]] = {
    "finetune": FinetuneSettings,
    "scripted": ScriptedSettings,
}
"""The trainers that a sweep may name, and the knobs of each."""


class Job(Record):
    """One attempt at one trial: all that a worker knows.

    Paths are absolute. `data_hash` names the data that were prepared in the cache. `seed` is the
    root of every random draw. `device` is `cpu` or the UUID of a GPU. `model` is `minilm`, a local
    folder or a hub name.
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
    threads: int = 1
    objective: Objective = Objective()


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
    before clipping. They come now and then only.
    """

    event: Literal["step"] = "step"
    step: int
    epoch: int
    loss: float
    lr: float
    gradient_norm: float
    weight_norm: float | None = None
    running_accuracy: float | None = None
    layer_gradients: dict[str, float] | None = None
    layer_weights: dict[str, float] | None = None


class Epoch(Event):
    """One pass, counted from 1. Losses are means per sentence in nats, accuracies shares.

    `value` is the objective's after this epoch, `metrics` what was measured besides the fields
    here. What was never measured is None or not there.
    """

    event: Literal["epoch"] = "epoch"
    epoch: int
    step: int
    value: float | None = None
    train_loss: float | None = None
    running_accuracy: float | None = None
    probe_accuracy: float | None = None
    dev_loss: float | None = None
    dev_accuracy: float | None = None
    dev_macro_f1: float | None = None
    seconds: float | None = None
    metrics: dict[str, float] = {}


class Finding(Event):
    """A health check's word."""

    event: Literal["finding"] = "finding"
    kind: str
    severity: Severity
    message: str
    evidence: dict[str, Scalar] = {}


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
    """The attempt ended in an error."""

    event: Literal["failed"] = "failed"
    kind: FailureKind
    message: str
    traceback: str = ""


AnyEvent = Annotated[
    Started | Step | Epoch | Finding | Checkpoint | Finished | Failed,
    Field(discriminator="event"),
]
_EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def parse_event(line: str | bytes) -> AnyEvent:
    """Read one JSON line. Raises pydantic.ValidationError for anything but a whole event."""
    return _EVENTS.validate_json(line)


class Prepared(Record):
    """What `python -m trainers.prepare` found and made ready before any worker starts.

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
    """What `python -m trainers.diagnose` found of one thing; `rows` are the numbers behind it."""

    name: str
    verdict: Verdict
    message: str
    rows: tuple[tuple[str, Scalar], ...] = ()


class HandedOver(Record):
    """What `python -m trainers.handover` wrote: its predictions, class indices in file order."""

    predictions: dict[str, tuple[int, ...]]
    parameters: int


class Line(Protocol):
    """A worker's two-way line to whoever started it."""

    def say(self, event: Event) -> None:
        """Write the event to events.jsonl, then send it."""

    def stop_reason(self) -> StopReason | None:
        """Tell without waiting whether a stop has been asked for, and why."""


class Refused(Exception):
    """The person's fault: a file, a folder or a value that cannot be used. One paragraph."""
