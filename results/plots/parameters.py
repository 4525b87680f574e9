"""Each parameter against the objective, all of them side by side, and how much each mattered."""

import math
from collections.abc import Iterable
from statistics import median

from trytable.records import DEFAULT_OBJECTIVE, is_number
from trytable.results.analysis.comparison import StudyComparison
from trytable.results.analysis.importance import importances
from trytable.results.plots.highlights import Cast
from trytable.results.plots.types import (
    COLOURS,
    GREY,
    Axis,
    Bar,
    Bars,
    Layer,
    Mark,
    Marks,
    Picture,
    Symbol,
)
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words
from trytable.results.text.format import Cell, as_cell, one_line, shown

MOST_PARAMETERS = 12
MOST_INTERVALS = 60
"""Points beyond which intervals would cover each other; the hover text still tells them."""
_LOG_RATIO = 50


class Places:
    """Where a parameter's values stand on an axis: as numbers, or one step apart in order.

    Args:
        cells: the values.
        sampled_log: whether the sampler drew them on a log scale.
        choices: the order of values that are no numbers.
    """

    def __init__(self, cells: list[Cell], sampled_log: bool, choices: tuple[Cell, ...]) -> None:
        self.scale = _scale(cells, sampled_log)
        self._words = _categories(cells, choices) if self.scale == "category" else ()

    def of(self, cell: Cell) -> float:
        """The place of a value that was among the cells."""
        if self.scale != "category":
            assert isinstance(cell, int | float)
            return float(cell)
        return float(self._words.index(shown(cell, "parameter")))

    def axis(self, title: str) -> Axis:
        ticks = tuple((float(place), one_line(word)) for place, word in enumerate(self._words))
        return Axis(title, "log" if self.scale == "log" else "linear", ticks)


def places(cast: Cast, name: str, tries: Iterable[TrialResult]) -> Places:
    """The places of a parameter's values among these tries."""
    cells = [as_cell(one.settings[name]) for one in tries]
    spaces = [one.distributions.get(name) for one in cast.tries]
    sampled_log = any(getattr(space, "log", False) for space in spaces)
    given = [getattr(space, "choices", ()) for space in spaces]
    choices = tuple(map(as_cell, max(given, key=len, default=())))
    return Places(cells, sampled_log, () if all(map(is_number, choices)) else choices)


def parameter_pictures(cast: Cast, compared: StudyComparison, words: Words) -> tuple[Picture, ...]:
    """One for each parameter that varies, up to twelve: its value against the objective's best."""
    found = (
        _picture(cast, compared, words, name, number)
        for number, name in enumerate(cast.names[:MOST_PARAMETERS], start=1)
    )
    return tuple(picture for picture in found if picture.layers)


def importance_picture(cast: Cast, words: Words) -> Picture | None:
    """Bars, the largest on top; None with too few completed tries."""
    shares = importances(cast.study)
    if not shares:
        return None
    names = list(shares)[::-1]
    bars = tuple(
        Bar(f"{one_line(name)}: {shares[name]:.2f}", row, 0.0, shares[name])
        for row, name in enumerate(names)
    )
    return Picture(
        name="importances",
        title=words.text("picture.importances"),
        caption=words.text("picture.importances.caption", count=len(cast.study.ranked)),
        x=Axis(words.text("picture.share")),
        y=Axis("", ticks=tuple((float(row), one_line(name)) for row, name in enumerate(names))),
        layers=(Bars("", bars, COLOURS[0]),),
    )


def _picture(
    cast: Cast, compared: StudyComparison, words: Words, name: str, number: int
) -> Picture:
    tries = [
        one
        for one in cast.tries
        if one.best_value is not None and one.settings.get(name) is not None
    ]
    placed = places(cast, name, tries)
    objective = words.named("objective", cast.study.objective.name)
    layers: list[Layer] = []
    for key, colour, symbol, chosen in _groups(cast, tries):
        marks = [_mark(one, placed, name, compared, cast) for one in chosen]
        if len(tries) > MOST_INTERVALS:
            marks = [Mark(mark.told, mark.x, mark.y) for mark in marks]
        if marks:
            layers.append(Marks(words.text(key), tuple(marks), colour, symbol))
    return Picture(
        name=f"parameter-{number}",
        title=one_line(name),
        caption="",
        x=placed.axis(one_line(name)),
        y=Axis(words.text("picture.best_of", objective=objective)),
        layers=tuple(layers),
    )


def _groups(
    cast: Cast, tries: list[TrialResult]
) -> tuple[tuple[str, str, Symbol, list[TrialResult]], ...]:
    """The tries by what became of them, each group with its look."""
    baseline = cast.study.baseline
    completed = [one for one in tries if one.status == "completed"]
    base = [one for one in completed if baseline is not None and one.number == baseline.number]
    return (
        ("picture.so_far", GREY, "x", [one for one in tries if one.status != "completed"]),
        ("status.completed", COLOURS[0], "circle", [one for one in completed if one not in base]),
        ("try.baseline", COLOURS[1], "diamond", base),
    )


def _mark(
    one: TrialResult, placed: Places, name: str, compared: StudyComparison, cast: Cast
) -> Mark:
    cell = as_cell(one.settings[name])
    assert one.best_value is not None
    told = f"{one.label}: {one_line(name)} {one_line(shown(cell, 'parameter'))}"
    interval = compared.trials[one.number].interval
    if interval is None or cast.study.objective.name != DEFAULT_OBJECTIVE.name:
        return Mark(told, placed.of(cell), one.best_value)
    told += f" [{interval.low:.3f}, {interval.high:.3f}]"
    return Mark(told, placed.of(cell), one.best_value, interval.low, interval.high)


def _scale(cells: list[Cell], sampled_log: bool) -> str:
    numbers = [float(cell) for cell in cells if cell is not None and is_number(cell)]
    if len(numbers) < len(cells) or not numbers:
        return "category"
    if min(numbers) < 0 or not (sampled_log or _spans_magnitudes(numbers)):
        return "linear"
    # A log axis has no place for the 0 of a grid such as 0, 1e-4, 1e-2: even steps have.
    return "log" if min(numbers) > 0 else "category"


def _spans_magnitudes(numbers: list[float]) -> bool:
    """True where a linear axis would crowd half of the numbers into its first tenth."""
    positive = [number for number in numbers if number > 0]
    if not positive or max(positive) / min(positive) < _LOG_RATIO:
        return False
    return median(positive) < max(positive) / 10


def _categories(cells: list[Cell], choices: tuple[Cell, ...]) -> tuple[str, ...]:
    """The values as text: in the order of the choices, else numbers first and in order."""
    seen = {shown(cell, "parameter"): cell for cell in cells}
    given = {shown(cell, "parameter"): None for cell in choices}
    rest = sorted(seen.keys() - given.keys(), key=lambda text: _category_order(seen[text]))
    return (*(text for text in given if text in seen), *rest)


def _category_order(cell: Cell) -> tuple[bool, float, str]:
    number = float(cell) if cell is not None and is_number(cell) else math.inf
    return not is_number(cell), number, shown(cell, "parameter")
