"""Each parameter against the objective, and the importance of each parameter."""

import math
from collections.abc import Iterable
from statistics import median

from trytable.records import DEFAULT_OBJECTIVE, is_number
from trytable.results.analysis.importance import importances
from trytable.results.analysis.types import StudyComparison
from trytable.results.plots.highlights import Highlights
from trytable.results.plots.types import (
    COLOURS,
    GREY,
    Axis,
    Bar,
    Bars,
    Layer,
    Mark,
    Marks,
    Plot,
    Symbol,
)
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words
from trytable.results.text.format import Cell, as_cell, format_value, one_line

MAX_PARAMETERS = 12
MAX_INTERVALS = 60
"""With more points the intervals would overlap; the hover text still shows them."""
_LOG_RATIO = 50


class Positions:
    """The positions of a parameter's values on an axis: as numbers, or one step apart in order.

    Args:
        cells: the values.
        sampled_log: whether the sampler used a log scale.
        choices: the order of values that are not numbers.
    """

    def __init__(self, cells: list[Cell], sampled_log: bool, choices: tuple[Cell, ...]) -> None:
        self.scale = _scale(cells, sampled_log)
        self._words = _categories(cells, choices) if self.scale == "category" else ()

    def of(self, cell: Cell) -> float:
        """Return the position of a value that is among the cells."""
        if self.scale != "category":
            assert isinstance(cell, int | float)
            return float(cell)
        return float(self._words.index(format_value(cell, "parameter")))

    def axis(self, title: str) -> Axis:
        ticks = tuple(
            (float(position), one_line(word)) for position, word in enumerate(self._words)
        )
        return Axis(title, "log" if self.scale == "log" else "linear", ticks)


def positions_of(highlights: Highlights, name: str, trials: Iterable[TrialResult]) -> Positions:
    """Return the positions of a parameter's values in these trials."""
    cells = [as_cell(trial.settings[name]) for trial in trials]
    distributions = [trial.distributions.get(name) for trial in highlights.trials]
    sampled_log = any(getattr(distribution, "log", False) for distribution in distributions)
    candidates = [getattr(distribution, "choices", ()) for distribution in distributions]
    choices = tuple(map(as_cell, max(candidates, key=len, default=())))
    return Positions(cells, sampled_log, () if all(map(is_number, choices)) else choices)


def parameter_plots(
    highlights: Highlights, comparison: StudyComparison, words: Words
) -> tuple[Plot, ...]:
    """Plot each varied parameter, up to twelve, against the best value of the objective."""
    plots = (
        _parameter_plot(highlights, comparison, words, name, number)
        for number, name in enumerate(highlights.names[:MAX_PARAMETERS], start=1)
    )
    return tuple(plot for plot in plots if plot.layers)


def importance_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot importances as bars, the largest on top; None with too few completed trials."""
    shares = importances(highlights.study)
    if not shares:
        return None
    names = list(shares)[::-1]
    bars = tuple(
        Bar(f"{one_line(name)}: {shares[name]:.2f}", row, 0.0, shares[name])
        for row, name in enumerate(names)
    )
    return Plot(
        name="importances",
        title=words.text("plot.importances"),
        caption=words.text("plot.importances.caption", count=len(highlights.study.ranked)),
        x=Axis(words.text("plot.share")),
        y=Axis("", ticks=tuple((float(row), one_line(name)) for row, name in enumerate(names))),
        layers=(Bars("", bars, COLOURS[0]),),
    )


def _parameter_plot(
    highlights: Highlights, comparison: StudyComparison, words: Words, name: str, number: int
) -> Plot:
    trials = [
        trial
        for trial in highlights.trials
        if trial.best_value is not None and trial.settings.get(name) is not None
    ]
    positions = positions_of(highlights, name, trials)
    objective = words.term("objective", highlights.study.objective.name)
    layers: list[Layer] = []
    for key, colour, symbol, group in _groups(highlights, trials):
        marks = [_mark(trial, positions, name, comparison, highlights) for trial in group]
        if len(trials) > MAX_INTERVALS:
            marks = [Mark(mark.hover, mark.x, mark.y) for mark in marks]
        if marks:
            layers.append(Marks(words.text(key), tuple(marks), colour, symbol))
    return Plot(
        name=f"parameter-{number}",
        title=one_line(name),
        caption="",
        x=positions.axis(one_line(name)),
        y=Axis(words.text("plot.best_of", objective=objective)),
        layers=tuple(layers),
    )


def _groups(
    highlights: Highlights, trials: list[TrialResult]
) -> tuple[tuple[str, str, Symbol, list[TrialResult]], ...]:
    """Group the trials by outcome, each group with its style."""
    baseline = highlights.study.baseline
    completed = [trial for trial in trials if trial.status == "completed"]
    base = [
        trial for trial in completed if baseline is not None and trial.number == baseline.number
    ]
    return (
        ("plot.so_far", GREY, "x", [trial for trial in trials if trial.status != "completed"]),
        (
            "status.completed",
            COLOURS[0],
            "circle",
            [trial for trial in completed if trial not in base],
        ),
        ("try.baseline", COLOURS[1], "diamond", base),
    )


def _mark(
    trial: TrialResult,
    positions: Positions,
    name: str,
    comparison: StudyComparison,
    highlights: Highlights,
) -> Mark:
    cell = as_cell(trial.settings[name])
    assert trial.best_value is not None
    hover = f"{trial.label}: {one_line(name)} {one_line(format_value(cell, 'parameter'))}"
    interval = comparison.trials[trial.number].interval
    if interval is None or highlights.study.objective.name != DEFAULT_OBJECTIVE.name:
        return Mark(hover, positions.of(cell), trial.best_value)
    hover += f" [{interval.low:.3f}, {interval.high:.3f}]"
    return Mark(hover, positions.of(cell), trial.best_value, interval.low, interval.high)


def _scale(cells: list[Cell], sampled_log: bool) -> str:
    numbers = [float(cell) for cell in cells if cell is not None and is_number(cell)]
    if len(numbers) < len(cells) or not numbers:
        return "category"
    if min(numbers) < 0 or not (sampled_log or _spans_magnitudes(numbers)):
        return "linear"
    # A log axis cannot show the 0 of a grid such as 0, 1e-4, 1e-2; evenly spaced categories can.
    return "log" if min(numbers) > 0 else "category"


def _spans_magnitudes(numbers: list[float]) -> bool:
    """Return whether a linear axis would crowd half of the numbers into its first tenth."""
    positive = [number for number in numbers if number > 0]
    if not positive or max(positive) / min(positive) < _LOG_RATIO:
        return False
    return median(positive) < max(positive) / 10


def _categories(cells: list[Cell], choices: tuple[Cell, ...]) -> tuple[str, ...]:
    """Return the values as text: in the order of the choices, otherwise numbers first."""
    cells_by_text = {format_value(cell, "parameter"): cell for cell in cells}
    choice_texts = {format_value(cell, "parameter"): None for cell in choices}
    rest = sorted(
        cells_by_text.keys() - choice_texts.keys(),
        key=lambda text: _category_order(cells_by_text[text]),
    )
    return (*(text for text in choice_texts if text in cells_by_text), *rest)


def _category_order(cell: Cell) -> tuple[bool, float, str]:
    number = float(cell) if cell is not None and is_number(cell) else math.inf
    return not is_number(cell), number, format_value(cell, "parameter")
