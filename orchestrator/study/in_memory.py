"""A study in memory, for sampler and pruner to look at; what is written lies in the database."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy as deep_copy
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from trytable.orchestrator.study.history import BestAndLatest, Bounds, Sample

_FOR_OTHER_PROCESSES = ":relative_params:"
"""Of system attributes in which samplers tell processes that ask meanwhile what they draw."""


class InMemoryStudyStorage(InMemoryStorage):
    """A study of the same name in Optuna's storage in memory.

    It shows no more trials than `history` says. Numbers and ids are the order of `add` and `ask`.

    Args:
        original: the study in the database.
        sampler, pruner: who looks at it.
        bounds: how many trials they see.
    """

    def __init__(
        self, original: optuna.Study, sampler: BaseSampler, pruner: BasePruner, bounds: Bounds
    ) -> None:
        super().__init__()
        direction = original.direction
        self.count = 0
        self._open: dict[int, FrozenTrial] = {}  # running and waiting, by number
        self._ended = BestAndLatest(direction, bounds)
        self._sampled, self._completed = Sample(bounds.trials), Sample(bounds.trials)
        self._for_pruner = False
        self._shared: dict[str, BaseDistribution] | None = None
        self.study = optuna.create_study(
            storage=self,
            study_name=original.study_name,  # Hyperband deals its brackets by it
            sampler=sampler,
            pruner=pruner,
            direction=direction,
        )
        self._id = self.study._study_id

    def add(self, trial: FrozenTrial) -> int:
        """Take in a trial of the database; its id here.

        Its number is the same here: a number that is missing there is one that has failed.
        """
        while self.count < trial.number:
            self.create_new_trial(self._id, create_trial(state=TrialState.FAIL))
        return self.create_new_trial(self._id, trial)

    def waiting_trials(self) -> list[FrozenTrial]:
        """The trials that are to be asked for before any other."""
        return self.get_all_trials(self._id, deepcopy=False, states=(TrialState.WAITING,))

    def shared_space(self) -> dict[str, BaseDistribution]:
        """The parameters that all trials share which have ended well; none before the first."""
        return self._shared or {}

    def sampler_state(self) -> dict[str, Any]:
        """What samplers keep with a study."""
        return self.get_study_system_attrs(self._id)

    def set_sampler_state(self, state: Mapping[str, Any]) -> None:
        """Have the sampler go on from there."""
        for key, value in state.items():
            self.set_study_system_attr(self._id, key, value)

    @contextmanager
    def pruner_view(self) -> Iterator[None]:
        """Within the block `get_all_trials` shows what a pruner is to see."""
        self._for_pruner = True
        try:
            yield
        finally:
            self._for_pruner = False

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials to be looked at, by number."""
        del study_id  # there is one
        if self._for_pruner and states == (TrialState.COMPLETE,):
            found = self._completed.trials()
        else:
            found = [one for one in self._seen(states) if states is None or one.state in states]
        return deep_copy(found) if deepcopy else found

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self.count += 1
        self._changed(trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._changed(trial_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        self._changed(trial_id)
        return done

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._changed(trial_id)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._changed(trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if _FOR_OTHER_PROCESSES not in key:  # a trial has all its parameters when it is shown
            super().set_trial_system_attr(trial_id, key, value)
            self._changed(trial_id)

    def _seen(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return [self._open[number] for number in sorted(self._open)]
        if self._for_pruner:
            return self._sampled.trials()
        seen = {**self._ended.trials(), **self._open}
        return [seen[number] for number in sorted(seen)]

    def _changed(self, trial_id: int) -> None:
        trial = self.get_trial(trial_id)
        self._sampled.update(trial)
        if not trial.state.is_finished():
            self._open[trial.number] = trial
            return
        self._open.pop(trial.number, None)
        self._ended.add(trial)
        if trial.state != TrialState.FAIL:
            self._shared = _shared(self._shared, trial.distributions)
        if trial.state == TrialState.COMPLETE:
            self._completed.update(trial)


def _shared(
    before: Mapping[str, BaseDistribution] | None, distributions: Mapping[str, BaseDistribution]
) -> dict[str, BaseDistribution]:
    known = distributions if before is None else before
    return {name: one for name, one in known.items() if distributions.get(name) == one}
