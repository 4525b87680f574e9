"""Decides which imported tries a sweep can start from, or that it cannot use their study."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial

from trytable.orchestrator.errors import SweepChanged
from trytable.orchestrator.study.sampling.samplers import SAMPLERS
from trytable.spelling import flag
from trytable.sweeps.config.schema import Sweep

SOURCE_ATTRIBUTE = "trytable:source"
"""Trial attribute: where the trial's point comes from."""

IMPORTED_SOURCE = "imported"
"""Source of a trial that was run by hand and imported from a log."""

_MAX_LINES = 10


@dataclass(frozen=True)
class ImportedStart:
    """How many imported tries the sampler starts from, and why it cannot use the others."""

    count: int
    unusable: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Describe the start for the user; no lines if no try was imported."""
        if self.count or self.unusable:
            word = "try" if self.count == 1 else "tries"
            yield f"{self.count} imported {word} to start from"
        yield from (f"  not from {reason}" for reason in self.unusable[:_MAX_LINES])
        if len(self.unusable) > _MAX_LINES:
            yield f"  and {len(self.unusable) - _MAX_LINES} more"


def is_imported(trial: FrozenTrial) -> bool:
    """Whether a trial was run by hand and imported from a log."""
    return trial.user_attrs.get(SOURCE_ATTRIBUTE) == IMPORTED_SOURCE


def imported_start(
    sweep: Sweep, trials: Sequence[FrozenTrial], distributions: Mapping[str, BaseDistribution]
) -> ImportedStart:
    """Return the imported tries that a sweep starts from.

    Raises SweepChanged if the sweep cannot use their study: a parameter was imported as another
    kind of value than the sweep has, or some tries lack what the sampler needs.
    """
    imported = [trial for trial in trials if is_imported(trial)]
    clashes = sorted(set(_clashes(imported, distributions)))
    if clashes:
        lines = "\n".join(f"  {line}" for line in clashes)
        raise SweepChanged(
            f"The imported tries do not fit the sweep {sweep.name!r}:\n{lines}\n"
            "Import the log under the name of an existing sweep file, or start a study without "
            f"them with {flag('AS_NEW')}."
        )
    unusable = tuple(_unusable(imported, distributions))
    if unusable and SAMPLERS.find(sweep.sampler.name).needs_full_space:
        lines = "\n".join(f"  {line}" for line in unusable[:_MAX_LINES])
        raise SweepChanged(
            f"The sampler {sweep.sampler.name} cannot start from imported tries that lack a "
            f"parameter or are outside the sweep's space:\n{lines}\nsampler=tpe and "
            f"sampler=random can. {flag('AS_NEW')} starts a study without them."
        )
    return ImportedStart(len(imported) - len(unusable), unusable)


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


def _kind(distribution: BaseDistribution) -> str:
    name = type(distribution).__name__.removesuffix("Distribution").lower()
    words = {"categorical": "one of a list", "float": "numbers", "int": "whole numbers"}
    log = ", on a logarithmic scale" if getattr(distribution, "log", False) else ""
    return f"{words.get(name, name)}{log}"


def _unusable(
    imported: Iterable[FrozenTrial], distributions: Mapping[str, BaseDistribution]
) -> Iterator[str]:
    for trial in imported:
        missing = [name for name in distributions if name not in trial.params]
        outside = [
            f"{name} {value}"
            for name, value in trial.params.items()
            if name in distributions and not _inside(distributions[name], value)
        ]
        reasons = [
            *([f"{', '.join(missing)} not known or outside the space"] if missing else []),
            *(f"{setting} outside the space" for setting in outside),
        ]
        if reasons:
            yield f"Try {trial.number + 1}: {'; '.join(reasons)}"


def _inside(distribution: BaseDistribution, value: object) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))
