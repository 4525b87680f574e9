"""Reads and writes the trials of a study in its database while a sweep runs.

Each call can be made again (see `database`): it leaves what is already there as it is.
"""

import copy
import itertools
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from trytable.orchestrator.errors import UserError
from trytable.records import Point
from trytable.results.storage.engine import Caller, call_once
from trytable.results.storage.ledger import STUDY_UID
from trytable.results.storage.snapshot import MOVED_TO
from trytable.spelling import label, setting

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class AskedTrial:
    """A trial that the study holds as RUNNING. `uid` is our UUID of it."""

    uid: str
    number: int
    params: Point
    source: str


def ensure_study_uid(study: optuna.Study, objective: str) -> str:
    """Return our UUID of a study; made on first use.

    Raises UserError if another program made the study, or it was moved to another database.
    """
    uid = study.user_attrs.get(STUDY_UID)
    if MOVED_TO in study.user_attrs:
        database = study.user_attrs[MOVED_TO]
        raise UserError(
            f"The study {study.study_name!r} was moved to {database}. Name that database with "
            f"{label('STORAGE')} (or {label('RUNS')}) to go on there; trytable move-storage "
            "moves the study back."
        )
    if uid is None:
        if study.get_trials(deepcopy=False):
            raise UserError(
                f"The database already holds a study named {study.study_name!r} that "
                "was not made by Trytable. Give the sweep's file another name, or keep its "
                f"study in another folder with {setting('RUNS', 'folder')}."
            )
        uid = uuid.uuid4().hex
        with warnings.catch_warnings():
            # Experimental by name only: the interface has not changed since Optuna 3.2.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # For the dashboard's axes.
            study.set_metric_names([objective.replace("_", " ")])
        study.set_user_attr(STUDY_UID, uid)
    return str(uid)


def _retried(
    method: Callable[Concatenate["TrialStore", P], R],
) -> Callable[Concatenate["TrialStore", P], R]:
    def wrapper(self: "TrialStore", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._retry(lambda: method(self, *args, **kwargs))

    return update_wrapper(wrapper, method)


class TrialStore:
    """The trials of one study in Optuna's tables.

    Args:
        study: the study, opened over `storage`.
        storage: Optuna's storage without the cache of trials that a study puts around it.
        retry: makes the calls that use the database.
    """

    def __init__(
        self, study: optuna.Study, storage: BaseStorage, retry: Caller = call_once
    ) -> None:
        self._retry = retry
        self._study = study
        self._storage = storage
        self._cached_storage = study._storage  # knows the numbers of the trials that it has made
        self._id = study._study_id

    @_retried
    def trials(self) -> list[FrozenTrial]:
        """Return all trials, ordered by number. They must not be changed."""
        return self._study.get_trials(deepcopy=False)

    def complete_enqueued(
        self, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
    ) -> FrozenTrial:
        """Return a RUNNING trial with all its parameters, and write those that were missing.

        A program that takes an enqueued trial makes it RUNNING before it writes the parameters, so
        a kill in between leaves it without them.
        """
        fixed = trial.system_attrs.get("fixed_params", {})
        missing = distributions.keys() - trial.params.keys()
        if trial.state != TrialState.RUNNING or not missing or not missing <= fixed.keys():
            return trial
        completed = copy.copy(trial)
        completed.params = {**{name: fixed[name] for name in distributions}, **trial.params}
        completed.distributions = {**distributions, **trial.distributions}
        self.add_missing_parameters(trial._trial_id, completed)
        return completed

    @_retried
    def waiting_trials(self) -> list[FrozenTrial]:
        """Return the trials that somebody has enqueued, in the dashboard for example."""
        return self._storage.get_all_trials(self._id, deepcopy=False, states=(TrialState.WAITING,))

    @_retried
    def sampler_state(self) -> dict[str, Any]:
        """Return what samplers store with the study."""
        return dict(self._storage.get_study_system_attrs(self._id))

    @_retried
    def set_sampler_state(self, key: str, value: Any) -> None:
        """Store a sampler's value with the study."""
        self._storage.set_study_system_attr(self._id, key, value)

    @_retried
    def create_trial(self, trial: FrozenTrial, number: int) -> tuple[int, int]:
        """Create a trial in one transaction; return its id and number.

        `number` is the one to expect unless another program has created a trial meanwhile. A trial
        that exists already, by our UUID, is not created again: an earlier call did it, but its
        answer was lost.
        """
        uid = str(trial.user_attrs[STUDY_UID])
        trial_ids = self._find_all(uid, number)
        if not trial_ids:
            trial_id = self._cached_storage.create_new_trial(self._id, trial)
            if self._has_number(trial_id, number):
                return trial_id, number
            trial_ids = self._find_all(uid, number)
        trial_id, *duplicates = trial_ids
        for duplicate in duplicates:
            self._discard(duplicate)
        return trial_id, self._storage.get_trial(trial_id).number

    def _discard(self, trial_id: int) -> None:
        """Fail a duplicate: Optuna itself repeats a call whose answer was lost."""
        self._storage.set_trial_user_attr(trial_id, STUDY_UID, uuid.uuid4().hex)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _has_number(self, trial_id: int, number: int) -> bool:
        try:
            return trial_id == self._cached_storage.get_trial_id_from_study_id_trial_number(
                self._id, number
            )
        except KeyError:
            return False

    def _find_all(self, uid: str, first_number: int) -> list[int]:
        """Return the ids of the trials with our UUID, from a number on."""
        trial_ids = []
        for number in itertools.count(first_number):
            try:
                trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            except KeyError:
                break
            if self._storage.get_trial(trial_id).user_attrs.get(STUDY_UID) == uid:
                trial_ids.append(trial_id)
        return trial_ids

    @_retried
    def start_waiting(self, trial_id: int, trial: FrozenTrial) -> bool:
        """Make an enqueued trial RUNNING; return False if another program was faster.

        The state is written last: a trial that is RUNNING has its parameters and our UUID.
        """
        self.add_missing_parameters(trial_id, trial)
        for key, value in trial.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        try:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    @_retried
    def add_missing_parameters(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write the parameters of a trial that the database lacks."""
        present = self._storage.get_trial(trial_id).params
        for name in trial.params.keys() - present.keys():
            distribution = trial.distributions[name]
            number = distribution.to_internal_repr(trial.params[name])
            self._storage.set_trial_param(trial_id, name, number, distribution)

    @_retried
    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """Write the objective's value after an epoch; a second one replaces the first."""
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)

    @_retried
    def set_pruner_state(self, trial_id: int, key: str, value: Any) -> None:
        """Store a pruner's value with a trial."""
        self._storage.set_trial_system_attr(trial_id, key, value)

    @_retried
    def finish(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write a trial's final state and value, unless the trial has ended there already."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
