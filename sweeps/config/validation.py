"""Checks what a sweep file says of knobs: the baseline, the parameters, the known tries."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from trytable.records import Objective, Point
from trytable.sweeps.config.knobs import Knobs
from trytable.sweeps.config.messages import listed, not_allowed, show, unknown
from trytable.sweeps.config.records import Range, Values
from trytable.sweeps.config.schema import ObjectiveForm, RangeForm, SweepFile, check_part
from trytable.sweeps.config.yaml_source import Document, Key

MAX_POINTS = 10_000
"""More points than a grid could ever be run at; such a sweep is a slip of a step."""

_NO_LIST = "a list cannot be one of the values swept. Allowed: a list in the baseline, of others."

Parameters = dict[str, Values | Range]


def mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of the file as a mapping; what is none is complained of where its form is checked."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def check_baseline(document: Document, knobs: Knobs) -> dict[str, Any]:
    """Every knob's value, defaults included."""
    typed = _check_point(document, mapping(document.data, "baseline"), ("baseline",), knobs)
    return knobs.check_settings(document, typed, ("baseline",))


def _check_point(
    document: Document, given: Mapping[str, Any], key: Key, knobs: Knobs
) -> dict[str, Any]:
    """The known knobs of a mapping whose values are right, typed."""
    typed = {}
    for name, one in given.items():
        if knobs.check_name(document, (*key, name)):
            value = knobs.check(document, name, one, (*key, name))
            if value is not None:
                typed[name] = value
    return typed


def check_parameters(document: Document, knobs: Knobs) -> Parameters:
    """What is swept; parameters with a mistake are left out."""
    given = mapping(document.data, "parameters")
    if "parameters" in document.data and not given:
        document.complain(
            ("parameters",),
            "nothing is swept. At least one knob must be, such as "
            f"`dropout: [0.0, 0.1]`. Knobs: {listed(knobs.names)}.",
        )
    found: Parameters = {}
    for name, one in given.items():
        if knobs.check_name(document, ("parameters", name)):
            parameter = _check_parameter(document, name, one, knobs)
            if parameter is not None:
                found[name] = parameter
    return found


def _check_parameter(
    document: Document, name: str, given: Any, knobs: Knobs
) -> Values | Range | None:
    key: Key = ("parameters", name)
    if isinstance(given, list):
        return _check_values(document, name, given, knobs)
    if not isinstance(given, dict):
        document.complain(
            key,
            f"{show(given)} is neither a list of values ([a, b]) nor a range "
            "({low: a, high: b}, with log: true or a step if wanted). To fix a knob, put it into "
            "the baseline.",
        )
        return None
    if knobs.kind(name) == "choice":
        document.complain(key, f"only numbers have ranges; give a list of {knobs.allowed(name)}.")
        return None
    return _check_range(document, name, given, knobs)


def _check_values(document: Document, name: str, given: list[Any], knobs: Knobs) -> Values | None:
    key: Key = ("parameters", name)
    before = len(document.problems)
    if not given:
        document.complain(key, f"the list is empty. Allowed: {knobs.allowed(name)}.")
    first: dict[Any, int] = {}
    for index, one in enumerate(given):
        value = knobs.check(document, name, one, (*key, index))
        if isinstance(value, list):
            document.complain((*key, index), _NO_LIST)
        elif value is not None and first.setdefault(value, index) != index:
            document.complain((*key, index), f"{show(one)} is in the list already.")
    whole = len(document.problems) == before
    return Values(knobs.kind(name), tuple(first)) if whole else None


def _check_range(
    document: Document, name: str, given: dict[str, Any], knobs: Knobs
) -> Range | None:
    key: Key = ("parameters", name)
    form = check_part(document, key, given, RangeForm)
    if form is None:
        return None
    before = len(document.problems)
    low = knobs.check(document, name, given["low"], (*key, "low"))
    high = knobs.check(document, name, given["high"], (*key, "high"))
    if len(document.problems) > before:
        return None
    integer = knobs.kind(name) == "int"
    step = given.get("step") if integer else form.step
    if integer and step is not None and not isinstance(step, int):
        document.complain((*key, "step"), not_allowed(step, {"type": "integer", "minimum": 1}))
        return None
    found = Range(low, high, form.log, step, integer)
    _check_ends(document, key, found)
    if len(document.problems) == before and step is not None:
        _check_steps(document, (*key, "step"), found)
    return found if len(document.problems) == before else None


def _check_ends(document: Document, key: Key, given: Range) -> None:
    if not given.low < given.high:
        document.complain(key, f"low {given.low} must be below high {given.high}.")
    if given.log and given.low <= 0:
        document.complain(
            (*key, "low"), f"{given.low} has no logarithm. Allowed with log: a number above 0."
        )
    if given.log and given.step is not None:
        document.complain(
            (*key, "step"), "log and step exclude each other: equal steps are not equal factors."
        )


