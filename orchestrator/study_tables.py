"""A study as its database has it: all calls that read or write its trials while a sweep runs.

Each writes once, whole or not at all, and may be made again: what is there already stays so.
"""

import copy
import itertools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from results.ledger import STUDY_UID


class StudyTables:
    """Optuna's tables of one study.

    Args:
        study: the study, opened over `storage`.
        storage: Optuna's storage itself, without the trials that Optuna remembers of it.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage) -> None:
        self._study = study
        self._storage = storage
        self._remembering = study._storage  # knows the numbers of the trials that it has made
        self._id = study._study_id

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number. Not to be changed."""
        return self._study.get_trials(deepcopy=False)

    def made_ready(
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
        self.complete(trial._trial_id, whole)
        return whole

    def waiting(self) -> list[FrozenTrial]:
        """The trials that somebody has enqueued."""
        return self._storage.get_all_trials(self._id, deepcopy=False, states=(TrialState.WAITING,))

    def sampler_state(self) -> dict[str, Any]:
        """What samplers keep with the study."""
        return dict(self._storage.get_study_system_attrs(self._id))

    def keep_sampler_state(self, key: str, value: Any) -> None:
        """Keep what a sampler has set with the study."""
        self._storage.set_study_system_attr(self._id, key, value)

    def create(self, trial: FrozenTrial, number: int, again: bool = False) -> tuple[int, int]:
        """Make a trial in one transaction; its id and number.

        `number` is the one that it gets unless somebody else has made a trial meanwhile. `again`
        says that it may be there already, by our UUID, since a first call has failed.
        """
        found = self._find(str(trial.user_attrs[STUDY_UID]), number) if again else None
        made = self._remembering.create_new_trial(self._id, trial) if found is None else found
        if self._has(number, made):
            return made, number
        return made, self._storage.get_trial(made).number

    def _has(self, number: int, trial_id: int) -> bool:
        try:
            return trial_id == self._remembering.get_trial_id_from_study_id_trial_number(
                self._id, number
            )
        except KeyError:
            return False

    def _find(self, uid: str, first: int) -> int | None:
        for number in itertools.count(first):
            try:
                trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            except KeyError:
                return None
            if self._storage.get_trial(trial_id).user_attrs.get(STUDY_UID) == uid:
                return trial_id
        raise AssertionError("numbers have no end, trials have")

    def take(self, trial_id: int, trial: FrozenTrial) -> bool:
        """Make a trial that waits RUNNING, as the last of its writes; False where others were
        faster."""
        self.complete(trial_id, trial)
        for key, said in trial.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, said)
        try:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def complete(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write a trial's parameters; those that are there already stay."""
        there = self._storage.get_trial(trial_id).params
        for name in trial.params.keys() - there.keys():
            distribution = trial.distributions[name]
            number = distribution.to_internal_repr(trial.params[name])
            self._storage.set_trial_param(trial_id, name, number, distribution)

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """Write the objective after an epoch; a second one replaces the first."""
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)

    def keep_pruner_state(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what a pruner has set with a trial."""
        self._storage.set_trial_system_attr(trial_id, key, value)

    def end(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write how a trial has ended. One that has ended there stays as it is."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
