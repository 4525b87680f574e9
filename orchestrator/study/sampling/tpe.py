"""Optuna's TPE, which reads less of a long study."""

from typing import Protocol, runtime_checkable

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


@runtime_checkable
class SharedSpace(Protocol):
    """A storage that knows the space which all trials share."""

    def shared_space(self) -> dict[str, BaseDistribution]:
        """The distributions that every ended trial has in common."""


class Tpe(optuna.samplers.TPESampler):
    """Optuna's TPE, which gets the space that all trials share from the in-memory study.

    Optuna itself would look at every trial since the oldest running one at each ask: with a
    thousand trials running, at all of them.
    """

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space that is sampled jointly, in a fixed order."""
        storage = study._storage
        if not isinstance(storage, SharedSpace):
            return super().infer_relative_search_space(study, trial)
        shared = sorted(storage.shared_space().items())
        return {name: space for name, space in shared if not space.single()}
