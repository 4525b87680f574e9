"""A suggested sweep as a file's text, with what led to it beside every line."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from orchestrator.choosing import Choice
from orchestrator.suggesting import Next
from results.records import StudyResult
from results.text import clean, one_line, short

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
