"""What it costs a search that its sampler looks at a part of a long history only.

The same searches twice, with the bounds and with the whole history, from the same seed, on
surfaces whose true values are known; what is compared is the best true value that was tried. Up to
the bound both are the same search. A loss counts where people could tell: where its mean is more
than a tenth of the noise on a single measurement.
"""

import math
import random
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna

from benchmarks.measure import Result
from benchmarks.surfaces import SURFACES, Surface
from trytable.orchestrator.study.history import Bounds
from trytable.orchestrator.study.in_memory import InMemoryStudyStorage
from trytable.orchestrator.study.sampling.tpe import Tpe

SEEDS = range(4)
TRIALS = 2000
NOTICED = 0.1
_WHOLE = Bounds(trials=sys.maxsize, best=1)


@dataclass(frozen=True)
class SurfaceComparison:
    """The best true values of searches from the same seeds, bounded and with the whole history."""

    surface: str
    noise: float
    bounded: tuple[float, ...]
    whole: tuple[float, ...]

    @property
    def differences(self) -> list[float]:
        """Bounded less whole: above zero where the bounds did better."""
        return [bounded - whole for bounded, whole in zip(self.bounded, self.whole, strict=True)]

    @property
    def harmless(self) -> bool:
        """Whether the mean loss is a small part of the noise."""
        return statistics.fmean(self.differences) >= -NOTICED * self.noise

    @property
    def error(self) -> float:
        """The standard error of the mean difference."""
        return statistics.stdev(self.differences) / math.sqrt(len(self.differences))

    def __str__(self) -> str:
        return (
            f"{self.surface}: bounded {_spread(self.bounded)}, whole {_spread(self.whole)}, "
            f"difference {statistics.fmean(self.differences):+.5f} ± {self.error:.5f} "
            f"(noise {self.noise})"
        )


def run(_folder: Path) -> Result:
    """Search every surface from every seed, both ways."""
    comparisons = compare(Bounds(), TRIALS, SEEDS)
    bounds = Bounds()
    figures = (
        f"best true value of {TRIALS} trials, TPE looks at {bounds.trials} ended ones or at all; "
        f"median (worst to best) of {len(SEEDS)} seeds, mean difference ± standard error. "
        + "; ".join(str(comparison) for comparison in comparisons)
    )
    aim = f"a mean loss of at most {NOTICED:.0%} of the noise"
    return Result(
        "search quality", figures, aim, all(comparison.harmless for comparison in comparisons)
    )


def compare(bounds: Bounds, trials: int, seeds: Sequence[int]) -> list[SurfaceComparison]:
    """Search every surface both ways, on all cores."""
    with ProcessPoolExecutor() as pool:
        searches = {
            (place, seed, bounded): pool.submit(
                best_of_search, place, bounds if bounded else _WHOLE, trials, seed
            )
            for place in range(len(SURFACES))
            for seed in seeds
            for bounded in (True, False)
        }
        best = {key: search.result() for key, search in searches.items()}
    return [
        SurfaceComparison(
            surface.name,
            surface.noise,
            tuple(best[place, seed, True] for seed in seeds),
            tuple(best[place, seed, False] for seed in seeds),
        )
        for place, surface in enumerate(SURFACES)
    ]


def best_of_search(place: int, bounds: Bounds, trials: int, seed: int) -> float:
    """The best true value that a search tries."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    surface: Surface = SURFACES[place]
    original = optuna.create_study(direction="maximize")
    in_memory = InMemoryStudyStorage(original, Tpe(seed=seed), optuna.pruners.NopPruner(), bounds)
    noise = random.Random(seed)  # noqa: S311 - no secret
    best = -float("inf")
    for _ in range(trials):
        trial = in_memory.study.ask(dict(surface.space))
        true = surface.value(trial.params)
        best = max(best, true)
        in_memory.study.tell(trial, true + noise.gauss(0, surface.noise))
    return best


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})"
