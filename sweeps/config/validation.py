"""Checks the values of knobs in a sweep file: the baseline, the parameters, enqueued points."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from trytable.records import Objective, Point
from trytable.sweeps.config.form import ObjectiveForm, RangeForm, check_part
from trytable.sweeps.config.knobs import Knobs, section
from trytable.sweeps.config.messages import join_words, not_allowed, show, unknown
from trytable.sweeps.config.schema import Range, Sweep, Values
from trytable.sweeps.config.yaml_source import Document, Key

MAX_POINTS = 10_000
"""A grid or range with more points than this is taken for a mistyped step."""

_NO_LIST = "a list cannot be one of the values swept. Allowed: a list in the baseline, of others."

Parameters = dict[str, Values | Range]


def check_baseline(document: Document, knobs: Knobs) -> dict[str, Any]:
    """Every knob's value, defaults included."""
    typed = _check_point(document, section(document.data, "baseline"), ("baseline",), knobs)
    return knobs.check_settings(document, typed, ("baseline",))


def _check_point(
    document: Document, values: Mapping[str, Any], key: Key, knobs: Knobs
) -> dict[str, Any]:
    """The values of a mapping that are right, each in its knob's type."""
    typed = {}
    for name, raw in values.items():
        if knobs.check_name(document, (*key, name)):
            value = knobs.check(document, name, raw, (*key, name))
            if value is not None:
                typed[name] = value
    return typed


def check_parameters(document: Document, knobs: Knobs) -> Parameters:
    """What is swept; parameters with a mistake are left out."""
    swept = section(document.data, "parameters")
    if "parameters" in document.data and not swept:
        document.complain(
            ("parameters",),
            "nothing is swept. Sweep at least one knob, such as "
            f"`dropout: [0.0, 0.1]`. Knobs: {join_words(knobs.names)}.",
        )
    parameters: Parameters = {}
    for name, raw in swept.items():
        if not knobs.check_name(document, ("parameters", name)):
            continue
        check = _check_values if isinstance(raw, list) else _check_range
        parameter = check(document, name, raw, knobs)
        if parameter is not None:
            parameters[name] = parameter
    return parameters


def _check_values(document: Document, name: str, raw: Any, knobs: Knobs) -> Values | None:
    key: Key = ("parameters", name)
    problems_before = len(document.problems)
    if not raw:
        document.complain(key, f"the list is empty. Allowed: {knobs.allowed(name)}.")
    first_index: dict[Any, int] = {}
    for index, raw_value in enumerate(raw):
        value = knobs.check(document, name, raw_value, (*key, index))
        if isinstance(value, list):
            document.complain((*key, index), _NO_LIST)
        elif value is not None and first_index.setdefault(value, index) != index:
            document.complain((*key, index), f"{show(raw_value)} is already in the list.")
    if len(document.problems) > problems_before:
        return None
    return Values(knobs.kind(name), tuple(first_index))


def _check_range(document: Document, name: str, raw: Any, knobs: Knobs) -> Range | None:
    key: Key = ("parameters", name)
    if not isinstance(raw, dict):
        document.complain(
            key,
            f"{show(raw)} is neither a list of values ([a, b]) nor a range "
            "({low: a, high: b}, with log: true or a step if wanted). To fix a knob, put it into "
            "the baseline.",
        )
        return None
    if knobs.kind(name) == "choice":
        document.complain(key, f"only numbers have ranges; give a list of {knobs.allowed(name)}.")
        return None
    form = check_part(document, key, raw, RangeForm)
    if form is None:
        return None
    problems_before = len(document.problems)
    low = knobs.check(document, name, raw["low"], (*key, "low"))
    high = knobs.check(document, name, raw["high"], (*key, "high"))
    if len(document.problems) > problems_before:
        return None
    integer = knobs.kind(name) == "int"
    step = raw.get("step") if integer else form.step
    if integer and step is not None and not isinstance(step, int):
        document.complain((*key, "step"), not_allowed(step, {"type": "integer", "minimum": 1}))
        return None
    parameter = Range(low, high, form.log, step, integer)
    _check_ends(document, key, parameter)
    if len(document.problems) == problems_before and step is not None:
        _check_steps(document, (*key, "step"), parameter)
    return parameter if len(document.problems) == problems_before else None


def _check_ends(document: Document, key: Key, parameter: Range) -> None:
    low, high = parameter.low, parameter.high
    if not low < high:
        document.complain(key, f"low {low} must be below high {high}.")
    if parameter.log and low <= 0:
        document.complain(
            (*key, "low"), f"{low} has no logarithm. Allowed with log: a number above 0."
        )
    if parameter.log and parameter.step is not None:
        document.complain(
            (*key, "step"), "log and step exclude each other: equal steps are not equal factors."
        )


def _check_steps(document: Document, key: Key, parameter: Range) -> None:
    steps, step = parameter.step_count(), parameter.step
    if not 1 <= steps <= MAX_POINTS:
        document.complain(
            key, f"{step} makes {float(steps):.3g} steps. Allowed: 1 to {MAX_POINTS} steps."
        )
    elif steps % 1:
        document.complain(
            key,
            f"steps of {step} from {parameter.low} lead to {parameter.points()[-1]}, "
            f"not to high {parameter.high}.",
        )


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
    swept = section(document.data, "parameters")
    for name in partial:
        if name in knobs.names and name not in swept:
            document.complain((*key, name), unknown("a swept parameter", name, swept))
    return _check_point(document, partial, key, knobs)


def check_inside(
    document: Document, point: Mapping[str, Any], key: Key, parameters: Parameters
) -> None:
    """A point lies inside the ranges. A value that a list lacks is allowed: it is one more."""
    for name, parameter in parameters.items():
        value = point.get(name)
        if isinstance(value, list):
            document.complain((*key, name), _NO_LIST)
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
    points = math.prod(len(parameter.points()) or 1 for parameter in parameters.values())
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
    epochs, minimum = baseline.get("epochs"), draft.pruner.min_epochs
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
            "trials fit. Allowed with it: 1; SLOTS=number runs as many at once, unmeasured.",
        )
