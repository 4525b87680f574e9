"""Whether a sweep can go on in a study that holds imported tries, and what it starts from. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial

from trytable.orchestrator.errors import SweepChanged
from trytable.sweeps.config.loader import Sweep

SOURCE_ATTRIBUTE = "trytable:source"
"""Attribute of a trial: where its point came from."""

IMPORTED_SOURCE = "imported"
"""Source of a trial that was run by hand and adopted from a log."""

_WHOLE_SPACE = ("gp", "qmc")
"""Samplers that look at tries with every parameter in the very space alone."""

_MOST = 10


@dataclass(frozen=True)
class ImportedStart:
    """How many imported tries the sampler starts from, and why not from the others."""

    count: int
    others: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What the person should know; nothing where no try was imported."""
        if self.count or self.others:
            word = "try" if self.count == 1 else "tries"
            yield f"{self.count} imported {word} to start from"
        yield from (f"  not from {other}" for other in self.others[:_MOST])
        if len(self.others) > _MOST:
            yield f"  and {len(self.others) - _MOST} more"


def is_imported(trial: FrozenTrial) -> bool:
    """Whether a trial was run by hand and adopted from a log."""
    return trial.user_attrs.get(SOURCE_ATTRIBUTE) == IMPORTED_SOURCE


def imported_start(
    sweep: Sweep, trials: Sequence[FrozenTrial], distributions: Mapping[str, BaseDistribution]
) -> ImportedStart:
    """What a sweep starts from.

    Raises SweepChanged where it cannot go on at all: a parameter that was imported as a number is
    words in the sweep, or the sampler cannot do without what some tries lack.
    """
    imported = [trial for trial in trials if is_imported(trial)]
    clashes = sorted(set(_clashes(imported, distributions)))
    if clashes:
        listed = "\n".join(f"  {line}" for line in clashes)
        raise SweepChanged(
            f"The imported tries do not fit the sweep {sweep.name!r}:\n{listed}\n"
            "Import the log under a NAME whose sweep file is there already, or AS_NEW=1 starts a "
            "study without them."
        )
    others = tuple(_unfit(imported, distributions))
    if others and sweep.sampler.name in _WHOLE_SPACE:
        listed = "\n".join(f"  {line}" for line in others[:_MOST])
        raise SweepChanged(
            f"The sampler {sweep.sampler.name} cannot start from imported tries that lack a "
            f"parameter or lie outside the sweep's space:\n{listed}\nsampler=tpe and "
            "sampler=random can; AS_NEW=1 starts a study without them."
        )
    return ImportedStart(len(imported) - len(others), others)


def _clashes(
    imported: Iterable[FrozenTrial], distributions: Mapping[str, BaseDistribution]
) -> Iterator[str]:
    for trial in imported:
        for name in trial.distributions.keys() & distributions.keys():
            then, now = trial.distributions[name], distributions[name]
            try:
                check_distribution_compatibility(then, now)
            except ValueError:
                yield f"{name}: imported as {_kind(then)}, swept as {_kind(now)}"


def _kind(one: BaseDistribution) -> str:
    name = type(one).__name__.removesuffix("Distribution").lower()
    words = {"categorical": "one of a list", "float": "numbers", "int": "whole numbers"}
    log = ", on a logarithmic scale" if getattr(one, "log", False) else ""
    return f"{words.get(name, name)}{log}"


def _unfit(
    imported: Iterable[FrozenTrial], distributions: Mapping[str, BaseDistribution]
) -> Iterator[str]:
    for trial in imported:
        missing = [name for name in distributions if name not in trial.params]
        outside = [
            f"{name} {value}"
            for name, value in trial.params.items()
            if name in distributions and not _inside(distributions[name], value)
        ]
        why = [
            *([f"{', '.join(missing)} not known or outside the space"] if missing else []),
            *(f"{one} outside the space" for one in outside),
        ]
        if why:
            yield f"Try {trial.number + 1}: {'; '.join(why)}"


def _inside(distribution: BaseDistribution, value: object) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))
