"""Parallel coordinates: one line per trial through its value of every parameter."""

import math
from dataclasses import replace

from trytable.results.plots.highlights import Highlights, evenly_chosen
from trytable.results.plots.parameters import Positions, positions_of
from trytable.results.plots.types import COLOURS, GREY, Axis, Curve, Lines, Plot
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words
from trytable.results.text.format import as_cell, format_value, one_line

_MAX_AXES, _MIN_SIZE = 9, 2
_MAX_WORDS = 4


def parallel_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot each trial as a line; every axis runs from its minimum to its maximum.

    The last axis is the objective. Returns None with fewer than two trials, or fewer than two
    parameters that every trial has.
    """
    trials = [trial for trial in highlights.trials if trial.best_value is not None]
    names = [name for name in highlights.names if _all_have(name, trials)][:_MAX_AXES]
    if min(len(names), len(trials)) < _MIN_SIZE:
        return None
    scales = [_Scale(positions_of(highlights, name, trials), name, trials) for name in names]
    best = [trial.best_value for trial in trials if trial.best_value is not None]
    low, high = min(best), max(best)
    curves: dict[int, Curve] = {}
    for trial in trials:
        assert trial.best_value is not None
        last = (trial.best_value - low) / (high - low) if high > low else 0.5
        hover = f"{highlights.label(trial)}: {format_value(trial.best_value, 'accuracy')}"
        heights = (*(scale.height(trial) for scale in scales), last)
        curves[trial.number] = Curve(hover, tuple(map(float, range(len(heights)))), heights)
    objective = words.term("objective", highlights.study.objective.name)
    title = words.text("plot.best_of", objective=objective)
    ticks = [*(scale.tick for scale in scales), f"{title}\n{low:.3f} – {high:.3f}"]
    chosen_trials = evenly_chosen(trials)
    caption = words.text("plot.parallel.caption", objective=objective)
    if len(chosen_trials) < len(trials):
        thinning = words.text("plot.thinned", shown=len(chosen_trials), count=len(trials))
        caption = words.paragraph([caption, thinning])
    return Plot(
        name="parallel",
        title=words.text("plot.parallel"),
        caption=caption,
        x=Axis("", ticks=tuple((float(position), text) for position, text in enumerate(ticks))),
        y=Axis("", ticks=_objective_ticks(words), span=(-0.1, 1.1)),
        layers=_layers(highlights, chosen_trials, curves, words),
        tall=True,
    )


class _Scale:
    """The axis of one parameter: heights from 0 to 1, on a log scale if the parameter has one."""

    def __init__(self, positions: Positions, name: str, trials: list[TrialResult]) -> None:
        self._positions, self._name = positions, name
        values = [self._position(trial) for trial in trials]
        self._low, self._high = min(values), max(values)
        cells = sorted((as_cell(trial.settings[name]) for trial in trials), key=positions.of)
        words = list(dict.fromkeys(one_line(format_value(cell, "parameter")) for cell in cells))
        lists_all = positions.scale == "category" and len(words) <= _MAX_WORDS
        ends = ", ".join(words) if lists_all else f"{words[0]} – {words[-1]}"
        self.tick = f"{one_line(name)}\n{ends}"

    def height(self, trial: TrialResult) -> float:
        if self._high == self._low:
            return 0.5
        return (self._position(trial) - self._low) / (self._high - self._low)

    def _position(self, trial: TrialResult) -> float:
        position = self._positions.of(as_cell(trial.settings[self._name]))
        return math.log(position) if self._positions.scale == "log" else position


def _all_have(name: str, trials: list[TrialResult]) -> bool:
    return all(trial.settings.get(name) is not None for trial in trials)


def _objective_ticks(words: Words) -> tuple[tuple[float, str], ...]:
    return (0.0, words.text("plot.low")), (1.0, words.text("plot.high"))


def _layers(
    highlights: Highlights, trials: tuple[TrialResult, ...], curves: dict[int, Curve], words: Words
) -> tuple[Lines, ...]:
    ranked = highlights.study.ranked
    best = {trial.number for trial in ranked[: math.ceil(len(ranked) / 10)]}
    completed = [trial for trial in trials if trial.status == "completed"]
    incomplete = [trial for trial in trials if trial.status != "completed"]
    rest = [trial for trial in completed if trial.number not in best]
    leaders = [trial for trial in completed if trial.number in best]
    groups = (
        (incomplete, Lines(words.text("plot.not_completed"), (), GREY, 1, "dot", 0.55)),
        (rest, Lines(words.text("plot.others"), (), GREY, 1, "solid", 0.55)),
        (leaders, Lines(words.text("plot.best_tenth"), (), COLOURS[0], 2, "solid", 0.9)),
    )
    return tuple(
        replace(look, curves=tuple(curves[trial.number] for trial in group))
        for group, look in groups
        if group
    )
