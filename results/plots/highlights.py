"""The trials of a plot: their labels, which of them are highlighted, and how many are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from trytable.results.frames.parameters import varied_parameters
from trytable.results.plots.types import COLOURS, GREY
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.order import in_table_order, parameter_text

T = TypeVar("T")

MAX_LINES = 150
"""More lines would show nothing new and only make the plot slower to open."""


@dataclass(frozen=True)
class Highlights:
    """The trials of a plot, best first; the best few and the baseline have a colour each."""

    study: StudyResult
    trials: tuple[TrialResult, ...]
    names: tuple[str, ...]
    colours: dict[int, str]

    def label(self, trial: TrialResult) -> str:
        """Return the trial's name and its varied parameters, such as `Try 3: lr 2e-4`."""
        values = parameter_text(trial, self.names)
        return f"{trial.label}: {values}" if values else trial.label

    def name(self, trial: TrialResult) -> str:
        """Return a label for the legend, with the value only if a single parameter varies."""
        return self.label(trial) if len(self.names) == 1 else trial.label

    def colour(self, trial: TrialResult) -> str:
        return self.colours.get(trial.number, GREY)

    def is_highlighted(self, trial: TrialResult) -> bool:
        return trial.number in self.colours


def highlight_trials(study: StudyResult) -> Highlights:
    """Highlight the best trials and the baseline."""
    best = list(study.ranked[: len(COLOURS)])
    baseline = study.baseline
    if baseline is not None and baseline not in best:
        best = [*best[: len(COLOURS) - 1], baseline]
    return Highlights(
        study=study,
        trials=in_table_order(study),
        names=varied_parameters(study.trials),
        colours={trial.number: colour for trial, colour in zip(best, COLOURS, strict=False)},
    )


def evenly_chosen(items: Sequence[T], limit: int = MAX_LINES) -> tuple[T, ...]:
    """Return at most `limit` items, evenly spaced in their order."""
    if len(items) <= limit:
        return tuple(items)
    return tuple(items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit))
