"""The ledger's rows: frozen records, keyed by UUIDs of ours."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

SEED = "seed"
"""The parameter that gives each trial of a study its own root of all random draws."""

Status = Literal["waiting", "running", "drained", "completed", "pruned", "stopped", "failed"]
"""Where a trial stands. The first three are RUNNING (or WAITING) in Optuna's words."""

TERMINAL: frozenset[Status] = frozenset(("completed", "pruned", "stopped", "failed"))
"""The statuses of a trial that has ended."""


@dataclass(frozen=True)
class StudyRow:
    """A study: the sweep as it was read (JSON) and what `prepare` found of data and model."""

    uid: str
    name: str
    sweep: dict[str, Any]
    facts: dict[str, Any]
    created_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TrialRow:
    """A trial: the settings asked for, where they came from, our status and the outcome.

    `number` is Optuna's, so Try 1 is number 0. `origin` says where an imported trial came from:
    file, sha256, lines, heading, and the place of each setting. `best_value` is the objective's
    at the best epoch. Values that never came are None; without a `seed` of its own it has the
    study's.
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
    """A logged optimizer step. What is by layer is so by block of the model (`layer.3`, `head`),
    as L2 norms, and only measured now and then."""

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
class EpochRow:
    """One epoch as one attempt trained it. A resumed trial's epochs span several attempts.

    `value` is the objective's, `metrics` what was measured besides.
    """

    trial_uid: str
    attempt: int
    epoch: int
    step: int
    train_loss: float | None
    running_accuracy: float | None
    probe_accuracy: float | None
    dev_loss: float | None
    dev_accuracy: float | None
    dev_macro_f1: float | None
    seconds: float | None
    value: float | None = None
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
    """The gold class indices of a split; no row for a split without labels."""

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
    """All that the ledger holds of one study, each tuple in the order of its key."""

    study: StudyRow
    trials: tuple[TrialRow, ...]
    attempts: tuple[AttemptRow, ...]
    steps: tuple[StepRow, ...]
    epochs: tuple[EpochRow, ...]
    effective: tuple[EffectiveRow, ...]
    findings: tuple[FindingRow, ...]
    predictions: tuple[PredictionRow, ...]
    gold: tuple[GoldRow, ...]
