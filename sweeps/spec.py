"""A named sweep is one YAML file; this reads and checks it, and says all that is wrong at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from sweeps.checks import Knobs, Mistakes, check_form, check_parameter, check_point, suggestion
from sweeps.errors import SweepError
from sweeps.overrides import apply, parse_overrides
from sweeps.reading import Path_, read_document
from sweeps.records import Point, Range, Sweep, Values, grid_points
from sweeps.schema import SweepFile

__all__ = [
    "Point",
    "Range",
    "Sweep",
    "SweepError",
    "Values",
    "find_sweep",
    "grid_points",
    "list_sweeps",
    "parse_overrides",
    "read_sweep",
]

NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def list_sweeps(folder: Path) -> tuple[Path, ...]:
    """The sweep files of a folder, by name."""
    return tuple(sorted(path for path in folder.glob("*.yaml") if _NAME.fullmatch(path.stem)))


def find_sweep(folder: Path, name: str) -> Path:
    """The file of a sweep. Raises SweepError, with those that exist, for any other name."""
    names = [path.stem for path in list_sweeps(folder)]
    if name in names:
        return folder / f"{name}.yaml"
    there = ", ".join(names) or "none"
    if not name:
        raise SweepError(f"No sweep was named. There are: {there}. For example: NAME=dropout")
    known = suggestion(name, names).partition(" (")[0]
    raise SweepError(f"There is no sweep {name!r} in {folder}/{known or '.'} There are: {there}.")


def read_sweep(
    path: Path,
    trainers: Mapping[str, type[BaseModel]],
    overrides: Mapping[str, object] = NO_OVERRIDES,
) -> Sweep:
    """Read a sweep.

    Args:
        path: the file; its stem is the sweep's name.
        trainers: the knobs of each trainer, by its name.
        overrides: values over the file's, by top-level key, knob or dotted path.

    Raises SweepError with every mistake, a line each.
    """
    document = read_document(path)
    trainer = overrides.get("trainer", document.values.get("trainer", "finetune"))
    knob_names = trainers[str(trainer)].model_fields if str(trainer) in trainers else ()
    document = apply(document, overrides, SweepFile.model_fields, knob_names)
    mistakes = Mistakes(document)
    form = check_form(document, mistakes)
    if str(trainer) not in trainers:
        mistakes.add(("trainer",), f"no such trainer{suggestion(str(trainer), trainers)}")
        raise SweepError("\n".join(mistakes.found))
    points = _check_knobs(document.values, Knobs(trainers[str(trainer)]), mistakes)
    if form is not None:
        _check_budget(form, points.parameters, mistakes)
    if mistakes.found or form is None:
        raise SweepError("\n".join(mistakes.found))
    return _sweep(form, points, path)


@dataclass(frozen=True)
class _Points:
    baseline: Point
    parameters: dict[str, Values | Range]
    enqueue: tuple[Point, ...]


def _check_knobs(values: Mapping[str, Any], knobs: Knobs, mistakes: Mistakes) -> _Points:
    """What is said of knobs, also where the rest of the file is mistaken."""
    fixed = check_point(_mapping(values, "baseline"), ("baseline",), knobs, mistakes)
    baseline = {**knobs.defaults, **fixed}
    parameters = {
        name: checked
        for name, given in _mapping(values, "parameters").items()
        if knobs.is_known(name, ("parameters", name), mistakes)
        and (checked := check_parameter(name, given, knobs, mistakes)) is not None
    }
    listed = values.get("enqueue")
    enqueue = tuple(
        check_point(point, ("enqueue", index), knobs, mistakes)
        for index, point in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(point, dict)
    )
    varied = _mapping(values, "parameters")
    for index, point in enumerate(enqueue):
        for name in [name for name in point if name not in varied]:
            listing = ", ".join(varied)
            mistakes.add(("enqueue", index, name), f"does not vary here (what does: {listing})")
    _check_inside(parameters, baseline, ("baseline",), mistakes)
    for index, point in enumerate(enqueue):
        _check_inside(parameters, point, ("enqueue", index), mistakes)
    return _Points(baseline, parameters, enqueue)


def _mapping(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of the file as a mapping; what is none has been complained of by its form."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _check_inside(
    parameters: Mapping[str, Values | Range], point: Point, path: Path_, mistakes: Mistakes
) -> None:
    """A known point lies in the ranges; off a list it is one more point."""
    for name, parameter in parameters.items():
        value = point.get(name)
        if value is None or isinstance(parameter, Values):
            continue
        if not parameter.low <= value <= parameter.high:
            allowed = f"{parameter.low} to {parameter.high}"
            mistakes.add((*path, name), f"{value} is outside the range that varies, {allowed}")


def _sweep(form: SweepFile, points: _Points, path: Path) -> Sweep:
    return Sweep(
        name=path.stem,
        path=str(path),
        description=form.description,
        trainer=form.trainer,
        model=form.model,
        data=form.data.model_dump(),
        seed=form.seed,
        baseline=points.baseline,
        parameters=points.parameters,
        sampler=form.sampler,
        pruner=form.pruner,
        trials=form.trials,
        hours=form.hours,
        attempts=form.attempts,
        enqueue=points.enqueue,
    )


def _check_budget(
    form: SweepFile, parameters: Mapping[str, Values | Range], mistakes: Mistakes
) -> None:
    if form.sampler.name == "grid":
        for name, parameter in parameters.items():
            if isinstance(parameter, Range):
                mistakes.add(
                    ("parameters", name),
                    "a grid needs a list of values; a range suits any other sampler",
                )
    elif form.trials is None:
        mistakes.add(("trials",), f"sampler {form.sampler.name} needs a number of trials")
