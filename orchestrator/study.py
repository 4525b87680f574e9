"""The study in Optuna: the only place that asks, reports and tells."""

import sys
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from orchestrator import space
from orchestrator.errors import UserError
from orchestrator.imported import SOURCE, Start, is_imported, start_from
from orchestrator.space import Point
from results.ledger import STUDY_UID
from results.rows import Status
from results.storage import BUSY_SECONDS, engine_arguments, escaped, is_sqlite
from results.whole import MOVED_TO
from sweeps.spec import Sweep, grid_points

_OPTUNA_STATE: dict[Status, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_TAKEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class AskedTrial:
    """A trial that the study holds as RUNNING. `uid` is ours, `params` are the study's."""

    uid: str
    number: int
    params: Point
    source: str


def open_storage(url: str) -> RDBStorage:
    """Optuna's tables; made if they are not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Not engine_arguments: one pooled connection to the file is enough, and faster.
    own = {"connect_args": {"timeout": BUSY_SECONDS}} if is_sqlite(url) else engine_arguments(url)
    return RDBStorage(escaped(url), engine_kwargs=own)


def uid_of(study: optuna.Study, objective: str) -> str:
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


class OptunaStudy:
    """One sweep's study.

    Args:
        storage: Optuna's tables.
        sweep: what to try.
        name: the study's name.
        retry_failed: whether points that failed in earlier runs are asked for again.
    """

    def __init__(
        self, storage: RDBStorage, sweep: Sweep, name: str, retry_failed: bool = True
    ) -> None:
        self._storage = storage
        self._sweep = sweep
        self._epochs = _epochs(sweep.baseline) or sys.maxsize
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=sweep.objective.direction,
            load_if_exists=True,
        )
        self._id = storage.get_study_id_from_name(name)
        earlier = self._trials()
        self.study.sampler = space.sampler(sweep, len(earlier))
        self.study.pruner = space.pruner(sweep, self._epochs)
        self._distributions = space.distributions(sweep)
        self._places: dict[int, tuple[int, int]] = {}  # Optuna's id and the epochs, by number
        self._earlier = len(earlier)
        self._retry_failed = retry_failed

    @property
    def uid(self) -> str:
        """Our UUID of the study; made on first use. Raises UserError for a study not ours."""
        return uid_of(self.study, self._sweep.objective.name)

    def imported_start(self) -> Start:
        """The imported tries that the sampler starts from. Raises SweepChanged where none can."""
        return start_from(self._sweep, self._trials(), self._distributions)

    def left_to_ask(self) -> int:
        """How many trials are still to be asked for: the sweep's number is one for all runs."""
        counted = _TAKEN if self._retry_failed else (*_TAKEN, TrialState.FAIL)
        # A trial that waits in the study's own queue has not been asked for yet.
        asked = sum(
            t.state in counted and t.state != TrialState.WAITING and not is_imported(t)
            for t in self._trials()
        )
        if self._sweep.trials is not None:
            return max(0, self._sweep.trials - asked)
        queued = sum(t.state == TrialState.WAITING for t in self._trials())
        return queued + len(self._points_left())

    def ask(self) -> AskedTrial | None:
        """The next trial: one that waits in the study, a known point, else the sampler's."""
        if not self._waiting():
            left = self._points_left()
            if left:
                self._enqueue(*left[0])
            elif self._sweep.sampler.name == "grid":
                return None
        trial = self.study.ask(self._distributions)
        uid = trial.user_attrs.get(STUDY_UID)
        source = trial.user_attrs.get(SOURCE, "sampler")
        if uid is None:
            uid = uuid.uuid4().hex
            trial.set_user_attr(STUDY_UID, uid)
        return AskedTrial(uid, trial.number, dict(trial.params), source)

    def running(self) -> list[tuple[AskedTrial | None, FrozenTrial]]:
        """The trials that an earlier orchestrator left RUNNING; None for one never made ready."""
        found = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        whole = [self._made_ready(trial) for trial in found]
        return [(self._as_asked(trial), trial) for trial in whole]

    def _made_ready(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with all its parameters, where it was cut off before they were written."""
        fixed = trial.system_attrs.get("fixed_params", {})
        missing = self._distributions.keys() - trial.params.keys()
        if not missing or not missing <= fixed.keys():
            return trial
        for name in missing:
            distribution = self._distributions[name]
            number = distribution.to_internal_repr(fixed[name])
            self._storage.set_trial_param(trial._trial_id, name, number, distribution)
        return self._storage.get_trial(trial._trial_id)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report an epoch (a second report replaces the first); True if the pruner would end it.

        After the last epoch the pruner is not asked: there is nothing left to save.
        """
        if number not in self._places:
            self._places[number] = self._place(number)
        trial_id, epochs = self._places[number]
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        if epoch >= epochs:
            return False
        return self.study.pruner.prune(self.study, self._storage.get_trial(trial_id))

    def tell(self, number: int, status: Status, value: float | None) -> None:
        """Tell a trial's end; only a completed one has a value. One already told is left so."""
        state = _OPTUNA_STATE[status]
        told = value if state == TrialState.COMPLETE else None
        self.study.tell(number, told, state=state, skip_if_finished=True)

    def _as_asked(self, trial: FrozenTrial) -> AskedTrial | None:
        uid = trial.user_attrs.get(STUDY_UID)
        if uid is None or trial.params.keys() != self._distributions.keys():
            return None
        source = trial.user_attrs.get(SOURCE, "sampler")
        return AskedTrial(uid, trial.number, dict(trial.params), source)

    def _place(self, number: int) -> tuple[int, int]:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        params = self._storage.get_trial(trial_id).params
        return trial_id, _epochs(params) or self._epochs

    def _trials(self) -> Sequence[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _waiting(self) -> bool:
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _enqueue(self, point: Point, source: str) -> None:
        attributes = {STUDY_UID: uuid.uuid4().hex, SOURCE: source}
        self.study.enqueue_trial(point, user_attrs=attributes)

    def _points_left(self) -> list[tuple[Point, str]]:
        """The known points that no trial has taken, in the order in which they are to run."""
        trials = self._trials()
        taken = [_point_of(trial) for trial in trials if self._is_taken(trial)]
        left: list[tuple[Point, str]] = []
        for point, source in self._known_points(trials):
            if not any(space.same_point(point, other) for other in taken):
                taken.append(point)
                left.append((point, source))
        return left

    def _is_taken(self, trial: FrozenTrial) -> bool:
        if is_imported(trial):
            return False  # the sweep's own points are trained as the sweep says
        if trial.state != TrialState.FAIL:
            return True
        # A point that failed in this very run would fail again: it waits for the next run.
        return not self._retry_failed or trial.number >= self._earlier

    def _known_points(self, trials: Sequence[FrozenTrial]) -> list[tuple[Point, str]]:
        names = self._sweep.parameters
        baseline = {name: self._sweep.baseline[name] for name in names}
        known = [(baseline, "baseline")]
        known += [({**baseline, **point}, "enqueued") for point in self._sweep.enqueue]
        if self._sweep.sampler.name == "grid":
            known += [(point, "grid") for point in grid_points(self._sweep)]
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        return known + [
            (_point_of(trial), "retry")
            for trial in failed
            if _point_of(trial).keys() == names.keys()
        ]


def _point_of(trial: FrozenTrial) -> dict[str, Any]:
    return dict(trial.params or trial.system_attrs.get("fixed_params", {}))


def _epochs(params: Mapping[str, Any]) -> int | None:
    """The parameter `epochs`; a script need not have it, or may mean something else by it."""
    found = params.get("epochs")
    return found if isinstance(found, int) and found > 0 else None
