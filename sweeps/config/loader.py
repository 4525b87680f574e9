"""Reads and checks a named sweep, one YAML file, and reports all mistakes in it together."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from trytable.spelling import setting
from trytable.sweeps.config import validation
from trytable.sweeps.config.choices import check_choices
from trytable.sweeps.config.form import check_form
from trytable.sweeps.config.free_knobs import FreeKnobs
from trytable.sweeps.config.knobs import Knobs, check_baseline, check_parameters
from trytable.sweeps.config.messages import SweepError, join_words, show, suggestion, unknown
from trytable.sweeps.config.overrides import apply, parse_overrides
from trytable.sweeps.config.schema import Range, Sweep, SweepKinds, Values, grid_points
from trytable.sweeps.config.script import check_script
from trytable.sweeps.config.yaml_source import Document, parse, read_text

__all__ = [
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
    """The sweep files of a folder, sorted by name."""
    return tuple(sorted(path for path in folder.glob("*.yaml") if _is_name(path.stem)))


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and ".." not in name


def find_sweep(folder: Path, name: str) -> Path:
    """The file of a sweep. Raises SweepError, which lists the sweeps that exist."""
    names = [path.stem for path in list_sweeps(folder)]
    if name in names:
        return folder / f"{name}.yaml"
    available = f"Sweeps in {folder}: {join_words(names)}."
    if not name:
        raise SweepError(
            f"No sweep was named. Name one, such as {setting('NAME', 'dropout')}. {available}"
        )
    if not _is_name(name):
        raise SweepError(
            f"{show(name)} is not a valid sweep name. Use letters, digits and _ . -, start with a "
            f"letter or digit, and do not put two dots together. {available}"
        )
    raise SweepError(f"There is no sweep {show(name)}.{suggestion(name, names)} {available}")


def read_sweep(
    path: Path,
    kinds: SweepKinds,
    overrides: Mapping[str, object] = NO_OVERRIDES,
) -> Sweep:
    """Read and check a sweep.

    Args:
        path: the file; its stem is the sweep's name.
        kinds: the trainers, samplers and pruners that the file may name.
        overrides: values that replace the file's, by top-level key, knob or dotted path.

    Raises SweepError with every mistake, one per line: its place, the value, what is allowed.
    """
    document = parse(read_text(path), str(path))
    document.require_data()
    apply(document, overrides, kinds.trainers)
    form = check_form(document)
    choices = check_choices(document, kinds)
    knobs = _find_knobs(document, kinds.trainers)
    if knobs is None:
        return document.fail()
    baseline = check_baseline(document, knobs)
    parameters = check_parameters(document, knobs)
    enqueue = validation.check_enqueue(document, knobs, baseline, parameters)
    validation.check_inside(document, baseline, ("baseline",), parameters)
    for index, point in enumerate(enqueue):
        validation.check_inside(document, point, ("enqueue", index), parameters)
    if form is None or choices.keys() != {"sampler", "pruner"}:
        return document.fail()
    draft, objective_form, script_form = form
    draft = draft.model_copy(update=choices)
    objective = validation.check_objective(document, objective_form, knobs)
    script = check_script(document, script_form, knobs)
    validation.check_budget(document, draft, parameters)
    if baseline and not document.problems:
        validation.check_together(document, knobs, baseline, parameters)
    validation.check_epochs(document, draft, baseline)
    validation.check_packing(document, draft, knobs)
    if document.problems or objective is None:
        return document.fail()
    return draft.model_copy(
        update={
            "name": path.stem,
            "path": str(path),
            "objective": objective,
            "baseline": baseline,
            "parameters": parameters,
            "enqueue": enqueue,
            "script": script,
        }
    )


def _find_knobs(document: Document, trainers: Mapping[str, type[BaseModel]]) -> Knobs | None:
    name = document.data.get("trainer", Sweep.model_fields["trainer"].default)
    if isinstance(name, str) and name in trainers:
        free = trainers[name].model_config.get("extra") == "allow"
        return FreeKnobs(name, trainers[name], document) if free else Knobs(name, trainers[name])
    document.complain(("trainer",), unknown("a trainer", name, trainers))
    return None
