"""Which tries are better, and which only look so: every try against the best and the baseline.

Tests are on the stored dev predictions of completed tries. What cannot be tested stays missing,
with its reason; what did not complete is compared at equal epochs and never ranked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trytable.records import UNLABELLED
from trytable.results.analysis.diagnosis.api import trial_overfit_level
from trytable.results.analysis.stars import stars
from trytable.results.analysis.statistics import (
    ALPHA,
    Interval,
    PairedCounts,
    holm,
    paired_counts,
    standard_error,
    wilson,
)
from trytable.results.storage.study import StudyResult, TrialResult, difference

DEFAULT_STANDARD_ERROR = 0.01
"""Standard error that stars go by where there is none of its own: one point."""

_STOPPED_EARLY = ("pruned", "stopped")

NoTestReason = Literal[
    "itself", "not_completed", "no_predictions", "no_gold", "other_size", "no_other", "other_untold"
]
"""Why there is no test: it is the other one; it did not complete; no predictions were stored; dev
has no gold labels; they are as many as dev; there is no such other try; that one cannot be tested.
"""


@dataclass(frozen=True)
class PairedTest:
    """A try against another one on the same dev examples; `p_corrected` is Holm's."""

    other: int
    counts: PairedCounts
    p_corrected: float

    @property
    def is_significant(self) -> bool:
        """Whether the corrected test tells the two apart."""
        return self.p_corrected < ALPHA

    @property
    def is_worse(self) -> bool:
        """Whether it is told apart and the less accurate of the two."""
        return self.is_significant and self.counts.difference < 0


@dataclass(frozen=True)
class EqualEpochs:
    """A try that ended early: its dev accuracy at its last epoch against others' at that epoch."""

    epoch: int
    dev_accuracy: float
    against_best: float | None
    against_baseline: float | None


