"""What a package of yours registers through an entry point: a sampler, a pruner or a backend.

The entry point's name is what a sweep file (or `ENGINE=`) says; its value is one of these records:

    [project.entry-points."trytable.samplers"]
    corners = "my_package:CORNERS"

CONTRIBUTING.md shows a whole package. Trytable's own samplers, pruners and backends are records of
the same kinds.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

    from trytable.orchestrator.backends.engine import BackendOptions, Engine


@dataclass(frozen=True)
class NoOptions:
    """The options of a sampler or pruner that has none."""


@dataclass(frozen=True)
class SamplerKind:
    """A sampler of the group `trytable.samplers`.

    Attributes:
        create: called as `create(options, seed)`; returns Optuna's sampler.
        options: a dataclass or pydantic model. Its fields are the keys that a sweep file may have
            beside the sampler's name.
        keeps_position: whether the sampler stores its position in the study. If so, a resumed
            sweep has the seed of its first run; else another one, so that no point is repeated.
        needs_full_space: whether each try that it learns from needs a value of every parameter,
            inside the swept space. If so, imported tries that lack one are refused.
    """

    create: Callable[[Any, int], "optuna.samplers.BaseSampler"]
    options: type = NoOptions
    keeps_position: bool = False
    needs_full_space: bool = False


@dataclass(frozen=True)
class PrunerKind:
    """A pruner of the group `trytable.pruners`.

    Attributes:
        create: called as `create(options, epochs)` with the number of epochs of a trial; returns
            Optuna's pruner. Its steps are epochs, counted from 1.
        options: as in SamplerKind.
    """

    create: Callable[[Any, int], "optuna.pruners.BasePruner"]
    options: type = NoOptions


@dataclass(frozen=True)
class BackendKind:
    """A way to run workers, of the group `trytable.backends`.

    Attributes:
        open: called as `open(options)`; returns a context manager that yields an `Engine` and
            releases it when the sweep has ended.
    """

    open: Callable[["BackendOptions"], "AbstractContextManager[Engine]"]
