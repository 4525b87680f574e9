"""The next sweep, from the results and findings of one: a pure decision."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestrator.choosing import BROKEN, Choice, Chooser, Findings
from results.diagnosis import Advice, Diagnosed, say_advice
from results.records import StudyResult, TryResult
from results.summary import point
from results.text import short

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
    study: StudyResult, best: TryResult | None, found: Findings
) -> tuple[dict[str, Any], list[Diagnosed], str]:
    """The settings to go on from, the findings that count, and why these."""
    if best is None:
        said = [one for diagnosed in found.values() for one in diagnosed]
        return dict(study.sweep.get("baseline") or {}), said, "the old baseline: no try completed"
    why = f"as in {best.label}, the best with {short(best.best_value or 0.0)}"
    return best.settings, list(found.get(best.number, ())), why


def _first_of_each(said: Iterable[Diagnosed]) -> dict[str, tuple[Advice, str]]:
    """The first advice on each knob, the gravest finding's, and why."""
    found: dict[str, tuple[Advice, str]] = {}
    for one in said:
        for advice in one.advice:
            text = f"{one.kind}: {say_advice(advice)} ({one.message})"
            found.setdefault(advice.parameter, (advice, text))
    return found


def _broken_tries(study: StudyResult, found: Findings) -> Iterator[str]:
    names = tuple(study.sweep.get("parameters") or {})
    for one in study.tries:
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
