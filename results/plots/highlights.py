"""What several pictures need of tries: their names, who stands out, how many are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from trytable.results.plots.types import COLOURS, GREY
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.summary import point
from trytable.results.tables.trials import ordered, varied_parameters

T = TypeVar("T")

MOST_DRAWN = 150
"""Lines beyond which a picture shows no more and only takes longer to open."""


@dataclass(frozen=True)
class Cast:
    """The tries of a picture, best first: the best few and the baseline each with a colour."""

    study: StudyResult
    tries: tuple[TrialResult, ...]
    names: tuple[str, ...]
    colours: dict[int, str]

    def told(self, one: TrialResult) -> str:
        """A try with what was varied, as `Try 3: lr 2e-4`."""
        values = point(one, self.names)
        return f"{one.label}: {values}" if values else one.label

    def name(self, one: TrialResult) -> str:
        """A name short enough for a legend: with its value only where one parameter varies."""
        return self.told(one) if len(self.names) == 1 else one.label

    def colour(self, one: TrialResult) -> str:
        return self.colours.get(one.number, GREY)

    def stands_out(self, one: TrialResult) -> bool:
        return one.number in self.colours


def cast(study: StudyResult) -> Cast:
    """The best tries and, among them or after them, the baseline stand out."""
    best = list(study.ranked[: len(COLOURS)])
    baseline = study.baseline
    if baseline is not None and baseline not in best:
        best = [*best[: len(COLOURS) - 1], baseline]
    return Cast(
        study=study,
        tries=ordered(study),
        names=varied_parameters(study.trials),
        colours={one.number: colour for one, colour in zip(best, COLOURS, strict=False)},
    )


def thinned(items: Sequence[T], most: int = MOST_DRAWN) -> tuple[T, ...]:
    """At most so many, evenly over their order."""
    if len(items) <= most:
        return tuple(items)
    return tuple(items[round(i * (len(items) - 1) / (most - 1))] for i in range(most))
