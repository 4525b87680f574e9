"""The next sweep, from the results and findings of one: a pure decision."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands.sweep_files import sweeps_folder, write_sweep
from trytable.orchestrator.commands.train.next_values import BROKEN, Choice, Chooser, Findings
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.analysis.diagnosis.api import diagnose as findings_of
from trytable.results.analysis.diagnosis.messages import advice_text
from trytable.results.analysis.diagnosis.types import Advice, Diagnosis
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.summary import point
from trytable.results.text.format import clean, one_line, short
from trytable.trainers.protocol.messages import TRAINERS

_SWEPT = ("lr", "dropout", "weight_decay", "freeze", "head_lr_multiplier")
"""Knobs whose right value is not known beforehand: advice on them is tried, not taken."""

_MOST_ADDED = 2
"""More parameters than that at once would need more tries than people wait for."""


@dataclass
class Next:
    """The next sweep in parts; `notes` are what a sweep file cannot change."""

    baseline: dict[str, Choice] = field(default_factory=dict)
    parameters: dict[str, Choice] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def next_sweep(study: StudyResult, found: Findings, schema: type[BaseModel]) -> Next:
    """Decide what to try after a study.

    Its best try is the next baseline (the old baseline, where none completed). What was swept goes
    on around the best value, further where it was the outermost; advice of the best try's findings
    is taken or tried. `schema` holds the trainer's knobs: no value that it refuses is proposed.
    """
    best = study.ranked[0] if study.ranked else None
    settings, said, origin = _start(study, best, found)
    settings = {name: settings[name] for name in schema.model_fields if name in settings}
    plan = Next({name: Choice(one, origin) for name, one in settings.items()})
    plan.notes = list(_broken_tries(study, found))
    chooser = Chooser(study, found, settings, schema)
    wanted = _first_of_each(said)
    for name in study.sweep.get("parameters") or {}:
        if name in settings:
            plan.parameters[name] = chooser.around(name, best, wanted.get(name))
    for advice, why in wanted.values():
        _follow(advice, why, plan, chooser)
    _keep_some_parameter(plan, chooser)
    _begin_inside(plan)
    return plan


def _start(
    study: StudyResult, best: TrialResult | None, found: Findings
) -> tuple[dict[str, Any], list[Diagnosis], str]:
    """The settings to go on from, the findings that count, and why these."""
    if best is None:
        said = [one for diagnosed in found.values() for one in diagnosed]
        return dict(study.sweep.get("baseline") or {}), said, "the old baseline: no try completed"
    why = f"as in {best.label}, the best with {short(best.best_value or 0.0)}"
    return best.settings, list(found.get(best.number, ())), why


def _first_of_each(said: Iterable[Diagnosis]) -> dict[str, tuple[Advice, str]]:
    """The first advice on each knob, the gravest finding's, and why."""
    found: dict[str, tuple[Advice, str]] = {}
    for one in said:
        for advice in one.advice:
            text = f"{one.kind}: {advice_text(advice)} ({one.message})"
            found.setdefault(advice.parameter, (advice, text))
    return found


def _broken_tries(study: StudyResult, found: Findings) -> Iterator[str]:
    names = tuple(study.sweep.get("parameters") or {})
    for one in study.trials:
        for diagnosed in found.get(one.number, ()):
            if diagnosed.kind in BROKEN:
                yield f"{one.label} ({point(one, names)}): {diagnosed.kind}: {diagnosed.message}"


def _follow(advice: Advice, why: str, plan: Next, chooser: Chooser) -> None:
    """Take an advice into the baseline, try it as a parameter, or note it."""
    name = advice.parameter
    if advice.direction == "check" or name not in plan.baseline:
        plan.notes.append(why)
    elif name in plan.parameters:
        return
    elif name in _SWEPT:
        values = chooser.moved(name, advice, times=1)
        added = len(plan.parameters) - len(chooser.study.sweep.get("parameters") or {})
        if len(values) > 1 and added < _MOST_ADDED:
            plan.parameters[name] = Choice(values, why)
    else:
        values = chooser.moved(name, advice, times=1)
        plan.baseline[name] = Choice(values[-1], why)


