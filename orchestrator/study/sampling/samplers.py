"""Trytable's samplers, each with its options. Optuna is imported when one is created."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from trytable.orchestrator.plugins import Registry
from trytable.plugins import NoOptions, SamplerKind

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class StartupOptions:
    """The number of random points before the sampler starts to learn."""

    startup_trials: Annotated[int, Field(ge=1, le=1_000_000)] = 10


def _random(options: NoOptions, seed: int) -> "BaseSampler":  # noqa: ARG001 - as all are called
    import optuna  # noqa: PLC0415 - slow to import

    return optuna.samplers.RandomSampler(seed=seed)


def _tpe(options: StartupOptions, seed: int) -> "BaseSampler":
    from trytable.orchestrator.study.sampling.tpe import Tpe  # noqa: PLC0415 - imports optuna

    return Tpe(seed=seed, n_startup_trials=options.startup_trials)


def _gp(options: StartupOptions, seed: int) -> "BaseSampler":
    import optuna  # noqa: PLC0415 - slow to import

    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=options.startup_trials)


def _qmc(options: NoOptions, seed: int) -> "BaseSampler":  # noqa: ARG001 - as all are called
    import optuna  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings():
        # Optuna still calls it experimental, but its interface has not changed since 3.0.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(
            seed=seed,
            scramble=True,
            # Both are intended here: one process asks, and categories are sampled at random.
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
        )


SAMPLERS = Registry(
    noun="sampler",
    group="trytable.samplers",
    kind=SamplerKind,
    call="create(options, seed)",
    built_in={
        "grid": SamplerKind(_random),  # a grid's points are enqueued, so none is sampled
        "random": SamplerKind(_random),
        "tpe": SamplerKind(_tpe, StartupOptions),
        "gp": SamplerKind(_gp, StartupOptions, needs_full_space=True),
        "qmc": SamplerKind(_qmc, keeps_position=True, needs_full_space=True),
    },
)
"""The samplers by the name that a sweep file gives."""
