"""`trytable suggest`: writes the next sweep file, based on a study's results and findings.

`plan_next_sweep` and `as_yaml` are pure; `suggest_sweep` reads the study and writes the file.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands.locations import sweeps_folder
from trytable.orchestrator.commands.sweep_files import write_sweep
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.commands.train.next_values import (
    BREAKING_KINDS,
    Chooser,
    Findings,
    Proposal,
)
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.diagnosis.api import diagnose
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Diagnosis
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.order import parameter_text
from trytable.results.text.format import clean, format_number, one_line
from trytable.spelling import command
from trytable.trainers.protocol.messages import TRAINERS

_SEARCHED_KNOBS = ("lr", "dropout", "weight_decay", "freeze", "head_lr_multiplier")
"""Knobs whose best value depends on the task: advice on them is searched, not simply applied."""

_MAX_ADDED = 2
"""More new parameters at once would need more trials than people wait for."""

_MAX_GRID_POINTS = 24
"""A larger grid is left to TPE, with this many trials."""


@dataclass
class NextSweep:
    """The next sweep. `notes` are findings that a sweep file cannot act on."""

    baseline: dict[str, Proposal] = field(default_factory=dict)
    parameters: dict[str, Proposal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def suggest_sweep(folders: Folders, console: Console) -> None:
    """Write the next sweep beside the others and print it.

    Raises UserError for a study that was not made from a sweep file or that ran a script;
    StudyNotFound, DatabaseUnreadable and OSError.
    """
    study = read_study(folders.url, folders.study)
    schema = TRAINERS.get(str(study.sweep.get("trainer")))
    if schema is None or not study.sweep.get("parameters"):
        raise UserError(
            f"The study {study.name!r} was not made from a sweep file, so there is no sweep to "
            "continue from."
        )
    if study.sweep["trainer"] == "script":
        raise UserError(
            f"The study {study.name!r} ran a script, and only its author knows what its parameters "
            "mean. Use a study of trainer finetune."
        )
    text = as_yaml(study, plan_next_sweep(study, diagnose(study), schema), schema)
    path = write_sweep(sweeps_folder(), f"{study.name.replace('@', '-')}-next", text)
    console.print(Text(text), soft_wrap=True, end="")
    console.print()
    print_line(console, f"{display_path(path)}: run it with {command('sweep', NAME=path.stem)}")


def plan_next_sweep(study: StudyResult, findings: Findings, schema: type[BaseModel]) -> NextSweep:
    """Return what to try after a study.

    Its best trial becomes the next baseline; if none completed, the old baseline stays. Swept
    parameters continue around their best value, and further if that was the outermost. Advice from
    the best trial's findings is applied or searched. `schema` holds the trainer's knobs: no value
    that it refuses is proposed.
    """
    best = study.ranked[0] if study.ranked else None
    settings, relevant, origin = _starting_point(study, best, findings)
    settings = {name: settings[name] for name in schema.model_fields if name in settings}
    plan = NextSweep({name: Proposal(value, origin) for name, value in settings.items()})
    plan.notes = list(_broken_trials(study, findings))
    chooser = Chooser(study, findings, settings, schema)
    advice_by_knob = _first_advice(relevant)
    for name in study.sweep.get("parameters") or {}:
        if name in settings:
            plan.parameters[name] = chooser.around(name, best, advice_by_knob.get(name))
    for advice, reason in advice_by_knob.values():
        _follow(advice, reason, plan, chooser)
    _ensure_parameter(plan, chooser)
    _move_baseline_into_space(plan)
    return plan


def _starting_point(
    study: StudyResult, best: TrialResult | None, findings: Findings
) -> tuple[dict[str, Any], list[Diagnosis], str]:
    """Return the settings to continue from, the relevant findings, and the reason for both."""
    if best is None:
        relevant = [finding for trial in findings.values() for finding in trial]
        origin = "the old baseline: no try completed"
        return dict(study.sweep.get("baseline") or {}), relevant, origin
    origin = f"as in {best.label}, the best with {format_number(best.best_value or 0.0)}"
    return best.settings, list(findings.get(best.number, ())), origin


def _first_advice(findings: Iterable[Diagnosis]) -> dict[str, tuple[Advice, str]]:
    """Return the first advice on each knob, with its reason; findings come most severe first."""
    first: dict[str, tuple[Advice, str]] = {}
    for finding in findings:
        for advice in finding.advice:
            reason = f"{finding.kind}: {advice_text(advice)} ({finding.message})"
            first.setdefault(advice.parameter, (advice, reason))
    return first


def _broken_trials(study: StudyResult, findings: Findings) -> Iterator[str]:
    names = tuple(study.sweep.get("parameters") or {})
    for trial in study.trials:
        for finding in findings.get(trial.number, ()):
            if finding.kind in BREAKING_KINDS:
                title = f"{trial.label} ({parameter_text(trial, names)})"
                yield f"{title}: {finding.kind}: {finding.message}"


def _follow(advice: Advice, reason: str, plan: NextSweep, chooser: Chooser) -> None:
    """Apply an advice to the baseline, search it as a parameter, or note it."""
    name = advice.parameter
    if advice.direction == "check" or name not in plan.baseline:
        plan.notes.append(reason)
    elif name in plan.parameters:
        return
    elif name in _SEARCHED_KNOBS:
        values = chooser.moves(name, advice, times=1)
        added = len(plan.parameters) - len(chooser.study.sweep.get("parameters") or {})
        if len(values) > 1 and added < _MAX_ADDED:
            plan.parameters[name] = Proposal(values, reason)
    else:
        values = chooser.moves(name, advice, times=1)
        plan.baseline[name] = Proposal(values[-1], reason)


def _ensure_parameter(plan: NextSweep, chooser: Chooser) -> None:
    """Drop parameters with a single value; if none is left, sweep an old one again as it was.

    A sweep without parameters is invalid.
    """
    swept = plan.parameters
    plan.parameters = {n: proposal for n, proposal in swept.items() if len(proposal.value) > 1}
    if not plan.parameters:
        name = next(iter(swept))
        values = chooser.tried_values(name)
        plan.parameters[name] = Proposal(values, "as before: no other value is left")


def _move_baseline_into_space(plan: NextSweep) -> None:
    """Replace baseline values that are not searched again, because they broke."""
    for name, proposal in plan.parameters.items():
        if plan.baseline[name].value not in proposal.value:
            reason = f"the first to try: {proposal.reason}"
            plan.baseline[name] = Proposal(proposal.value[0], reason)


def as_yaml(study: StudyResult, plan: NextSweep, schema: type[BaseModel]) -> str:
    """Return the text of the next sweep file, with the reason for each value beside it."""
    sweep = study.sweep
    points = math.prod(len(proposal.value) for proposal in plan.parameters.values())
    lines = [
        f"description: {_scalar(f'after {study.name}, from its findings')}",
        *(f"# {_comment(note)}" for note in plan.notes),
        *(f"{key}: {_scalar(sweep[key])}" for key in ("trainer", "model", "data", "seed")
          if sweep.get(key) is not None),
        f"objective: {_scalar(sweep['objective'])}" if sweep.get("objective") else "",
        "baseline:",
        *_lines(_without_defaults(plan, schema)),
        "parameters:",
        *_lines(plan.parameters),
        *_sampler_lines(points),
        f"gate: {_scalar(sweep['gate'])}" if sweep.get("gate") else "",
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines if line)


def _without_defaults(plan: NextSweep, schema: type[BaseModel]) -> dict[str, Proposal]:
    """Return the baseline without the trainer's defaults."""
    defaults = schema.model_construct().model_dump()
    own = {
        n: proposal for n, proposal in plan.baseline.items() if proposal.value != defaults.get(n)
    }
    # A sweep file needs at least one key under `baseline`, so one of only defaults names the
    # searched knobs.
    return own or {name: plan.baseline[name] for name in plan.parameters}


def _sampler_lines(points: int) -> Sequence[str]:
    if points <= _MAX_GRID_POINTS:
        return ("sampler: grid",)
    return ("sampler: tpe", f"trials: {_MAX_GRID_POINTS}  # of a grid of {points}")


def _lines(proposals: Mapping[str, Proposal]) -> Iterator[str]:
    for name, proposal in proposals.items():
        yield f"  {name}: {_scalar(proposal.value)}  # {_comment(proposal.reason)}"


def _comment(text: str) -> str:
    return one_line(clean(text))


def _key(key: str) -> str:
    """Return a mapping's key; a label of the data may be any text."""
    return key if key.isidentifier() else json.dumps(key, ensure_ascii=False)


def _scalar(value: object) -> str:
    """Return YAML in flow style; strings are JSON, which YAML 1.2 includes."""
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_key(key)}: {_scalar(entry)}" for key, entry in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, float):
        return format_number(value)
    return json.dumps(value, ensure_ascii=False)
