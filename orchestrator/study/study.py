"""The study in Optuna: the only place that asks, reports and tells.

Sampler and pruner look at a mirror of the study in memory; the database is written, and read when a
sweep begins. Who asks is one process, so the mirror is as good; a trial that somebody else enqueues
in the database is looked for once a second. Numbers are the same in both. What sampler and pruner
set in the mirror to go on from later (QMC its place, ASHA its rungs) is written to the study.
"""

import math
import sys
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from trytable.orchestrator.errors import UserError
from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.history import Bounds
from trytable.orchestrator.study.imported import (
    SOURCE_ATTRIBUTE,
    ImportedStart,
    imported_start,
    is_imported,
)
from trytable.orchestrator.study.in_memory import InMemoryStudyStorage
from trytable.orchestrator.study.search_space import points_left
from trytable.orchestrator.study.trial_store import AskedTrial, TrialStore
from trytable.records import Point
from trytable.results.storage.engine import (
    Caller,
    call_once,
)
from trytable.results.storage.ledger import STUDY_UID
from trytable.results.storage.rows import Status
from trytable.results.storage.snapshot import MOVED_TO
from trytable.sweeps.config.loader import Sweep

_OPTUNA_STATE: dict[Status, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_LOOK_SECONDS = 1.0
"""So often the database is looked at for trials that somebody has enqueued."""

_TAKEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)


def ensure_study_uid(study: optuna.Study, objective: str) -> str:
    """Our UUID of a study; made on first use.

    Raises UserError for a study that is not ours, or was carried to another database.
    """
    found = study.user_attrs.get(STUDY_UID)
    if MOVED_TO in study.user_attrs:
        where = study.user_attrs[MOVED_TO]
        raise UserError(
            f"The study {study.study_name!r} was carried to {where} and goes on there: name that "
            "database with STORAGE= (or RUNS=). trytable move-storage carries it back."
        )
    if found is None:
        if study.get_trials(deepcopy=False):
            raise UserError(
                f"The database already holds a study named {study.study_name!r} that "
                "was not made by Trytable. Give the sweep's file another name, or keep its "
                "study in another folder with RUNS=folder."
            )
        found = uuid.uuid4().hex
        with warnings.catch_warnings():
            # Optuna's label for an interface that has stood still since 3.2.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # The dashboard's axes.
            study.set_metric_names([objective.replace("_", " ")])
        study.set_user_attr(STUDY_UID, found)
    return str(found)


@dataclass(frozen=True)
class _Place:
    """Where a trial that has not ended is, by its id in the database; `epochs` is its last."""

    trial_id: int
    mirrored: int
    epochs: int


