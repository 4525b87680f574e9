"""Checks what belongs together in a sweep file: points, ranges, the objective, the budget."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from trytable.records import Objective, Point
from trytable.spelling import setting
from trytable.sweeps.config.form import ObjectiveForm
from trytable.sweeps.config.knobs import MAX_POINTS, NO_LIST, Knobs, Parameters, check_point
from trytable.sweeps.config.messages import show, unknown
from trytable.sweeps.config.schema import Range, Sweep, Values
from trytable.sweeps.config.yaml_source import Document, Key


def check_enqueue(
    document: Document, knobs: Knobs, baseline: Mapping[str, Any], parameters: Parameters
) -> tuple[Point, ...]:
    """The enqueued points, each with a value for every parameter."""
    raw_points = document.data.get("enqueue")
    points: list[Point] = []
    for index, raw in enumerate(raw_points if isinstance(raw_points, list) else []):
        partial = raw if isinstance(raw, dict) else {}  # check_form has reported it
        point = {**baseline, **_check_enqueued(document, partial, ("enqueue", index), knobs)}
        points.append({name: point.get(name) for name in parameters})
    for index, point in enumerate(points):
        if point in points[:index]:
            document.complain(
                ("enqueue", index), f"is the same try as enqueue[{points.index(point)}]."
            )
    return tuple(points)


def _check_enqueued(
    document: Document, partial: dict[str, Any], key: Key, knobs: Knobs
) -> dict[str, Any]:
    swept = document.data.get("parameters", {})
    for name in partial:
        if name in knobs.names and name not in swept:
            document.complain((*key, name), unknown("a swept parameter", name, swept))
    return check_point(document, partial, key, knobs)


def check_inside(
    document: Document, point: Mapping[str, Any], key: Key, parameters: Parameters
) -> None:
    """A point lies inside the ranges. A value that a list lacks is allowed: it is one more."""
    for name, parameter in parameters.items():
        value = point.get(name)
        if isinstance(value, list):
            document.complain((*key, name), NO_LIST)
            continue
        if value is None or isinstance(parameter, Values) or parameter.contains(value):
            continue
        steps = f" in steps of {parameter.step}" if parameter.step is not None else ""
        document.complain(
            (*key, name),
            f"{value} is outside the swept range. Allowed: {parameter.low} to "
            f"{parameter.high}{steps}, as parameters.{name} says.",
        )


def check_together(
    document: Document, knobs: Knobs, baseline: Point, parameters: Parameters
) -> None:
    """Refuse a sweep with points that the trainer refuses: knobs may exclude each other."""
    ends = [
        [(name, value) for value in _extremes(parameter)] for name, parameter in parameters.items()
    ]
    for point in itertools.islice(itertools.product(*ends), MAX_POINTS):
        conflict = knobs.conflict({**baseline, **dict(point)})
        if conflict is not None:
            together = ", ".join(f"{name} {show(value)}" for name, value in point)
            document.complain(("parameters",), f"with {together}: {conflict}.")
            return


def _extremes(parameter: Values | Range) -> tuple[Any, ...]:
    if isinstance(parameter, Range):
        return (parameter.low, parameter.high)
    return parameter.values


def check_budget(document: Document, draft: Sweep, parameters: Parameters) -> None:
    """A grid needs values, any other sampler a number of trials."""
    if draft.sampler.name != "grid":
        if draft.trials is None:
            document.complain(
                ("trials",),
                f"is missing. Sampler {draft.sampler.name} needs it: a whole number at least 1; "
                "only a grid ends by itself.",
            )
        return
    for name, parameter in parameters.items():
        if isinstance(parameter, Range) and parameter.step is None:
            document.complain(
                ("parameters", name),
                "a grid needs values. Allowed: a list, or a range with a step; other samplers "
                "take any range.",
            )
    points = math.prod(len(parameter.values) or 1 for parameter in parameters.values())
    if points > MAX_POINTS:
        document.complain(
            ("parameters",), f"the grid has {points} points. Allowed: at most {MAX_POINTS}."
        )


def check_objective(document: Document, form: ObjectiveForm, knobs: Knobs) -> Objective | None:
    """The sweep's objective with its direction, or None with the mistake noted."""
    directions = knobs.objectives
    if directions and form.name not in directions:
        document.complain(("objective", "name"), unknown("an objective", form.name, directions))
        return None
    direction = form.direction or directions.get(form.name)
    if direction is None:
        document.complain(
            ("objective", "direction"),
            f"is missing. Trytable does not know which way {show(form.name)} is better. "
            "Allowed: maximize, minimize.",
        )
        return None
    if directions and direction != directions[form.name]:
        document.complain(
            ("objective", "direction"),
            f"{direction} would find the worst value. Allowed with {form.name}: "
            f"{directions[form.name]}.",
        )
    return Objective(form.name, direction)


def check_epochs(document: Document, draft: Sweep, baseline: Mapping[str, Any]) -> None:
    """Hyperband divides a trial's epochs, so there must be at least min_epochs."""
    if draft.pruner.name != "hyperband":
        return
    epochs, minimum = baseline.get("epochs"), draft.pruner.options["min_epochs"]
    if baseline and not isinstance(epochs, int):
        document.complain(
            ("pruner", "name"),
            "hyperband divides a trial's epochs, and the baseline has no whole number `epochs`. "
            "Allowed without it: none, median, asha.",
        )
    if isinstance(epochs, int) and minimum > epochs:
        document.complain(
            ("pruner", "min_epochs"),
            f"{minimum} is more than the baseline's epochs. Allowed with hyperband: 1 to {epochs}.",
        )


def check_packing(document: Document, draft: Sweep, knobs: Knobs) -> None:
    """Trials share a GPU by their measured memory, which not every trainer reports."""
    if draft.max_per_gpu > 1 and not knobs.reports_memory:
        document.complain(
            ("max_per_gpu",),
            f"trainer {draft.trainer} does not report its memory, so it is unknown how many "
            f"trials fit. Allowed with it: 1; {setting('SLOTS', 'number')} runs as many at once, "
            "unmeasured.",
        )
