"""The study of a sweep in Optuna: the only place that asks, reports and tells.

Sampler and pruner read a copy of the study in memory (see `in_memory`). The database is read when a
sweep starts, and written from then on; once a second it is checked for trials that somebody has
enqueued. Trials have the same numbers in both. What a sampler or pruner stores for later calls
(QMC its position, ASHA its rungs) is written to the database, too.
"""

import math
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.history import Bounds
from trytable.orchestrator.study.imported import (
    SOURCE_ATTRIBUTE,
    ImportedStart,
    imported_start,
    is_imported,
)
from trytable.orchestrator.study.in_memory import InMemoryStudyStorage
from trytable.orchestrator.study.sampling.kinds import create_pruner, create_sampler
from trytable.orchestrator.study.sampling.pruners import PRUNERS
from trytable.orchestrator.study.sampling.samplers import SAMPLERS
from trytable.orchestrator.study.search_space import PointSet, point_key, trial_point
from trytable.orchestrator.study.trial_store import AskedTrial, TrialStore, ensure_study_uid
from trytable.records import Point, is_number
from trytable.results.storage.engine import Caller, call_once
from trytable.results.storage.ledger import STUDY_UID
from trytable.results.storage.rows import Status
from trytable.sweeps.config.schema import Choice, Sweep, grid_points

