"""Trytable's pruners, each with its options. Optuna is imported when one is created."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from trytable.orchestrator.plugins import Registry
from trytable.plugins import NoOptions, PrunerKind

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

_LIMIT = 1_000_000


@dataclass(frozen=True)
class MedianOptions:
    """When the median pruner prunes.

    Attributes:
        startup_trials: trials that must have ended before it prunes any.
        warmup_epochs: epochs of each trial in which it prunes nothing.
        patience: epochs without improvement that a trial may have, or None.
    """

    startup_trials: Annotated[int, Field(ge=0, le=_LIMIT)] = 5
    warmup_epochs: Annotated[int, Field(ge=0, le=_LIMIT)] = 1
    patience: Annotated[int | None, Field(ge=1, le=_LIMIT)] = None


@dataclass(frozen=True)
class HalvingOptions:
    """The rungs of successive halving.

    Attributes:
        min_epochs: epochs that every trial gets.
        reduction_factor: one of this many trials is promoted to the next rung.
    """

    min_epochs: Annotated[int, Field(ge=1, le=_LIMIT)] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=_LIMIT)] = 3


def _none(options: NoOptions, epochs: int) -> "BasePruner":  # noqa: ARG001 - as all are called
    import optuna  # noqa: PLC0415 - slow to import

    return optuna.pruners.NopPruner()


def _median(options: MedianOptions, epochs: int) -> "BasePruner":  # noqa: ARG001 - as all are called
    import optuna  # noqa: PLC0415 - slow to import

    # Optuna prunes from step n_warmup_steps on, and the first epoch after the warm-up is one later.
    median = optuna.pruners.MedianPruner(
        n_startup_trials=options.startup_trials, n_warmup_steps=options.warmup_epochs + 1
    )
    if not options.patience:
        return median
    with warnings.catch_warnings():
        # Experimental by name only: the interface has not changed since Optuna 2.8.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.PatientPruner(median, patience=options.patience)


def _asha(options: HalvingOptions, epochs: int) -> "BasePruner":  # noqa: ARG001 - as all are called
    import optuna  # noqa: PLC0415 - slow to import

    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=options.min_epochs, reduction_factor=options.reduction_factor
    )


def _hyperband(options: HalvingOptions, epochs: int) -> "BasePruner":
    import optuna  # noqa: PLC0415 - slow to import

    return optuna.pruners.HyperbandPruner(
        min_resource=options.min_epochs,
        max_resource=epochs,
        reduction_factor=options.reduction_factor,
    )


PRUNERS = Registry(
    noun="pruner",
    group="trytable.pruners",
    kind=PrunerKind,
    call="create(options, epochs)",
    built_in={
        "none": PrunerKind(_none),
        "median": PrunerKind(_median, MedianOptions),
        "asha": PrunerKind(_asha, HalvingOptions),
        "hyperband": PrunerKind(_hyperband, HalvingOptions),
    },
)
"""The pruners by the name that a sweep file gives."""
