"""Compares every trial of a study with the best one and with the baseline.

Tests use the stored dev predictions of completed trials. A test that is impossible stays missing,
with its reason; a trial that did not complete is compared at equal epochs and never ranked.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trytable.records import UNLABELLED
from trytable.results.analysis.diagnosis.symptoms.types import OverfitLevel
from trytable.results.analysis.stars import stars
from trytable.results.analysis.statistics import (
    Interval,
    holm,
    paired_counts,
    standard_error,
    wilson,
)
from trytable.results.analysis.types import (
    EqualEpochs,
    NoTestReason,
    PairedTest,
    StudyComparison,
    TrialComparison,
)
from trytable.results.storage.study import StudyResult, TrialResult, difference

DEFAULT_STANDARD_ERROR = 0.01
"""The standard error of the best accuracy if it is unknown: one point."""

_STOPPED_EARLY = ("pruned", "stopped")


def compare(
    study: StudyResult, overfit_levels: Mapping[int, OverfitLevel | None]
) -> StudyComparison:
    """Compare all trials of a study; `overfit_levels`, by a trial's number, cost stars."""
    tester = _PairedTester(study)
    best, baseline = next(iter(study.ranked), None), study.baseline
    best_tests, baseline_tests = tester.tests_against(best), tester.tests_against(baseline)
    groups, error = tester.groups(best), _best_error(best, tester.examples)
    comparisons = (
        TrialComparison(
            number=trial.number,
            interval=_interval(trial, tester.examples),
            best_test=best_tests.get(trial.number),
            best_test_missing=tester.pair_missing(trial, best),
            baseline_test=baseline_tests.get(trial.number),
            baseline_test_missing=tester.pair_missing(trial, baseline),
            group=groups.get(trial.number),
            stars=_stars(
                trial, best, best_tests.get(trial.number), error, overfit_levels[trial.number]
            ),
            equal_epochs=_equal_epochs(trial, best, baseline),
        )
        for trial in study.trials
    )
    return StudyComparison(
        examples=tester.examples,
        best=best.number if best else None,
        baseline=baseline.number if baseline else None,
        trials={comparison.number: comparison for comparison in comparisons},
        best_error=error,
    )


class _PairedTester:
    """Tests pairs of trials by which dev examples each predicted right."""

    def __init__(self, study: StudyResult) -> None:
        self._study = study
        self._gold = np.array(study.gold.get("dev", ()), dtype=np.int64)
        self._labelled = self._gold != UNLABELLED
        self._correct = {
            trial.number: self._correct_examples(trial)
            for trial in study.trials
            if self._missing(trial) is None
        }

    @property
    def examples(self) -> int | None:
        """The number of labelled dev examples."""
        labelled = int(self._labelled.sum())
        size = (self._study.facts.get("sizes") or {}).get("dev")
        return labelled or (size if isinstance(size, int) and size > 0 else None)

    def _missing(self, trial: TrialResult) -> NoTestReason | None:
        """Why a trial cannot be tested; None if it can."""
        if trial.status != "completed":
            return "not_completed"
        predictions = trial.predictions.get("dev", ())
        if not predictions:
            return "no_predictions"
        if not self._labelled.any():
            return "no_gold"
        return None if len(predictions) == len(self._gold) else "other_size"

    def pair_missing(self, trial: TrialResult, other: TrialResult | None) -> NoTestReason | None:
        """Why two trials cannot be tested; None if they can."""
        if other is None:
            return "no_other"
        if trial.number == other.number:
            return "itself"
        reason = self._missing(trial)
        return reason or (None if self._missing(other) is None else "other_untold")

    def tests_against(self, other: TrialResult | None) -> dict[int, PairedTest]:
        """Tests of every possible trial against another one, corrected for their number."""
        if other is None or other.number not in self._correct:
            return {}
        return self._tests(other.number, [n for n in self._correct if n != other.number])

    def groups(self, best: TrialResult | None) -> dict[int, int]:
        """The group of every testable trial, by number; empty if the best is not testable."""
        if best is None or best.number not in self._correct:
            return {}
        remaining = [t.number for t in self._study.ranked if t.number in self._correct]
        groups: dict[int, int] = {}
        group = 0
        while remaining:
            leader, *rivals = remaining
            group += 1
            tests = self._tests(leader, rivals)
            worse = [n for n in rivals if tests[n].is_worse]
            groups |= dict.fromkeys(set(remaining) - set(worse), group)
            remaining = worse
        return groups

    def _tests(self, other: int, numbers: Sequence[int]) -> dict[int, PairedTest]:
        pairs = {n: paired_counts(self._correct[n], self._correct[other]) for n in numbers}
        corrected = holm([pair.p for pair in pairs.values()])
        return {
            n: PairedTest(other, pair, p)
            for (n, pair), p in zip(pairs.items(), corrected, strict=True)
        }

    def _correct_examples(self, trial: TrialResult) -> NDArray[np.bool_]:
        predictions = np.array(trial.predictions["dev"], dtype=np.int64)
        correct: NDArray[np.bool_] = (predictions == self._gold)[self._labelled]
        return correct


def _interval(trial: TrialResult, examples: int | None) -> Interval | None:
    accuracy = trial.best_dev_accuracy
    if accuracy is None or not examples or not 0 <= accuracy <= 1:
        return None
    return wilson(round(accuracy * examples), examples)


def _equal_epochs(
    trial: TrialResult, best: TrialResult | None, baseline: TrialResult | None
) -> EqualEpochs | None:
    if trial.status not in _STOPPED_EARLY:
        return None
    points = [(e.epoch, e.dev_accuracy) for e in trial.curve if e.dev_accuracy is not None]
    if not points:
        return None
    epoch, accuracy = points[-1]
    return EqualEpochs(
        epoch,
        accuracy,
        against_best=difference(accuracy, _accuracy_at(best, epoch)),
        against_baseline=difference(accuracy, _accuracy_at(baseline, epoch)),
    )


def _accuracy_at(trial: TrialResult | None, epoch: int) -> float | None:
    if trial is None:
        return None
    return next((e.dev_accuracy for e in trial.curve if e.epoch == epoch), None)


def _stars(
    trial: TrialResult,
    best: TrialResult | None,
    best_test: PairedTest | None,
    error: float,
    level: OverfitLevel | None,
) -> int | None:
    """Stars of a completed trial; None for any other, and if its accuracy is unknown."""
    shortfall = difference(best.best_dev_accuracy, trial.best_dev_accuracy) if best else None
    if trial.status != "completed" or shortfall is None:
        return None
    return stars(shortfall, error, best_test.is_worse if best_test else None, level)


def _best_error(best: TrialResult | None, examples: int | None) -> float:
    accuracy = best.best_dev_accuracy if best else None
    if not examples or accuracy is None or not 0 < accuracy < 1:
        return DEFAULT_STANDARD_ERROR
    return standard_error(accuracy, examples)
