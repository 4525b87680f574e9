"""The records that a study is read into: a study, its trials, their epochs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution

from trytable.records import EpochMetrics, Objective
from trytable.results.storage.rows import AttemptRow, FindingRow, Status, StepRow
from trytable.results.text.format import clean, one_line

CONFIRM_SUFFIX = "@confirm"
"""Ends the name of a study that trains another study's best points again with fresh seeds."""


@dataclass(frozen=True)
class _EpochNumber:
    epoch: int


@dataclass(frozen=True)
class EpochResult(EpochMetrics, _EpochNumber):
    """One epoch of a trial, counted from 1.

    `metrics` holds what a script or a log measured under other names.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialResult:
    """One trial. A value that was never measured is None.

    `params` are Optuna's, `requested` all requested settings, `effective` those that the last
    worker read back from live objects. `best_value` is Optuna's value for a completed trial, else
    the best so far; `best_dev_accuracy` is the accuracy at that epoch. `seconds` is the sum over
    all attempts that have ended. `seed` is the root of its random draws: its own or the study's.
    `steps` holds each logged step once, as the last attempt took it; `predictions` are class
    indices by split, in the order of its file; `origin` says where an imported trial came from.
    """

    number: int
    uid: str | None
    status: Status
    reason: str
    source: str
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    requested: Mapping[str, Any]
    effective: Mapping[str, Any]
    curve: tuple[EpochResult, ...]
    best_epoch: int | None
    best_value: float | None
    best_dev_accuracy: float | None
    test_accuracy: float | None
    attempts: tuple[AttemptRow, ...]
    findings: tuple[FindingRow, ...]
    seconds: float | None
    seed: int | None = None
    steps: tuple[StepRow, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name that people see: trial 0 is Try 1."""
        return f"Try {self.number + 1}"

    @property
    def is_imported(self) -> bool:
        """Whether it was run by hand and imported from a log."""
        return bool(self.origin)

    @property
    def settings(self) -> dict[str, Any]:
        """All requested settings; Optuna's parameters take precedence."""
        return {**self.requested, **self.params}

    @property
    def intermediate(self) -> dict[int, float]:
        """The objective by epoch, without the epochs that did not measure it."""
        return {e.epoch: e.value for e in self.curve if e.value is not None}

    @property
    def epochs_run(self) -> int | None:
        """The last epoch that was evaluated."""
        return self.curve[-1].epoch if self.curve else None

    @property
    def last_dev_accuracy(self) -> float | None:
        """Dev accuracy after the last epoch."""
        return self.curve[-1].dev_accuracy if self.curve else None

    @property
    def last_train_accuracy(self) -> float | None:
        """Probe accuracy after the last epoch."""
        return self.curve[-1].probe_accuracy if self.curve else None

    @property
    def train_accuracy(self) -> float | None:
        """Accuracy on the fixed train probe, in eval mode, at the best epoch."""
        return next((e.probe_accuracy for e in self.curve if e.epoch == self.best_epoch), None)

    @property
    def gap(self) -> float | None:
        """Train minus dev accuracy at the best epoch."""
        return difference(self.train_accuracy, self.best_dev_accuracy)

    @property
    def trainable_share(self) -> float | None:
        """Share of the model's parameters that were trained."""
        for row in reversed(self.attempts):
            if row.parameters and row.trainable_parameters is not None:
                return row.trainable_parameters / row.parameters
        return None

    @property
    def precision(self) -> str:
        """Precision of the last attempt that reported one, else empty."""
        return next((row.precision for row in reversed(self.attempts) if row.precision), "")

    @property
    def threads(self) -> int | None:
        """CPU threads of the last attempt."""
        return self.attempts[-1].threads if self.attempts else None

    @property
    def device(self) -> str:
        """Device of the last attempt, else empty."""
        return self.attempts[-1].device if self.attempts else ""


@dataclass(frozen=True)
class StudyResult:
    """A study. `sweep` and `facts` are empty if the ledger has no row of it.

    `gold` holds the gold class indices by split.
    """

    name: str
    uid: str | None
    objective: Objective
    sweep: Mapping[str, Any]
    facts: Mapping[str, Any]
    created_at: float | None
    trials: tuple[TrialResult, ...]
    gold: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_script_study(self) -> bool:
        """Whether the sweep ran the user's own script, so that model and data are unknown here."""
        return self.sweep.get("trainer") == "script"

    @property
    def is_confirmation(self) -> bool:
        """Whether the study trains another study's best points again with fresh seeds."""
        return self.name.endswith(CONFIRM_SUFFIX)

    @property
    def objective_title(self) -> str:
        """The objective's name as people read it."""
        return one_line(clean(self.objective.name.replace("_", " ")))

    @cached_property
    def baseline(self) -> TrialResult | None:
        """The trial of the sweep's baseline: the first one that completed, else the first."""
        baselines = [trial for trial in self.trials if trial.source == "baseline"]
        completed = [trial for trial in baselines if trial.status == "completed"]
        return next(iter(completed + baselines), None)

    @cached_property
    def ranked(self) -> tuple[TrialResult, ...]:
        """The completed trials, best first; ties by number."""
        entries = (
            (self.objective.rank(trial.best_value), trial.number, trial)
            for trial in self.trials
            if trial.status == "completed" and trial.best_value is not None
        )
        return tuple(trial for *_, trial in sorted(entries, key=lambda entry: entry[:2]))


def difference(value: float | None, reference: float | None) -> float | None:
    """The value minus the reference; None if either is missing."""
    return None if value is None or reference is None else value - reference
