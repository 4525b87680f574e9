"""A named sweep is one YAML file; this reads and checks it, and says all that is wrong at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from trytable.records import Objective, Point
from trytable.sweeps.config import validation
from trytable.sweeps.config.knobs import FreeKnobs, Knobs
from trytable.sweeps.config.messages import SweepError, listed, show, suggestion, unknown
from trytable.sweeps.config.overrides import apply, parse_overrides
from trytable.sweeps.config.records import (
    Gate,
    Pruner,
    Range,
    Sampler,
    Script,
    Sweep,
    Values,
    grid_points,
)
from trytable.sweeps.config.schema import SweepFile, check_form
from trytable.sweeps.config.script import check_script
from trytable.sweeps.config.yaml_source import Document, read_document

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
    return tuple(sorted(path for path in folder.glob("*.yaml") if _is_name(path.stem)))


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and ".." not in name


def find_sweep(folder: Path, name: str) -> Path:
    """The file of a sweep. Raises SweepError, with those that exist, for any other name."""
    names = [path.stem for path in list_sweeps(folder)]
    if name in names:
        return folder / f"{name}.yaml"
    there = f"There are in {folder}: {listed(names)}."
    if not name:
        raise SweepError(f"No sweep was named, as with NAME=dropout. {there}")
    if not _is_name(name):
        raise SweepError(
            f"{show(name)} is no sweep's name. Allowed are letters, digits and _ . -, a letter or "
            f"digit first, and no two dots together. {there}"
        )
    raise SweepError(f"There is no sweep {show(name)}.{suggestion(name, names)} {there}")


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

    Raises SweepError with every mistake, a line each: where it stands, the value, what is allowed.
    """
    document = read_document(path)
    apply(document, overrides, trainers)
    form = check_form(document)
    knobs = _find_knobs(document, trainers)
    if knobs is None:
        return document.fail()
    baseline = validation.check_baseline(document, knobs)
    parameters = validation.check_parameters(document, knobs)
    enqueue = validation.check_enqueue(document, knobs, baseline, parameters)
    validation.check_inside(document, baseline, ("baseline",), parameters)
    for index, point in enumerate(enqueue):
        validation.check_inside(document, point, ("enqueue", index), parameters)
    if form is None:
        return document.fail()
    objective = validation.check_objective(document, form.objective, knobs)
    script = check_script(document, form, knobs)
    validation.check_budget(document, form, parameters)
    if baseline and not document.problems:
        validation.check_together(document, knobs, baseline, parameters)
    validation.check_epochs(document, form, baseline)
    validation.check_packing(document, form, knobs)
    if document.problems or objective is None:
        return document.fail()
    return _sweep(
        path,
        form,
        objective,
        baseline=baseline,
        parameters=parameters,
        enqueue=enqueue,
        script=script,
    )


def _find_knobs(document: Document, trainers: Mapping[str, type[BaseModel]]) -> Knobs | None:
    name = document.data.get("trainer", SweepFile.model_fields["trainer"].default)
    if isinstance(name, str) and name in trainers:
        free = trainers[name].model_config.get("extra") == "allow"
        return FreeKnobs(name, trainers[name], document) if free else Knobs(name, trainers[name])
    document.complain(("trainer",), unknown("trainer", name, trainers))
    return None


def _sweep(
    path: Path,
    form: SweepFile,
    objective: Objective,
    *,
    baseline: Point,
    parameters: validation.Parameters,
    enqueue: tuple[Point, ...],
    script: Script | None,
) -> Sweep:
    return Sweep(
        name=path.stem,
        path=str(path),
        description=form.description,
        trainer=form.trainer,
        model=form.model,
        data=form.data.model_dump(),
        seed=form.seed,
        objective=objective,
        baseline=baseline,
        parameters=parameters,
        sampler=Sampler(**form.sampler.model_dump()),
        pruner=Pruner(**form.pruner.model_dump()),
        trials=form.trials,
        hours=form.hours,
        attempts=form.attempts,
        gpu_failures=form.gpu_failures,
        max_per_gpu=form.max_per_gpu,
        silence_minutes=form.silence_minutes,
        enqueue=enqueue,
        gate=Gate(tuple(form.gate.kinds), form.gate.window_steps, form.gate.tolerance),
        script=script,
    )
