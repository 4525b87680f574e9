"""What a diagnosis reads and what it hands out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trytable.records import DEFAULT_OBJECTIVE, Objective, Scalar, Severity
from trytable.results.storage.rows import Status, StepRow
from trytable.results.storage.study import EpochResult

AdviceDirection = Literal["raise", "lower", "set", "check"]
OverfitLevel = Literal["none", "slight", "moderate", "severe"]


@dataclass(frozen=True)
class Advice:
    """What to try next: a knob and a direction; `value` where the evidence names one."""

    parameter: str
    direction: AdviceDirection
    value: Scalar = None


@dataclass(frozen=True)
class Symptom:
    """A finding without words. `variant` tells the texts of one kind apart."""

    kind: str
    severity: Severity
    evidence: Mapping[str, Scalar]
    advice: tuple[Advice, ...] = ()
    variant: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """A finding in words, a worker's or a diagnosis's: what was seen, and why it matters.

    The texts come from the numbers in `evidence`; all else is the same in every language.
    """

    kind: str
    severity: Severity
    message: str
    explanation: str
    advice: tuple[Advice, ...]
    evidence: Mapping[str, Scalar]


@dataclass(frozen=True)
class Task:
    """What all trials of a study share.

    `classes` is None where their number is unknown; `shares` are those of the classes in dev, in
    the classes' order, empty where dev has no labels.
    """

    classes: int | None = None
    shares: tuple[float, ...] = ()
    dev_size: int | None = None
    lowest_label: int | None = None
    highest_label: int | None = None

    @property
    def guessing_loss(self) -> float | None:
        """Cross-entropy in nats of a uniform guess, ln C."""
        return math.log(self.classes) if self.classes and self.classes > 1 else None

    @property
    def prior_loss(self) -> float | None:
        """Cross-entropy in nats of guessing by the classes' shares: their entropy."""
        if not self.shares:
            return self.guessing_loss
        return -sum(share * math.log(share) for share in self.shares if share > 0)

    @property
    def chance(self) -> float | None:
        """Accuracy of always saying the commonest class."""
        if self.shares:
            return max(self.shares)
        return 1 / self.classes if self.classes else None

    def standard_error(self, accuracy: float) -> float | None:
        """Standard error of a dev accuracy: sqrt(p (1 - p) / n), of a binomial proportion."""
        if not self.dev_size:
            return None
        return math.sqrt(accuracy * (1 - accuracy) / self.dev_size)


@dataclass(frozen=True)
class DiagnosedTrial:
    """All that a diagnosis knows of one trial.

    `settings` are under our names, a script's too; `is_observed`: it is one whose optimizer was
    seen at every step. `steps` are in order, each step once; `predictions` are class indices on dev
    at the best epoch; `messages` what its attempts ended with.
    """

    number: int = 0
    status: Status = "completed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[EpochResult, ...] = ()
    steps: tuple[StepRow, ...] = ()
    best_epoch: int | None = None
    objective: Objective = DEFAULT_OBJECTIVE
    predictions: tuple[int, ...] = ()
    trainable_parameters: int | None = None
    parameters: int | None = None
    steps_total: int | None = None
    messages: tuple[str, ...] = ()
    is_observed: bool = False

    @cached_property
    def losses(self) -> tuple[tuple[int, float], ...]:
        """Finite losses by step."""
        return tuple((one.step, one.loss) for one in self.steps if one.loss is not None)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.status in ("completed", "pruned", "stopped", "failed")

    def epoch(self, number: int | None) -> EpochResult | None:
        """An epoch by its number."""
        return next((one for one in self.curve if one.epoch == number), None)


def train_accuracy(epoch: EpochResult) -> float | None:
    """Accuracy on train sentences in eval mode; where that was not measured, the running one."""
    known = epoch.probe_accuracy
    return epoch.running_accuracy if known is None else known
