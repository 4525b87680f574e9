"""The ledger's rows: frozen records, keyed by Trytable's own UUIDs."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from trytable.records import EpochMetrics

SEED = "seed"
"""The parameter that gives each trial of a study its own root of all random draws."""

Status = Literal["waiting", "running", "drained", "completed", "pruned", "stopped", "failed"]
"""The status of a trial. Optuna calls the first three RUNNING (or WAITING)."""

TERMINAL: frozenset[Status] = frozenset(("completed", "pruned", "stopped", "failed"))
"""The statuses of a trial that has ended."""


@dataclass(frozen=True)
class StudyRow:
    """A study: the sweep as it was read (JSON), and what `prepare` read from data and model."""

    uid: str
    name: str
    sweep: dict[str, Any]
    facts: dict[str, Any]
    created_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TrialRow:
    """A trial: its requested settings, its source, its status and its outcome.

    `number` is Optuna's, so Try 1 is number 0. `origin` is set for an imported trial: file, sha256,
    lines, heading, and where each setting was read. `best_value` is the objective's at the best
    epoch. A value that was never measured is None. A trial without a `seed` uses the study's.
    """

    uid: str
    study_uid: str
    number: int
    requested: dict[str, Any]
    source: str
    status: Status
    reason: str = ""
    failures: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    best_dev_accuracy: float | None = None
    test_accuracy: float | None = None
    origin: dict[str, Any] | None = None
    seed: int | None = None


@dataclass(frozen=True)
class AttemptRow:
    """One start of a worker. `outcome` is empty while it runs. Times are seconds since 1970."""

    trial_uid: str
    attempt: int
    slot: str
    device: str
    threads: int
    started_at: float
    ended_at: float | None = None
    outcome: str = ""
    message: str = ""
    pid: int | None = None
    precision: str = ""
    parameters: int | None = None
    trainable_parameters: int | None = None
    steps_total: int | None = None
    resumed_from_step: int | None = None
    data_hash: str = ""
    code_hash: str = ""


@dataclass(frozen=True)
class StepRow:
    """A logged optimizer step.

    `layer_gradients` and `layer_weights` are L2 norms by block of the model (`layer.3`, `head`);
    only some steps measure them.
    """

    trial_uid: str
    attempt: int
    step: int
    epoch: int
    loss: float | None
    lr: float | None
    gradient_norm: float | None
    weight_norm: float | None
    running_accuracy: float | None = None
    layer_gradients: dict[str, float] | None = None
    layer_weights: dict[str, float] | None = None


@dataclass(frozen=True)
class _EpochKey:
    trial_uid: str
    attempt: int
    epoch: int
    step: int


@dataclass(frozen=True)
class EpochRow(EpochMetrics, _EpochKey):
    """One epoch as one attempt trained it. A resumed trial's epochs span several attempts.

    `metrics` holds what a script or a log measured under other names.
    """

    metrics: dict[str, float] | None = None


@dataclass(frozen=True)
class EffectiveRow:
    """A parameter as the worker read it back from live objects."""

    trial_uid: str
    attempt: int
    name: str
    value: Any


@dataclass(frozen=True)
class FindingRow:
    """A finding that a worker or the recorder reported, one per kind and attempt."""

    trial_uid: str
    attempt: int
    kind: str
    severity: str
    message: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class PredictionRow:
    """Class indices of a split in the order of its file, at the trial's best epoch."""

    trial_uid: str
    split: str
    labels: list[int]


@dataclass(frozen=True)
class GoldRow:
    """The gold class indices of a split; a split without labels has no row."""

    study_uid: str
    split: str
    labels: list[int]


Row = (
    StudyRow
    | TrialRow
    | AttemptRow
    | StepRow
    | EpochRow
    | EffectiveRow
    | FindingRow
    | PredictionRow
    | GoldRow
)


@dataclass(frozen=True)
class StudyLedger:
    """All rows of one study, each tuple in the order of its key."""

    study: StudyRow
    trials: tuple[TrialRow, ...]
    attempts: tuple[AttemptRow, ...]
    steps: tuple[StepRow, ...]
    epochs: tuple[EpochRow, ...]
    effective: tuple[EffectiveRow, ...]
    findings: tuple[FindingRow, ...]
    predictions: tuple[PredictionRow, ...]
    gold: tuple[GoldRow, ...]