@dataclass(frozen=True)
class TrialComparison:
    """What can be said of one try. Numbers of tries are Optuna's: Try 1 is 0.

    `interval` is Wilson's of its best dev accuracy. `group` 1 holds the best and all that cannot
    be told from it, group 2 the best of the rest and so on.
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
    """All tries of a study. `examples` is the number of labelled dev examples, None if unknown."""

    examples: int | None
    best: int | None
    baseline: int | None
    trials: Mapping[int, TrialComparison]

    def group(self, number: int) -> tuple[int, ...]:
        """The tries of one group, by number."""
        return tuple(n for n, one in self.trials.items() if one.group == number)


def compare(study: StudyResult) -> StudyComparison:
    """Compare all tries of a study."""
    answers = _Answers(study)
    best, baseline = next(iter(study.ranked), None), study.baseline
    against_best, against_baseline = answers.against(best), answers.against(baseline)
    groups = answers.groups(best)
    compared = (
        TrialComparison(
            number=one.number,
            interval=_interval(one, answers.examples),
            best_test=against_best.get(one.number),
            best_test_missing=answers.reason(one, best),
            baseline_test=against_baseline.get(one.number),
            baseline_test_missing=answers.reason(one, baseline),
            group=groups.get(one.number),
            stars=_stars(one, best, against_best.get(one.number), study, answers.examples),
            equal_epochs=_equal_epochs(one, best, baseline),
        )
        for one in study.trials
    )
    return StudyComparison(
        examples=answers.examples,
        best=best.number if best else None,
        baseline=baseline.number if baseline else None,
        trials={one.number: one for one in compared},
    )


class _Answers:
    """Which dev examples each completed try got right."""

    def __init__(self, study: StudyResult) -> None:
        self._study = study
        gold = np.array(study.gold.get("dev", ()), dtype=np.int64)
        self._labelled = gold != UNLABELLED
        self._gold = gold
        self._right = {
            one.number: self._right_of(one) for one in study.trials if self.missing(one) is None
        }

    @property
    def examples(self) -> int | None:
        """How many labelled dev examples there are."""
        known = int(self._labelled.sum())
        size = (self._study.facts.get("sizes") or {}).get("dev")
        return known or (size if isinstance(size, int) and size > 0 else None)

    def missing(self, one: TrialResult) -> NoTestReason | None:
        """Why a try cannot be tested; None where it can."""
        if one.status != "completed":
            return "not_completed"
        made = one.predictions.get("dev", ())
        if not made:
            return "no_predictions"
        if not self._labelled.any():
            return "no_gold"
        return None if len(made) == len(self._gold) else "other_size"

    def reason(self, one: TrialResult, other: TrialResult | None) -> NoTestReason | None:
        """Why there is no test of two tries; None where there is one."""
        if other is None:
            return "no_other"
        if one.number == other.number:
            return "itself"
        own = self.missing(one)
        return own or (None if self.missing(other) is None else "other_untold")

    def against(self, other: TrialResult | None) -> dict[int, PairedTest]:
        """Every try that can be tested against another one, corrected for their number."""
        if other is None or other.number not in self._right:
            return {}
        return self._tests(other.number, [n for n in self._right if n != other.number])

    def groups(self, best: TrialResult | None) -> dict[int, int]:
        """The group of every try that can be tested, by number; none where the best cannot."""
        if best is None or best.number not in self._right:
            return {}
        left = [one.number for one in self._study.ranked if one.number in self._right]
        found: dict[int, int] = {}
        group = 0
        while left:
            leader, *rest = left
            group += 1
            tests = self._tests(leader, rest)
            apart = [n for n in rest if tests[n].is_worse]
            found |= dict.fromkeys(set(left) - set(apart), group)
            left = apart
        return found

    def _tests(self, other: int, numbers: Sequence[int]) -> dict[int, PairedTest]:
        pairs = {n: paired_counts(self._right[n], self._right[other]) for n in numbers}
        corrected = holm([pair.p for pair in pairs.values()])
        return {
            n: PairedTest(other, pair, p)
            for (n, pair), p in zip(pairs.items(), corrected, strict=True)
        }

    def _right_of(self, one: TrialResult) -> NDArray[np.bool_]:
        made = np.array(one.predictions["dev"], dtype=np.int64)
        right: NDArray[np.bool_] = (made == self._gold)[self._labelled]
        return right


def _interval(one: TrialResult, examples: int | None) -> Interval | None:
    accuracy = one.best_dev_accuracy
    if accuracy is None or not examples or not 0 <= accuracy <= 1:
        return None
    return wilson(round(accuracy * examples), examples)


def _equal_epochs(
    one: TrialResult, best: TrialResult | None, baseline: TrialResult | None
) -> EqualEpochs | None:
    if one.status not in _STOPPED_EARLY:
        return None
    known = [(e.epoch, e.dev_accuracy) for e in one.curve if e.dev_accuracy is not None]
    if not known:
        return None
    epoch, accuracy = known[-1]
    others = (_accuracy_at(other, epoch) for other in (best, baseline))
    against_best, against_baseline = (difference(accuracy, other) for other in others)
    return EqualEpochs(epoch, accuracy, against_best, against_baseline)


def _accuracy_at(one: TrialResult | None, epoch: int) -> float | None:
    if one is None:
        return None
    return next((e.dev_accuracy for e in one.curve if e.epoch == epoch), None)


def _stars(
    one: TrialResult,
    best: TrialResult | None,
    against_best: PairedTest | None,
    study: StudyResult,
    examples: int | None,
) -> int | None:
    """Stars of a completed try; None for any other and where no accuracy is known."""
    shortfall = difference(best.best_dev_accuracy, one.best_dev_accuracy) if best else None
    if one.status != "completed" or best is None or shortfall is None:
        return None
    told_apart = against_best.is_worse if against_best else None
    return stars(shortfall, _error(best, examples), told_apart, trial_overfit_level(one, study))


def _error(best: TrialResult, examples: int | None) -> float:
    accuracy = best.best_dev_accuracy
    if not examples or accuracy is None or not 0 < accuracy < 1:
        return DEFAULT_STANDARD_ERROR
    return standard_error(accuracy, examples)
