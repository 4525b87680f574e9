"""What an analysis of a study holds: plain records, so that tables and plots need no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis, OverfitLevel
from trytable.results.analysis.statistics import (
    ALPHA,
    Interval,
    Mean,
    MeanDifference,
    PairedCounts,
)

NoTestReason = Literal[
    "itself", "not_completed", "no_predictions", "no_gold", "other_size", "no_other", "other_untold"
]
"""Why there is no paired test: the two are the same trial; the trial did not complete; its
predictions were not stored; dev has no gold labels; their numbers differ; there is no other trial;
the other trial cannot be tested.
"""

CostKind = Literal["completed", "pruned", "stopped", "failed", "retried", "unfinished"]
"""What seconds were spent on. `failed` and `retried` are attempts whose work was lost (another
attempt followed a retried one); an interrupted attempt counts by how its trial ended."""

COST_KINDS: tuple[CostKind, ...] = get_args(CostKind)


@dataclass(frozen=True)
class PairedTest:
    """A McNemar test against another trial on the same dev examples.

    `p_corrected` is Holm's correction over all trials that were tested against that one.
    """

    other: int
    counts: PairedCounts
    p_corrected: float

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p is below ALPHA."""
        return self.p_corrected < ALPHA

    @property
    def is_worse(self) -> bool:
        """Whether the difference is significant and this trial is the less accurate one."""
        return self.is_significant and self.counts.difference < 0


@dataclass(frozen=True)
class EqualEpochs:
    """A trial that ended early: its dev accuracy at its last epoch, minus others' at that epoch."""

    epoch: int
    dev_accuracy: float
    against_best: float | None
    against_baseline: float | None


@dataclass(frozen=True)
class TrialComparison:
    """How one trial compares. Numbers of trials are Optuna's: Try 1 is 0.

    `interval` is the Wilson interval of its best dev accuracy. Group 1 holds the best trial and all
    that are not significantly worse, group 2 the best of the others, and so on.
    """

    number: int
    interval: Interval | None = None
    best_test: PairedTest | None = None
    best_test_missing: NoTestReason | None = None
    baseline_test: PairedTest | None = None
    baseline_test_missing: NoTestReason | None = None
    group: int | None = None
    stars: int | None = None
    equal_epochs: EqualEpochs | None = None


@dataclass(frozen=True)
class StudyComparison:
    """All trials of a study. `examples` is the number of labelled dev examples; None if unknown.

    `best_error` is the standard error of the best trial's dev accuracy.
    """

    examples: int | None
    best: int | None
    baseline: int | None
    trials: Mapping[int, TrialComparison]
    best_error: float

    def group(self, number: int) -> tuple[int, ...]:
        """The numbers of the trials in a group."""
        return tuple(n for n, trial in self.trials.items() if trial.group == number)


@dataclass(frozen=True)
class ConfirmedPoint:
    """One point trained again: `number` is that of its trial in the search (Try 1 is 0).

    `values` are the best objective values by seed. `against_*` are differences over the seeds that
    both points have; their p is Holm's over all confirmed points. None: nothing to compare with.
    """

    number: int
    values: Mapping[int, float]
    over_seeds: Mean
    dev_accuracy: Mean | None
    test_accuracy: Mean | None
    against_best: MeanDifference | None = None
    against_best_p: float | None = None
    against_baseline: MeanDifference | None = None
    against_baseline_p: float | None = None


@dataclass(frozen=True)
class Confirmation:
    """A search and its confirmed points, the best mean first.

    `winner` is the search's best trial; `optimism` is by how much its value in the search exceeds
    its confirmed mean, in the objective's units; `expected_optimism` is what the best of `draws`
    equally good trials would show from noise of `deviation` alone. None: not known (yet).
    """

    study: str
    points: tuple[ConfirmedPoint, ...]
    winner: int
    optimism: float | None
    expected_optimism: float | None
    deviation: float | None
    draws: int

    def point(self, number: int) -> ConfirmedPoint | None:
        """The confirmed point of a trial of the search; None if it was not trained again."""
        return next((point for point in self.points if point.number == number), None)


@dataclass(frozen=True)
class Seconds:
    """Wall seconds that workers ran, and device-seconds.

    Workers that share a device at the same time have equal parts of it: the device-seconds of all
    trials add up to the seconds during which devices were in use.
    """

    wall: float
    device: float

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.device + other.device)


NO_SECONDS = Seconds(0.0, 0.0)


@dataclass(frozen=True)
class Cost:
    """A study's cost.

    `trials` holds the seconds of every trial with an attempt that ended, by its number. `saved` is
    the wall seconds that the remaining epochs of pruned and stopped trials would have taken, at
    each trial's own seconds per epoch. `device_seconds_per_point` is the whole study's, divided by
    the points of dev accuracy by which its best trial exceeds the baseline; None: it does not, or
    that is not known.
    """

    trials: Mapping[int, Seconds]
    by_kind: Mapping[CostKind, Seconds]
    saved: Mapping[int, float]
    device_seconds_per_point: float | None

    @property
    def total(self) -> Seconds:
        """All seconds of the study."""
        return sum(self.trials.values(), NO_SECONDS)


@dataclass(frozen=True)
class Analysis:
    """A study's comparison and cost; overfit levels and findings by a trial's number (Try 1 is 0).

    The level is None if train accuracy was never measured. `confirmation` is None if the study's
    best points were not trained again with fresh seeds.
    """

    comparison: StudyComparison
    cost: Cost
    overfit_levels: Mapping[int, OverfitLevel | None]
    findings: Mapping[int, tuple[Diagnosis, ...]]
    confirmation: Confirmation | None = None