def _check_steps(document: Document, key: Key, given: Range) -> None:
    steps = given.steps()
    if not 1 <= steps <= MAX_POINTS:
        said = f"{given.step} makes {float(steps):.3g} steps. Allowed: 1 to {MAX_POINTS} of them."
        document.complain(key, said)
    elif steps % 1:
        document.complain(
            key,
            f"steps of {given.step} from {given.low} lead to {given.points()[-1]}, "
            f"not to high {given.high}.",
        )


def check_enqueue(
    document: Document, knobs: Knobs, baseline: Mapping[str, Any], parameters: Parameters
) -> tuple[Point, ...]:
    """The known tries, each with a value for every parameter."""
    points: list[Point] = []
    given = document.data.get("enqueue")
    for index, one in enumerate(given if isinstance(given, list) else []):
        known = one if isinstance(one, dict) else {}  # its form has been complained of
        points.append(_check_try(document, known, ("enqueue", index), knobs))
    filled = [{name: {**baseline, **one}.get(name) for name in parameters} for one in points]
    for index, one in enumerate(filled):
        if one in filled[:index]:
            first = filled.index(one)
            document.complain(("enqueue", index), f"is the same try as enqueue[{first}].")
    return tuple(filled)


def _check_try(document: Document, given: dict[str, Any], key: Key, knobs: Knobs) -> dict[str, Any]:
    swept = mapping(document.data, "parameters")
    for name in given:
        if name in knobs.names and name not in swept:
            document.complain((*key, name), unknown("swept parameter", name, swept))
    return _check_point(document, given, key, knobs)


def check_inside(
    document: Document, point: Mapping[str, Any], key: Key, parameters: Parameters
) -> None:
    """A known point lies in the ranges. Off the values listed it may be: it is one more."""
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
            f"{value} lies outside what is swept. Allowed: {parameter.low} to "
            f"{parameter.high}{steps}, as parameters.{name} says.",
        )


def check_together(
    document: Document, knobs: Knobs, baseline: Point, parameters: Parameters
) -> None:
    """Whether the trainer takes every point of the sweep: knobs may exclude each other."""
    ends = [
        [(name, value) for value in _extremes(parameter)] for name, parameter in parameters.items()
    ]
    for point in itertools.islice(itertools.product(*ends), MAX_POINTS):
        said = knobs.excluded({**baseline, **dict(point)})
        if said is not None:
            together = ", ".join(f"{name} {show(value)}" for name, value in point)
            document.complain(("parameters",), f"with {together}: {said}.")
            return


def _extremes(parameter: Values | Range) -> tuple[Any, ...]:
    if isinstance(parameter, Range):
        return (parameter.low, parameter.high)
    return parameter.values


def check_budget(document: Document, form: SweepFile, parameters: Parameters) -> None:
    """A grid needs values, any other sampler a number of trials."""
    if form.sampler.name != "grid":
        if form.trials is None:
            document.complain(
                ("trials",),
                f"is missing. Sampler {form.sampler.name} needs it: a whole number at least 1; "
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
    points = math.prod(len(one.points()) or 1 for one in parameters.values())
    if points > MAX_POINTS:
        document.complain(
            ("parameters",), f"the grid has {points} points. Allowed: at most {MAX_POINTS}."
        )


def check_objective(document: Document, form: ObjectiveForm, knobs: Knobs) -> Objective | None:
    """What the sweep is after, with its direction; None with the mistake noted."""
    known = knobs.objectives
    if known and form.name not in known:
        document.complain(("objective", "name"), unknown("objective", form.name, known))
        return None
    direction = form.direction or known.get(form.name)
    if direction is None:
        document.complain(
            ("objective", "direction"),
            f"is missing. Which way {show(form.name)} is better cannot be known. "
            "Allowed: maximize, minimize.",
        )
        return None
    if known and direction != known[form.name]:
        document.complain(
            ("objective", "direction"),
            f"{direction} would look for the worst. Allowed with {form.name}: {known[form.name]}.",
        )
    return Objective(form.name, direction)


def check_epochs(document: Document, form: SweepFile, baseline: Mapping[str, Any]) -> None:
    """Hyperband divides a trial's epochs, so it must leave some."""
    epochs, least = baseline.get("epochs"), form.pruner.min_epochs
    if form.pruner.name == "hyperband" and baseline and not isinstance(epochs, int):
        document.complain(
            ("pruner", "name"),
            "hyperband divides a trial's epochs, and the baseline has no whole number `epochs`. "
            "Allowed without it: none, median, asha.",
        )
    if form.pruner.name == "hyperband" and isinstance(epochs, int) and least > epochs:
        document.complain(
            ("pruner", "min_epochs"),
            f"{least} is more than the baseline's epochs. Allowed with hyperband: 1 to {epochs}.",
        )


def check_packing(document: Document, form: SweepFile, knobs: Knobs) -> None:
    """Trials share a GPU as their memory is measured, which not every trainer tells."""
    if form.max_per_gpu > 1 and not knobs.tells_memory:
        document.complain(
            ("max_per_gpu",),
            f"trainer {form.trainer} does not tell what memory it takes, so nothing says how many "
            "fit. Allowed with it: 1; SLOTS=number runs as many at once, unmeasured.",
        )
