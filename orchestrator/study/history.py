"""Which trials a sampler and a pruner look at, once a study has more of them than they need.

Both read the whole study each time they are asked, so asking slows down as a study grows: Optuna's
TPE takes a tenth of a second at 10,000 trials, once for every trial to come. Up to HISTORY_TRIALS
they see everything, as in any Optuna program. Beyond:

A sampler sees the best trials and the latest of the rest. TPE learns what is good from the 25 best
at most, and they are among these; what is not good it learns from the others, of which it
believes the older ones less anyway. GP sees the best, too, and a sample of what is being tried now.

A pruner sees a sample. The best and the latest are no fair measure of what a trial reaches by
its third epoch: with them a median would creep up and prune too much. The sample is drawn by
a hash of the trial's number, so every trial has the same chance, whatever came of it and whenever
it ended, running ones included: those that are running have outlived some competition. A study that
is opened again has the same sample.
"""

import hashlib
import math
from bisect import insort
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

HISTORY_TRIALS = 1000
"""So many ended trials are looked at. Half as many would save an ask 3 ms of 12, with a thousand
trials running, and cost some searches a thousandth (`benchmarks/search_quality.py`)."""

BEST_TRIALS = 100
"""So many of these are the best."""

_Rank = tuple[int, float, float, int]


@dataclass(frozen=True)
class Bounds:
    """How many ended trials are looked at, and how many of these are the best."""

    trials: int = HISTORY_TRIALS
    best: int = BEST_TRIALS

    def at_least(self, sampler_startup: int, pruner_startup: int) -> "Bounds":
        """Bounds that show a sampler and a pruner as many trials as they wait for."""
        best = max(self.best, sampler_startup)
        return Bounds(max(self.trials, 2 * best, pruner_startup), best)


class BestAndLatest:
    """The ended trials that a sampler sees; which ones does not depend on the order of `add`.

    The first trial stays, too: QMC takes its space from it. Failed ones, of which samplers take no
    notice, go when there are more trials than bounds allow.
    """

    def __init__(self, direction: StudyDirection, bounds: Bounds) -> None:
        self._sign = -1 if direction == StudyDirection.MAXIMIZE else 1
        self._bounds = bounds
        self._kept: dict[int, FrozenTrial] = {}
        self._best: list[_Rank] = []
        self._latest: list[int] = []  # numbers of those that are not among the best
        self._failed: dict[int, FrozenTrial] = {}
        self._first: FrozenTrial | None = None
        self._count = 0

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended."""
        self._count += 1
        if trial.state == TrialState.FAIL:
            self._failed[trial.number] = trial
        else:
            self._rank(trial)
        if self._count > self._bounds.trials:
            self._failed.clear()

    def trials(self) -> dict[int, FrozenTrial]:
        """Those to be seen, each under its number."""
        first = {} if self._first is None else {self._first.number: self._first}
        return {**first, **self._kept, **self._failed}

    def _rank(self, trial: FrozenTrial) -> None:
        if self._first is None or trial.number < self._first.number:
            self._first = trial
        self._kept[trial.number] = trial
        insort(self._best, self._rank_of(trial))
        if len(self._best) > self._bounds.best:
            insort(self._latest, self._best.pop()[-1])
        if len(self._latest) > self._bounds.trials - self._bounds.best:
            del self._kept[self._latest.pop(0)]

    def _rank_of(self, trial: FrozenTrial) -> _Rank:
        """As TPE orders them: by value, then the pruned ones by how far they came."""
        if trial.state == TrialState.COMPLETE:
            return 0, self._sign * (trial.value or 0.0), 0.0, trial.number
        step = trial.last_step
        if step is None:
            return 1, 1.0, 0.0, trial.number
        reached = self._sign * trial.intermediate_values[step]
        return 1, float(-step), math.inf if math.isnan(reached) else reached, trial.number


class Sample:
    """At most so many trials, each with the same chance; the same ones in whatever order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._drawn: list[tuple[bytes, int]] = []
        self._trials: dict[int, FrozenTrial] = {}
        self._listed: list[FrozenTrial] | None = None

    def update(self, trial: FrozenTrial) -> None:
        """Take in a trial, or how it stands now."""
        if trial.number in self._trials:
            self._trials[trial.number] = trial
            self._listed = None
            return
        lot = (_lot(trial.number), trial.number)
        if len(self._drawn) == self._most and lot > self._drawn[-1]:
            return
        insort(self._drawn, lot)
        self._trials[trial.number] = trial
        self._listed = None
        if len(self._drawn) > self._most:
            del self._trials[self._drawn.pop()[1]]

    def trials(self) -> list[FrozenTrial]:
        """Those that were drawn, by number."""
        if self._listed is None:
            self._listed = [self._trials[number] for number in sorted(self._trials)]
        return self._listed[:]


def _lot(number: int) -> bytes:
    # Another hash than Hyperband's, which deals its brackets by a CRC of the number.
    return hashlib.blake2b(b"%d" % number, digest_size=8).digest()
