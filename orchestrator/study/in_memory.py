"""A copy of a study in memory, which samplers and pruners read instead of the database.

They read the whole study at each call, and from a database that takes longer with every trial. One
process owns the study, so its copy in memory is always up to date; the database is only written.
"""

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
"""In the keys of attributes by which a sampler shows other processes what it is about to draw."""


class InMemoryStudyStorage(InMemoryStorage):
    """Optuna's in-memory storage with one study, `study`, of which only some trials are visible.

    Numbers and ids follow the order of `add` and `study.ask`.

    Args:
        original: the study in the database.
        sampler, pruner: those that read the copy.
        bounds: how many trials they see.
    """

    def __init__(
        self, original: optuna.Study, sampler: BaseSampler, pruner: BasePruner, bounds: Bounds
    ) -> None:
        super().__init__()
        direction = original.direction
        self.count = 0
        self._open_trials: dict[int, FrozenTrial] = {}  # running and waiting, by number
        self._ended_trials = BestAndLatest(direction, bounds)
        self._sample, self._completed_sample = Sample(bounds.trials), Sample(bounds.trials)
        self._for_pruner = False
        self._shared_space: dict[str, BaseDistribution] | None = None
        self.study = optuna.create_study(
            storage=self,
            study_name=original.study_name,  # Hyperband assigns brackets by it
            sampler=sampler,
            pruner=pruner,
            direction=direction,
        )
        self._id = self.study._study_id

    def add(self, trial: FrozenTrial) -> int:
        """Add a trial of the database; return its id in memory.

        It keeps its number: a failed trial fills in for a number that the database lacks.
        """
        while self.count < trial.number:
            self.create_new_trial(self._id, create_trial(state=TrialState.FAIL))
        return self.create_new_trial(self._id, trial)

    def waiting_trials(self) -> list[FrozenTrial]:
        """Return the enqueued trials, which are asked for before any other."""
        return self.get_all_trials(self._id, deepcopy=False, states=(TrialState.WAITING,))

    def shared_space(self) -> dict[str, BaseDistribution]:
        """Return the parameters of all trials that have not failed; empty before the first one."""
        return self._shared_space or {}

    def sampler_state(self) -> dict[str, Any]:
        """Return what samplers store with the study."""
        return self.get_study_system_attrs(self._id)

    def set_sampler_state(self, state: Mapping[str, Any]) -> None:
        """Have the sampler go on from this state."""
        for key, value in state.items():
            self.set_study_system_attr(self._id, key, value)

    @contextmanager
    def pruner_view(self) -> Iterator[None]:
        """Within the block, `get_all_trials` returns the trials that a pruner sees."""
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
        """Return the visible trials, ordered by number."""
        del study_id  # there is only one
        if self._for_pruner:
            only_completed = states == (TrialState.COMPLETE,)
            trials = (self._completed_sample if only_completed else self._sample).trials()
        else:
            # Waiting trials are looked for at each ask; the ended ones need not be put in order.
            ended_trials = {} if states == (TrialState.WAITING,) else self._ended_trials.trials()
            visible = {**ended_trials, **self._open_trials}
            trials = [visible[number] for number in sorted(visible)]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return deep_copy(trials) if deepcopy else trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self.count += 1
        self._update(trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._update(trial_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        is_set = super().set_trial_state_values(trial_id, state, values)
        self._update(trial_id)
        return is_set

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._update(trial_id)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._update(trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        # No other process reads the copy, and this one sees a trial with all its parameters.
        if _FOR_OTHER_PROCESSES not in key:
            super().set_trial_system_attr(trial_id, key, value)
            self._update(trial_id)

    def _update(self, trial_id: int) -> None:
        trial = self.get_trial(trial_id)
        self._sample.update(trial)
        if not trial.state.is_finished():
            self._open_trials[trial.number] = trial
            return
        self._open_trials.pop(trial.number, None)
        self._ended_trials.add(trial)
        if trial.state != TrialState.FAIL:
            self._shared_space = _intersection(self._shared_space, trial.distributions)
        if trial.state == TrialState.COMPLETE:
            self._completed_sample.update(trial)


def _intersection(
    shared: Mapping[str, BaseDistribution] | None, distributions: Mapping[str, BaseDistribution]
) -> dict[str, BaseDistribution]:
    candidates = distributions if shared is None else shared
    return {name: value for name, value in candidates.items() if distributions.get(name) == value}
