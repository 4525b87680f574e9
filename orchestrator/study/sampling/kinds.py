"""What a sweep file may name, and the sampler and the pruner of a sweep."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from trytable.orchestrator.plugins import Registry
from trytable.orchestrator.study.sampling.pruners import PRUNERS
from trytable.orchestrator.study.sampling.samplers import SAMPLERS
from trytable.sweeps.config.schema import Choice, Sweep, SweepKinds
from trytable.trainers.protocol.messages import TRAINERS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

KINDS = SweepKinds(TRAINERS, SAMPLERS.options(), PRUNERS.options())
"""What the sweep files of this installation may name."""


def create_sampler(sweep: Sweep, trials_so_far: int) -> "BaseSampler":
    """Return the sampler, seeded from the sweep's seed and the number of trials so far.

    So a resumed sampler does not give its first points again, unless it keeps its position in the
    study. Raises PluginError.
    """
    from optuna.samplers import BaseSampler  # noqa: PLC0415 - slow to import

    choice = sweep.sampler
    kind = SAMPLERS.find(choice.name)
    seed = _seed(sweep.seed, 0 if kind.keeps_position else trials_so_far)
    with SAMPLERS.plugin_errors(choice.name):
        sampler = kind.create(_options(kind.options, choice), seed)
        if not isinstance(sampler, BaseSampler):
            raise TypeError(f"create returns {type(sampler).__name__!r}, not Optuna's BaseSampler")
        return sampler


def create_pruner(sweep: Sweep, epochs: int) -> "BasePruner":
    """Return the pruner; epochs are counted from 1, as the study's steps are.

    Raises PluginError.
    """
    from optuna.pruners import BasePruner  # noqa: PLC0415 - slow to import

    choice = sweep.pruner
    kind = PRUNERS.find(choice.name)
    with PRUNERS.plugin_errors(choice.name):
        pruner = kind.create(_options(kind.options, choice), epochs)
        if not isinstance(pruner, BasePruner):
            raise TypeError(f"create returns {type(pruner).__name__!r}, not Optuna's BasePruner")
        return pruner


def plugin_facts(sweep: Sweep) -> dict[str, dict[str, str]]:
    """Return name, package and version of the sampler and the pruner that are plug-ins.

    A study stores them, so that it can name what is missing when they are gone.
    """
    facts = {}
    for part, (registry, choice) in _parts(sweep).items():
        package = registry.package(choice.name)
        if package:
            facts[part] = {"name": choice.name, "package": package[0], "version": package[1]}
    return facts


def missing_plugins(study: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each plug-in of a study that is not installed."""
    registries: dict[str, Registry[Any]] = {"sampler": SAMPLERS, "pruner": PRUNERS}
    for part, plugin in (facts.get("plugins") or {}).items():
        if plugin["name"] not in registries[part].names():
            yield (
                f"The study {study!r} was made with the {part} {plugin['name']!r} of "
                f"{plugin['package']} {plugin['version']}, which is not installed. Install it, or "
                f"name another {part}: the study goes on with any."
            )


def _parts(sweep: Sweep) -> dict[str, tuple[Registry[Any], Choice]]:
    return {"sampler": (SAMPLERS, sweep.sampler), "pruner": (PRUNERS, sweep.pruner)}


def _options(options: type, choice: Choice) -> Any:
    return TypeAdapter(options).validate_python(choice.options)


def _seed(seed: int | None, trials_so_far: int) -> int:
    digest = hashlib.sha256(f"sampler {seed} {trials_so_far}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
