"""A study as its database has it: all calls that read or write its trials while a sweep runs.

Each writes once, whole or not at all, and may be made again: what is there already stays so.
"""

import copy
import itertools
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from trytable.records import Point
from trytable.results.storage.engine import Caller, call_once
from trytable.results.storage.ledger import STUDY_UID

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class AskedTrial:
    """A trial that the study holds as RUNNING. `uid` is our UUID of it."""

    uid: str
    number: int
    params: Point
    source: str


def _retried(
    method: Callable[Concatenate["TrialStore", P], R],
) -> Callable[Concatenate["TrialStore", P], R]:
    def called(self: "TrialStore", /, *args: P.args, **named: P.kwargs) -> R:
        return self._retry(lambda: method(self, *args, **named))

    return update_wrapper(called, method)


class TrialStore:
    """Optuna's tables of one study.

    Args:
        study: the study, opened over `storage`.
        storage: Optuna's storage itself, without the trials that Optuna remembers of it.
        patience: makes the calls, and makes them again where the server was away.
    """

    def __init__(
        self, study: optuna.Study, storage: BaseStorage, retry: Caller = call_once
    ) -> None:
        self._retry = retry
        self._study = study
        self._storage = storage
        self._remembering = study._storage  # knows the numbers of the trials that it has made
        self._id = study._study_id

    @_retried
    def trials(self) -> list[FrozenTrial]:
        """All trials, by number. Not to be changed."""
        return self._study.get_trials(deepcopy=False)

    def complete_enqueued(
        self, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
    ) -> FrozenTrial:
        """The trial; with all its parameters, where another program was cut off before it wrote
        those that were known."""
        fixed = trial.system_attrs.get("fixed_params", {})
        missing = distributions.keys() - trial.params.keys()
        if trial.state != TrialState.RUNNING or not missing or not missing <= fixed.keys():
            return trial
        whole = copy.copy(trial)
        whole.params = {**{name: fixed[name] for name in distributions}, **trial.params}
        whole.distributions = {**distributions, **trial.distributions}
        self.add_missing_parameters(trial._trial_id, whole)
        return whole

    @_retried
    def waiting_trials(self) -> list[FrozenTrial]:
        """The trials that somebody has enqueued."""
        return self._storage.get_all_trials(self._id, deepcopy=False, states=(TrialState.WAITING,))

    @_retried
    def sampler_state(self) -> dict[str, Any]:
        """What samplers keep with the study."""
        return dict(self._storage.get_study_system_attrs(self._id))

    @_retried
    def set_sampler_state(self, key: str, value: Any) -> None:
        """Keep what a sampler has set with the study."""
        self._storage.set_study_system_attr(self._id, key, value)

    @_retried
    def create_trial(self, trial: FrozenTrial, number: int) -> tuple[int, int]:
        """Make a trial in one transaction; its id and number.

        `number` is the one that it gets unless somebody else has made a trial meanwhile. One that
        is there already, by our UUID, is not made again: the answer to an earlier call was lost.
        """
        uid = str(trial.user_attrs[STUDY_UID])
        made = self._all(uid, number)
        if not made:
            trial_id = self._remembering.create_new_trial(self._id, trial)
            if self._has(number, trial_id):
                return trial_id, number
            made = self._all(uid, number)
        first, *others = made
        for other in others:
            self._give_up(other)
        return first, self._storage.get_trial(first).number

    def _give_up(self, trial_id: int) -> None:
        """Where an answer was lost Optuna asks again by itself, and then there are two trials."""
        self._storage.set_trial_user_attr(trial_id, STUDY_UID, uuid.uuid4().hex)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _has(self, number: int, trial_id: int) -> bool:
        try:
            return trial_id == self._remembering.get_trial_id_from_study_id_trial_number(
                self._id, number
            )
        except KeyError:
            return False

    def _all(self, uid: str, first: int) -> list[int]:
        """Ids of the trials from a number on that have our UUID."""
        found = []
        for number in itertools.count(first):
            try:
                trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            except KeyError:
                break
            if self._storage.get_trial(trial_id).user_attrs.get(STUDY_UID) == uid:
                found.append(trial_id)
        return found

    @_retried
    def start_waiting(self, trial_id: int, trial: FrozenTrial) -> bool:
        """Make a trial that waits RUNNING, as the last of its writes; False where others were
        faster."""
        self.add_missing_parameters(trial_id, trial)
        for key, said in trial.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, said)
        try:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    @_retried
    def add_missing_parameters(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write a trial's parameters; those that are there already stay."""
        there = self._storage.get_trial(trial_id).params
        for name in trial.params.keys() - there.keys():
            distribution = trial.distributions[name]
            number = distribution.to_internal_repr(trial.params[name])
            self._storage.set_trial_param(trial_id, name, number, distribution)

    @_retried
    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """Write the objective after an epoch; a second one replaces the first."""
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)

    @_retried
    def set_pruner_state(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what a pruner has set with a trial."""
        self._storage.set_trial_system_attr(trial_id, key, value)

    @_retried
    def finish(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write how a trial has ended. One that has ended there stays as it is."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