class OptunaStudy:
    """One sweep's study.

    Args:
        storage: Optuna's tables.
        sweep: what to try.
        name: the study's name.
        retry_failed: whether points that failed in earlier runs are asked for again.
        bounds: how much of a long history sampler and pruner look at.
        patience: makes the calls that use the database.
        now: monotonic seconds.
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
        self._earlier = len(self._store.trials())
        self._distributions = search_space.distributions(sweep)
        self._sampler = search_space.sampler(sweep, self._earlier)
        self._pruner = search_space.pruner(sweep, self._epochs)
        self._bounds = bounds.at_least(sweep.sampler.startup_trials, sweep.pruner.startup_trials)
        self._retry_failed = retry_failed
        self._now = now
        self._in_memory: InMemoryStudyStorage  # from the first look on
        self._looked_at = -math.inf
        self._places: dict[int, _Place] = {}
        self._known: deque[tuple[Point, str]] = deque()

    @property
    def uid(self) -> str:
        """Our UUID of the study; made on first use. Raises UserError for a study not ours."""
        return ensure_study_uid(self.study, self._sweep.objective.name)

    def imported_start(self) -> ImportedStart:
        """The imported tries that the sampler starts from. Raises SweepChanged where none can."""
        return imported_start(self._sweep, self._store.trials(), self._distributions)

    def trials_to_ask(self) -> int:
        """How many trials are still to be asked for: the sweep's number is one for all runs."""
        counted = _TAKEN if self._retry_failed else (*_TAKEN, TrialState.FAIL)
        trials = self._store.trials()
        self._known = self._points_left(trials)  # those of trials that were told since, too
        # A trial that waits in the study's own queue has not been asked for yet.
        asked = sum(
            t.state in counted and t.state != TrialState.WAITING and not is_imported(t)
            for t in trials
        )
        if self._sweep.trials is not None:
            return max(0, self._sweep.trials - asked)
        queued = sum(t.state == TrialState.WAITING for t in trials)
        return queued + len(self._known)

    def running(self) -> list[tuple[AskedTrial | None, FrozenTrial]]:
        """The trials that an earlier orchestrator left RUNNING; None for one never made ready."""
        trials = self._look_at_all()
        found = [trial for trial in trials if trial.state == TrialState.RUNNING]
        return [(self._as_asked(trial), trial) for trial in found]

    def ask(self) -> AskedTrial | None:
        """The next trial: one that waits in the study, a known point, else the sampler's."""
        while True:
            self._look_for_waiting()
            if not self._in_memory.waiting_trials():
                if self._known:
                    self._enqueue(*self._known.popleft())
                elif self._sweep.sampler.name == "grid":
                    return None
            number = self._written(self._drawn())
            if number is not None:
                trial = self._in_memory.get_trial(self._places[number].mirrored)
                uid, source = (
                    trial.user_attrs[STUDY_UID],
                    trial.user_attrs.get(SOURCE_ATTRIBUTE, "sampler"),
                )
                return AskedTrial(uid, number, dict(trial.params), source)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report an epoch (a second report replaces the first); True if the pruner would end it.

        After the last epoch the pruner is not asked: there is nothing left to save.
        """
        place = self._places[number]
        self._store.report(place.trial_id, epoch, value)
        self._in_memory.set_trial_intermediate_value(place.mirrored, epoch, value)
        if epoch >= place.epochs:
            return False
        before = self._in_memory.get_trial(place.mirrored)
        with self._in_memory.pruner_view():
            advised = self._pruner.prune(self._in_memory.study, before)
        after = self._in_memory.get_trial(place.mirrored)
        for key, said in _new_in(after.system_attrs, before.system_attrs):
            self._store.set_pruner_state(place.trial_id, key, said)
        return advised

    def tell(self, number: int, status: Status, value: float | None) -> None:
        """Tell a trial's end; only a completed one has a value. One already told is left so."""
        place = self._places.pop(number, None)
        if place is None:
            return
        state = _OPTUNA_STATE[status]
        told = value if state == TrialState.COMPLETE else None
        self._in_memory.study.tell(number, told, state=state)
        self._store.finish(place.trial_id, self._in_memory.get_trial(place.mirrored))

    def _look_at_all(self) -> list[FrozenTrial]:
        """Read the whole study: at first, and where somebody else has made trials in it."""
        trials = [
            self._store.complete_enqueued(trial, self._distributions)
            for trial in self._store.trials()
        ]
        self._in_memory = InMemoryStudyStorage(
            self.study, self._sampler, self._pruner, self._bounds
        )
        self._sampler_state = self._store.sampler_state()
        self._in_memory.set_sampler_state(self._sampler_state)
        self._places = {}
        for trial in trials:
            self._add(trial)
        self._known = self._points_left(trials)
        self._looked_at = self._now()
        return trials

    def _add(self, trial: FrozenTrial) -> None:
        mirrored = self._in_memory.add(trial)
        if not trial.state.is_finished():
            self._places[trial.number] = self._place(trial._trial_id, mirrored, trial)

    def _place(self, trial_id: int, mirrored: int, trial: FrozenTrial) -> _Place:
        return _Place(trial_id, mirrored, _epochs(trial.params) or self._epochs)

    def _look_for_waiting(self) -> None:
        """See what somebody has enqueued, if the last look is some time ago."""
        if self._now() < self._looked_at + _LOOK_SECONDS:
            return
        if self._looked_at == -math.inf:
            self._look_at_all()
            return
        self._looked_at = self._now()
        for trial in self._store.waiting_trials():
            if trial.number > self._in_memory.count:
                self._look_at_all()
                return
            if trial.number == self._in_memory.count:
                self._add(trial)

    def _enqueue(self, point: Point, source: str) -> None:
        attributes = {STUDY_UID: uuid.uuid4().hex, SOURCE_ATTRIBUTE: source}
        self._in_memory.study.enqueue_trial(point, user_attrs=attributes)

    def _drawn(self) -> FrozenTrial:
        """The mirror's next trial, with our UUID."""
        trial = self._in_memory.study.ask(self._distributions)
        if STUDY_UID not in trial.user_attrs:
            trial.set_user_attr(STUDY_UID, uuid.uuid4().hex)
        return self._in_memory.get_trial(trial._trial_id)

    def _written(self, drawn: FrozenTrial) -> int | None:
        """Write a trial that the mirror has; its number, None where others took it meanwhile."""
        # The sampler's place first: killed between the two, a point is left out and none doubled.
        for key, said in _new_in(self._in_memory.sampler_state(), self._sampler_state):
            self._store.set_sampler_state(key, said)
            self._sampler_state[key] = said
        if drawn.number in self._places:
            return self._taken(drawn)
        trial_id, number = self._store.create_trial(drawn, drawn.number)
        if number == drawn.number:
            self._places[number] = self._place(trial_id, drawn._trial_id, drawn)
        else:
            self._look_at_all()
        return number

    def _taken(self, drawn: FrozenTrial) -> int | None:
        """Write a trial that has waited in the database."""
        trial_id = self._places[drawn.number].trial_id
        if not self._store.start_waiting(trial_id, drawn):
            self._look_at_all()
            return None
        self._places[drawn.number] = self._place(trial_id, drawn._trial_id, drawn)
        point = search_space.key_of(drawn.params)
        self._known = deque(one for one in self._known if search_space.key_of(one[0]) != point)
        return drawn.number

    def _as_asked(self, trial: FrozenTrial) -> AskedTrial | None:
        if (
            trial.user_attrs.get(STUDY_UID) is None
            or trial.params.keys() != self._distributions.keys()
        ):
            return None
        return _asked_trial(trial)

    def _points_left(self, trials: Sequence[FrozenTrial]) -> deque[tuple[Point, str]]:
        return deque(points_left(self._sweep, trials, self._is_taken))

    def _is_taken(self, trial: FrozenTrial) -> bool:
        if is_imported(trial):
            return False  # the sweep's own points are trained as the sweep says
        if trial.state != TrialState.FAIL:
            return True
        # A point that failed in this very run would fail again: it waits for the next run.
        return not self._retry_failed or trial.number >= self._earlier


def _asked_trial(trial: FrozenTrial) -> AskedTrial:
    attributes = trial.user_attrs
    source = attributes.get(SOURCE_ATTRIBUTE, "sampler")
    return AskedTrial(attributes[STUDY_UID], trial.number, dict(trial.params), source)


def _new_in(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, said) for key, said in now.items() if key not in then or then[key] != said]


def _epochs(params: Mapping[str, Any]) -> int | None:
    """The parameter `epochs`; a script need not have it, or may mean something else by it."""
    found = params.get("epochs")
    return found if isinstance(found, int) and found > 0 else None
