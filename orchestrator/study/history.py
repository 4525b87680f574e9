"""Selects the trials that a sampler and a pruner see once a study is longer than they need.

Samplers and pruners read the whole study at each call, so a call gets slower as the study grows:
Optuna's TPE needs a tenth of a second at 10,000 trials. Up to HISTORY_TRIALS they see every trial,
as in any Optuna program. Beyond that:

A sampler sees the best trials and the latest of the rest. TPE learns what is good from at most
the 25 best, which are among them. It learns what is not good from the others and gives the older
ones less weight anyway. GP, too, sees the best trials and some that the search tries now.

A pruner sees a random sample. The best and the latest trials would be an unfair measure of what
a trial reaches by its third epoch: the median would creep up and prune too much. A hash of the
trial's number decides, so every trial has the same chance, whatever its result and whenever it
ended. Running trials are included, since they have already survived some pruning. A study that is
opened again has the same sample.
"""

import hashlib
import math
from bisect import insort
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

HISTORY_TRIALS = 1000
"""How many ended trials are visible. With half as many, an ask would take 3 ms less of 12 with
a thousand running trials, at the cost of a thousandth of the best value in some searches
(`benchmarks/search_quality.py`)."""

BEST_TRIALS = 100
"""How many of them are the best trials."""

_Rank = tuple[int, float, float, int]


@dataclass(frozen=True)
class Bounds:
    """How many ended trials are visible, and how many of them are the best."""

    trials: int = HISTORY_TRIALS
    best: int = BEST_TRIALS

    def at_least(self, sampler_startup: int, pruner_startup: int) -> "Bounds":
        """Return bounds that show a sampler and a pruner as many trials as they wait for."""
        best = max(self.best, sampler_startup)
        return Bounds(max(self.trials, 2 * best, pruner_startup), best)


class BestAndLatest:
    """The ended trials that a sampler sees, whatever the order in which they were added.

    The first trial always stays, since QMC takes the search space from it. Failed trials, which
    samplers ignore, are dropped when there are more trials than the bounds allow.
    """

    def __init__(self, direction: StudyDirection, bounds: Bounds) -> None:
        self._sign = -1 if direction == StudyDirection.MAXIMIZE else 1
        self._bounds = bounds
        self._visible: dict[int, FrozenTrial] = {}
        self._best: list[_Rank] = []
        self._latest: list[int] = []  # numbers of the trials that are not among the best
        self._failed: dict[int, FrozenTrial] = {}
        self._first: FrozenTrial | None = None
        self._count = 0

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that has ended."""
        self._count += 1
        if trial.state == TrialState.FAIL:
            self._failed[trial.number] = trial
        else:
            self._rank(trial)
        if self._count > self._bounds.trials:
            self._failed.clear()

    def trials(self) -> dict[int, FrozenTrial]:
        """Return the visible trials by number."""
        first = {} if self._first is None else {self._first.number: self._first}
        return {**first, **self._visible, **self._failed}

    def _rank(self, trial: FrozenTrial) -> None:
        if self._first is None or trial.number < self._first.number:
            self._first = trial
        self._visible[trial.number] = trial
        insort(self._best, self._rank_of(trial))
        if len(self._best) > self._bounds.best:
            insort(self._latest, self._best.pop()[-1])
        if len(self._latest) > self._bounds.trials - self._bounds.best:
            del self._visible[self._latest.pop(0)]

    def _rank_of(self, trial: FrozenTrial) -> _Rank:
        """The order in which TPE ranks trials: by value, then pruned ones by their last step."""
        if trial.state == TrialState.COMPLETE:
            return 0, self._sign * (trial.value or 0.0), 0.0, trial.number
        step = trial.last_step
        if step is None:
            return 1, 1.0, 0.0, trial.number
        value = self._sign * trial.intermediate_values[step]
        return 1, float(-step), math.inf if math.isnan(value) else value, trial.number


class Sample:
    """A random sample of trials, the same whatever the order in which they were added."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lots: list[tuple[bytes, int]] = []
        self._trials: dict[int, FrozenTrial] = {}
        self._ordered: list[FrozenTrial] | None = None

    def update(self, trial: FrozenTrial) -> None:
        """Add a trial, or replace it by its present state."""
        if trial.number in self._trials:
            self._trials[trial.number] = trial
            self._ordered = None
            return
        lot = (_lot(trial.number), trial.number)
        if len(self._lots) == self._size and lot > self._lots[-1]:
            return
        insort(self._lots, lot)
        self._trials[trial.number] = trial
        self._ordered = None
        if len(self._lots) > self._size:
            del self._trials[self._lots.pop()[1]]

    def trials(self) -> list[FrozenTrial]:
        """Return the sample, ordered by number."""
        if self._ordered is None:
            self._ordered = [self._trials[number] for number in sorted(self._trials)]
        return self._ordered[:]


def _lot(number: int) -> bytes:
    # Not the CRC of the number by which Hyperband assigns brackets: the sample must not depend on
    # the bracket.
    return hashlib.blake2b(b"%d" % number, digest_size=8).digest()