_OPTUNA_STATE: dict[Status, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_CHECK_SECONDS = 1.0
"""How often the database is checked for enqueued trials."""


@dataclass(frozen=True)
class _OpenTrial:
    """The ids of a trial that has not ended, in the database and in memory, and its last epoch."""

    trial_id: int
    in_memory_id: int
    last_epoch: int


class OptunaStudy:
    """One sweep's study.

    Args:
        storage: Optuna's storage.
        sweep: what to try.
        name: the study's name.
        retry_failed: whether points that failed in earlier runs are asked for again.
        bounds: how much of a long history sampler and pruner see.
        retry: makes the calls that use the database.
        now: returns monotonic seconds.
    """

    def __init__(
        self,
        storage: BaseStorage,
        sweep: Sweep,
        name: str,
        retry_failed: bool = True,
        *,
        bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
        retry: Caller = call_once,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep = sweep
        self._epochs = _epochs(sweep.baseline) or sys.maxsize
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=sweep.objective.direction,
            load_if_exists=True,
        )
        self._store = TrialStore(self.study, storage, retry)
        self._earlier_count = len(self._store.trials())
        self._distributions = search_space.distributions(sweep)
        self._sampler = create_sampler(sweep, self._earlier_count)
        self._pruner = create_pruner(sweep, self._epochs)
        startups = map(_startup_trials, (sweep.sampler, sweep.pruner))
        self._bounds = bounds.at_least(*startups)
        self._retry_failed = retry_failed
        self._now = now
        self._in_memory: InMemoryStudyStorage  # set when the study is first read
        self._checked_at = -math.inf
        self._open_trials: dict[int, _OpenTrial] = {}
        self._initial_points: deque[tuple[Point, str]] = deque()

    @property
    def uid(self) -> str:
        """Our UUID of the study; see `ensure_study_uid`."""
        return ensure_study_uid(self.study, self._sweep.objective.name)

    def imported_start(self) -> ImportedStart:
        """Return the imported tries that the sampler starts from. Raises SweepChanged."""
        return imported_start(self._sweep, self._store.trials(), self._distributions)

    def trials_to_ask(self) -> int:
        """Return how many trials are still to be asked for, all runs of the sweep counted."""
        trials = self._store.trials()
        self._queue_initial_points(trials)  # trials may have been told since they were read
        if self._sweep.trials is None:
            queued_count = sum(trial.state == TrialState.WAITING for trial in trials)
            return queued_count + len(self._initial_points)
        # An enqueued trial has not been asked for yet; a failed one may be asked for again.
        failed = (TrialState.FAIL,) if self._retry_failed else ()
        uncounted = (TrialState.WAITING, *failed)
        asked_count = sum(t.state not in uncounted and not is_imported(t) for t in trials)
        return max(0, self._sweep.trials - asked_count)

    def running(self) -> list[tuple[AskedTrial | None, FrozenTrial]]:
        """Return the trials that an earlier orchestrator left RUNNING.

        The first of each pair is None if the trial lacks parameters or our UUID.
        """
        trials = self._read_all()
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        return [(self._as_asked(trial), trial) for trial in running]

    def ask(self) -> AskedTrial | None:
        """Return the next trial: an enqueued one, then the initial points, then the sampler's.

        None if a grid has no point left. An initial point is enqueued when its turn comes, and in
        memory only: points that wait in the database would still be run after the sweep's file has
        dropped them.
        """
        while True:
            self._check_for_waiting()
            if not self._in_memory.waiting_trials():
                if self._initial_points:
                    point, source = self._initial_points.popleft()
                    attributes = {STUDY_UID: uuid.uuid4().hex, SOURCE_ATTRIBUTE: source}
                    self._in_memory.study.enqueue_trial(point, user_attrs=attributes)
                elif self._sweep.sampler.name == "grid":
                    return None
            with SAMPLERS.plugin_errors(self._sweep.sampler.name):
                trial = self._in_memory.study.ask(self._distributions)
            if STUDY_UID not in trial.user_attrs:
                trial.set_user_attr(STUDY_UID, uuid.uuid4().hex)
            number = self._write(self._in_memory.get_trial(trial._trial_id))
            if number is not None:
                in_memory_id = self._open_trials[number].in_memory_id
                return _asked_trial(self._in_memory.get_trial(in_memory_id))

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report an epoch's value and return whether the pruner would stop the trial.

        A second report of an epoch replaces the first. The pruner is not asked after the last
        epoch, when there is nothing left to save.
        """
        open_trial = self._open_trials[number]
        self._store.report(open_trial.trial_id, epoch, value)
        self._in_memory.set_trial_intermediate_value(open_trial.in_memory_id, epoch, value)
        if epoch >= open_trial.last_epoch:
            return False
        trial = self._in_memory.get_trial(open_trial.in_memory_id)
        with self._in_memory.pruner_view(), PRUNERS.plugin_errors(self._sweep.pruner.name):
            should_prune = self._pruner.prune(self._in_memory.study, trial)
        attributes = self._in_memory.get_trial(open_trial.in_memory_id).system_attrs
        for key, state in _changed_items(trial.system_attrs, attributes):
            self._store.set_pruner_state(open_trial.trial_id, key, state)
        return should_prune

    def tell(self, number: int, status: Status, value: float | None) -> None:
        """Tell a trial's end, with a value if it is completed; nothing if it was told already."""
        open_trial = self._open_trials.pop(number, None)
        if open_trial is None:
            return
        state = _OPTUNA_STATE[status]
        final_value = value if state == TrialState.COMPLETE else None
        self._in_memory.study.tell(number, final_value, state=state)
        self._store.finish(open_trial.trial_id, self._in_memory.get_trial(open_trial.in_memory_id))

    def _read_all(self) -> list[FrozenTrial]:
        """Read the whole study: at the start, and if another program has added trials to it."""
        trials = [
            self._store.complete_enqueued(trial, self._distributions)
            for trial in self._store.trials()
        ]
        self._in_memory = InMemoryStudyStorage(
            self.study, self._sampler, self._pruner, self._bounds
        )
        self._sampler_state = self._store.sampler_state()
        self._in_memory.set_sampler_state(self._sampler_state)
        self._open_trials = {}
        for trial in trials:
            self._add(trial)
        self._queue_initial_points(trials)
        self._checked_at = self._now()
        return trials

    def _queue_initial_points(self, trials: Sequence[FrozenTrial]) -> None:
        """Queue the initial points that no trial has taken, each once, in the order to run."""
        sweep = self._sweep
        baseline = {name: sweep.baseline[name] for name in sweep.parameters}
        points = [(baseline, "baseline")]
        points += [({**baseline, **point}, "enqueued") for point in sweep.enqueue]
        if sweep.sampler.name == "grid":
            points += [(point, "grid") for point in grid_points(sweep)]
        failed = [trial_point(trial) for trial in trials if trial.state == TrialState.FAIL]
        points += [(point, "retry") for point in failed if point.keys() == baseline.keys()]
        taken_points = PointSet(trial_point(trial) for trial in trials if self._is_taken(trial))
        self._initial_points = deque(item for item in points if taken_points.add(item[0]))

    def _add(self, trial: FrozenTrial) -> None:
        in_memory_id = self._in_memory.add(trial)
        if not trial.state.is_finished():
            self._open(trial._trial_id, in_memory_id, trial)

    def _open(self, trial_id: int, in_memory_id: int, trial: FrozenTrial) -> None:
        last_epoch = _epochs(trial.params) or self._epochs
        self._open_trials[trial.number] = _OpenTrial(trial_id, in_memory_id, last_epoch)

    def _check_for_waiting(self) -> None:
        """Add the trials that somebody has enqueued since the last check."""
        if self._now() < self._checked_at + _CHECK_SECONDS:
            return
        if self._checked_at == -math.inf:
            self._read_all()
            return
        self._checked_at = self._now()
        for trial in self._store.waiting_trials():
            if trial.number > self._in_memory.count:
                self._read_all()
                return
            if trial.number == self._in_memory.count:
                self._add(trial)

    def _write(self, trial: FrozenTrial) -> int | None:
        """Write a new trial; return its number, or None if another program took it meanwhile."""
        # The sampler's position first: a kill in between skips a point, rather than repeat one.
        for key, state in _changed_items(self._sampler_state, self._in_memory.sampler_state()):
            self._store.set_sampler_state(key, state)
            self._sampler_state[key] = state
        if trial.number in self._open_trials:
            return self._write_enqueued(trial)
        trial_id, number = self._store.create_trial(trial, trial.number)
        if number == trial.number:
            self._open(trial_id, trial._trial_id, trial)
        else:
            self._read_all()
        return number

    def _write_enqueued(self, trial: FrozenTrial) -> int | None:
        trial_id = self._open_trials[trial.number].trial_id
        if not self._store.start_waiting(trial_id, trial):
            self._read_all()
            return None
        self._open(trial_id, trial._trial_id, trial)
        key = point_key(trial.params)
        self._initial_points = deque(
            item for item in self._initial_points if point_key(item[0]) != key
        )
        return trial.number

    def _as_asked(self, trial: FrozenTrial) -> AskedTrial | None:
        has_uid = trial.user_attrs.get(STUDY_UID) is not None
        is_complete = trial.params.keys() == self._distributions.keys()
        return _asked_trial(trial) if has_uid and is_complete else None

    def _is_taken(self, trial: FrozenTrial) -> bool:
        if is_imported(trial):
            return False  # the sweep trains its own points with its own settings
        if trial.state != TrialState.FAIL:
            return True
        # A point that failed in this run would fail again, so it waits for the next run.
        return not self._retry_failed or trial.number >= self._earlier_count


def _asked_trial(trial: FrozenTrial) -> AskedTrial:
    attributes = trial.user_attrs
    source = attributes.get(SOURCE_ATTRIBUTE, "sampler")
    return AskedTrial(attributes[STUDY_UID], trial.number, dict(trial.params), source)


def _changed_items(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, item) for key, item in now.items() if key not in then or then[key] != item]


def _epochs(params: Mapping[str, Any]) -> int | None:
    """Return the parameter `epochs` if it can be a number of epochs: a script may have another."""
    epochs = params.get("epochs")
    return epochs if isinstance(epochs, int) and epochs > 0 else None


def _startup_trials(choice: Choice) -> int:
    """Return how many trials a sampler or pruner waits for; a plug-in's may be named otherwise."""
    startup = choice.options.get("startup_trials")
    return int(startup) if is_number(startup) else 0
