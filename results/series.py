"""What the pictures show, whoever draws them: curves by epoch, points by parameter."""

import math
from dataclasses import dataclass
from statistics import median
from typing import Literal

from results.records import StudyResult, TryResult
from results.summary import point
from results.table import ordered, varied_parameters
from results.text import Cell, as_cell, is_number, one_line, shown

COLOURS = ("#3b82d6", "#d97706", "#1a9e6b", "#8b6ce0", "#d6558f", "#0f9fb0")
"""Told apart on white and on near-black; by rank, so the best try is always the first."""
GREY = "#8a8f98"
_LOG_RATIO = 50
_MOST_PARAMETERS = 12

Scale = Literal["linear", "log", "category"]


@dataclass(frozen=True)
class Curve:
    """A try's objective and train accuracy by epoch; None never came.

    `colour` is grey beyond the best few.

    `name` is short enough for a legend: it holds the values only where one parameter varies.
    """

    label: str
    values: str
    name: str
    colour: str
    completed: bool
    epochs: tuple[int, ...]
    value: tuple[float | None, ...]
    train: tuple[float | None, ...]
    best_epoch: int | None


@dataclass(frozen=True)
class RateCurve:
    """A try's learning rate by step, as its optimizer used it. `colour` as in its `Curve`."""

    label: str
    name: str
    colour: str
    steps: tuple[int, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class ParameterPoint:
    """A try as a point: the parameter's value and the objective's best (or best so far)."""

    label: str
    value: Cell
    best: float
    completed: bool
    is_baseline: bool


@dataclass(frozen=True)
class ParameterPicture:
    """All points of one parameter and the axis that shows them best.

    `choices` are the values of a parameter that is no number, in the given order.
    """

    name: str
    scale: Scale
    points: tuple[ParameterPoint, ...]
    choices: tuple[Cell, ...] = ()

    @property
    def groups(self) -> dict[str, tuple[ParameterPoint, ...]]:
        """The points by what became of the try, in the order of their looks."""
        return {
            "completed": tuple(p for p in self.points if p.completed and not p.is_baseline),
            "baseline": tuple(p for p in self.points if p.completed and p.is_baseline),
            "not completed: best so far": tuple(p for p in self.points if not p.completed),
        }

    @property
    def categories(self) -> tuple[str, ...]:
        """The values as text: in the order of the choices, else numbers first and in order."""
        seen = {shown(one.value, "parameter"): one.value for one in self.points}
        given = {shown(cell, "parameter"): None for cell in self.choices}
        rest = sorted(seen.keys() - given.keys(), key=lambda text: _category_order(seen[text]))
        return (*(text for text in given if text in seen), *rest)


def curves(study: StudyResult) -> tuple[Curve, ...]:
    """The curves of all tries that have one, best first."""
    names = varied_parameters(study.tries)
    ranks = {one.number: rank for rank, one in enumerate(study.ranked)}
    drawn = (one for one in ordered(study) if one.intermediate)
    return tuple(_curve(one, names, ranks.get(one.number)) for one in drawn)


def rate_curves(study: StudyResult) -> tuple[RateCurve, ...]:
    """The learning rates of all tries that told one, best first; equal courses are drawn once."""
    steps = {one.label: one.steps for one in study.tries}
    found: dict[tuple[tuple[int, float], ...], RateCurve] = {}
    for curve in curves(study):
        course = tuple((row.step, row.lr) for row in steps[curve.label] if row.lr is not None)
        if course:
            rates = RateCurve(
                label=curve.label,
                name=curve.name,
                colour=curve.colour,
                steps=tuple(step for step, _ in course),
                rates=tuple(rate for _, rate in course),
            )
            found.setdefault(course, rates)
    return tuple(found.values())


def parameter_pictures(study: StudyResult) -> tuple[ParameterPicture, ...]:
    """One for each parameter that varies, up to twelve."""
    names = varied_parameters(study.tries)[:_MOST_PARAMETERS]
    found = (_picture(study, name) for name in names)
    return tuple(picture for picture in found if picture.points)


def _curve(one: TryResult, names: tuple[str, ...], rank: int | None) -> Curve:
    coloured = rank is not None and rank < len(COLOURS)
    values = point(one, names)
    return Curve(
        label=one.label,
        values=values,
        name=f"{one.label}: {values}" if len(names) == 1 else one.label,
        colour=COLOURS[rank] if rank is not None and coloured else GREY,
        completed=one.status == "completed",
        epochs=tuple(epoch.epoch for epoch in one.curve),
        value=tuple(epoch.value for epoch in one.curve),
        train=tuple(epoch.probe_accuracy for epoch in one.curve),
        best_epoch=one.best_epoch,
    )


def _picture(study: StudyResult, name: str) -> ParameterPicture:
    baseline = study.baseline
    points = tuple(
        ParameterPoint(
            label=one.label,
            value=as_cell(one.settings[name]),
            best=one.best_value,
            completed=one.status == "completed",
            is_baseline=baseline is not None and one.number == baseline.number,
        )
        for one in study.tries
        if one.best_value is not None and one.settings.get(name) is not None
    )
    sampled_log = any(getattr(one.distributions.get(name), "log", False) for one in study.tries)
    scale = _scale([one.value for one in points], sampled_log)
    return ParameterPicture(one_line(name), scale, points, _choices(study, name))


def _choices(study: StudyResult, name: str) -> tuple[Cell, ...]:
    given = [getattr(one.distributions.get(name), "choices", ()) for one in study.tries]
    choices = tuple(map(as_cell, max(given, key=len, default=())))
    return () if all(map(is_number, choices)) else choices


def _scale(cells: list[Cell], sampled_log: bool) -> Scale:
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


def _category_order(cell: Cell) -> tuple[bool, float, str]:
    number = float(cell) if cell is not None and is_number(cell) else math.inf
    return not is_number(cell), number, shown(cell, "parameter")