def _keep_some_parameter(plan: Next, chooser: Chooser) -> None:
    """A sweep varies something: where nothing is left, what was swept before is swept again."""
    swept = plan.parameters
    plan.parameters = {name: one for name, one in swept.items() if len(one.value) > 1}
    if not plan.parameters:
        name = next(iter(swept))
        plan.parameters[name] = Choice(chooser.tried(name), "as before: no other value is left")


def _begin_inside(plan: Next) -> None:
    """A baseline that broke is not run again."""
    for name, choice in plan.parameters.items():
        if plan.baseline[name].value not in choice.value:
            plan.baseline[name] = Choice(choice.value[0], f"the first to try: {choice.why}")


def suggest(folders: Folders, console: Console) -> None:
    """Write the sweep that a study's results and findings lead to, beside the others, and print it.

    Raises UserError for a study that no sweep file made.
    """
    study = read_study(folders.url, folders.study)
    schema = TRAINERS.get(str(study.sweep.get("trainer")))
    if schema is None or not study.sweep.get("parameters"):
        raise UserError(
            f"The study {study.name!r} was not made from a sweep file, so there is nothing that "
            "the next one could go on from."
        )
    if study.sweep["trainer"] == "script":
        raise UserError(
            f"The study {study.name!r} is of a script, whose parameters only its author knows. "
            "Allowed: studies of trainer finetune."
        )
    text = as_yaml(study, next_sweep(study, findings_of(study), schema), schema)
    path = write_sweep(sweeps_folder(), f"{study.name.replace('@', '-')}-next", text)
    console.print(Text(text), soft_wrap=True, end="")
    console.print()
    console.print(
        Text(f"{display_path(path)}: make sweep NAME={path.stem} runs it"), soft_wrap=True
    )


_MOST_POINTS = 24
"""A larger grid is left to TPE, with so many tries."""


def as_yaml(study: StudyResult, plan: Next, schema: type[BaseModel]) -> str:
    """The next sweep as a file's text, with what led to it beside every line."""
    sweep = study.sweep
    points = math.prod(len(one.value) for one in plan.parameters.values())
    lines = [
        f"description: {_scalar(f'after {study.name}, from its findings')}",
        *(f"# {_comment(note)}" for note in plan.notes),
        *(f"{key}: {_scalar(sweep[key])}" for key in ("trainer", "model", "data", "seed")
          if sweep.get(key) is not None),
        f"objective: {_scalar(sweep['objective'])}" if sweep.get("objective") else "",
        "baseline:",
        *_lines(_own(plan, schema)),
        "parameters:",
        *_lines(plan.parameters),
        *_search(points),
        f"gate: {_scalar(sweep['gate'])}" if sweep.get("gate") else "",
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines if line)


def _own(plan: Next, schema: type[BaseModel]) -> dict[str, Choice]:
    """The baseline without what the trainer takes anyway."""
    defaults = schema.model_construct().model_dump()
    own = {n: one for n, one in plan.baseline.items() if one.value != defaults.get(n)}
    # A baseline needs its keys: one that is all defaults names a swept knob.
    return own or {n: plan.baseline[n] for n in plan.parameters}


def _search(points: int) -> Sequence[str]:
    if points <= _MOST_POINTS:
        return ("sampler: grid",)
    return ("sampler: tpe", f"trials: {_MOST_POINTS}  # of a grid of {points}")


def _lines(choices: Mapping[str, Choice]) -> Iterator[str]:
    for name, choice in choices.items():
        yield f"  {name}: {_scalar(choice.value)}  # {_comment(choice.why)}"


def _comment(text: str) -> str:
    return one_line(clean(text))


def _scalar(value: object) -> str:
    """YAML in flow style; every JSON text is YAML 1.2."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_scalar(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, float):
        return short(value)
    return json.dumps(value, ensure_ascii=False)
