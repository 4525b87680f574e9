"""Checks whether a sweep is still the one that its study was made with."""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

from trytable.orchestrator.errors import SweepChanged
from trytable.results.storage.rows import StudyRow
from trytable.spelling import flag, setting

# Budgets, initial points, texts, sampler, pruner and early stopping may change from run to run: the
# trials that have ended stay comparable. A change of these keys would make them incomparable.
_FIXED = ("trainer", "seed", "objective", "baseline", "parameters", "script")
_FACTS = {"data_hash": "the data", "model_hash": "the model"}


def differences(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield each difference of two nested mappings, as `baseline.lr: 0.0002 then, 1e-05 now`."""
    for key in sorted(then.keys() | now.keys()):
        old, new = then.get(key), now.get(key)
        leaf = f"{path}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{leaf}.")
        elif old != new:
            yield f"{leaf}: {_text(old)} then, {_text(new)} now"


def _text(value: Any) -> str:
    return "not set" if value is None else str(value)


def sweep_differences(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    facts_then: Mapping[str, Any],
    facts_now: Mapping[str, Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> list[str]:
    """Return the differences that keep a sweep from going on in its study.

    Args:
        then, now: the sweeps as JSON.
        facts_then, facts_now: the facts about data and model.
        defaults: the defaults of the knobs. A study made by an earlier version lacks the newer
            knobs; it was trained as their defaults say.
    """
    then = {**then, "baseline": {**defaults, **then.get("baseline", {})}}
    changes = list(differences(_comparable(then, now), _comparable(now, then)))
    return changes + fact_differences(then, now, facts_then, facts_now)


def fact_differences(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    facts_then: Mapping[str, Any],
    facts_now: Mapping[str, Any],
) -> list[str]:
    """Return how the contents of data and model differ."""
    return [
        f"the content of {name} changed: {_source(then, key)} then, {_source(now, key)} now"
        for key, name in _FACTS.items()
        if facts_then.get(key) != facts_now.get(key)
    ]


def changes_since(
    then: StudyRow, now: Mapping[str, Any], facts: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    """Return the differences that keep a sweep from going on in a study.

    A study of imported tries only fixes the objective: nothing else about them is known for sure.
    """
    if not then.facts.get("imported"):
        return sweep_differences(then.sweep, now, then.facts, facts, defaults)
    objective_then = {"objective": then.sweep.get("objective")}
    return list(differences(objective_then, {"objective": now.get("objective")}))


def matching_study_name(name: str, facts: Mapping[str, Any], studies: Iterable[StudyRow]) -> str:
    """Return the first of name, name@2, name@3 ... with this data and model, or that is free.

    Data and model of a study of imported tries are unknown, so it matches the first sweep.
    """
    unsuitable = {
        row.name
        for row in studies
        if not row.facts.get("imported")
        and any(row.facts.get(key) != facts.get(key) for key in _FACTS)
    }
    return first_free_name(name, unsuitable)


def first_free_name(name: str, taken_names: Container[str]) -> str:
    """Return the first of name, name@2, name@3 ... that is not taken."""
    names = (name if number == 1 else f"{name}@{number}" for number in count(1))
    return next(candidate for candidate in names if candidate not in taken_names)


def _comparable(sweep: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {key: sweep.get(key) for key in _FIXED}
    parameters = dict(sweep.get("parameters", {}))
    for name, parameter in parameters.items():
        kind = parameter.get("kind")
        other_kind = other.get("parameters", {}).get(name, {}).get("kind")
        if other_kind not in (None, kind):
            parameters[name] = _space(parameter)  # one line: the two share no keys to compare
        elif other_kind in ("float", "int"):
            parameters[name] = {"kind": kind}  # values of a grid may be added and removed
    return {**fixed, "parameters": parameters}


def _space(parameter: Mapping[str, Any]) -> str:
    """Describe a parameter's values, such as `0.1, 0.3` or `1e-05 to 0.001, log`."""
    if "values" in parameter:
        return ", ".join(str(value) for value in parameter["values"])
    log = ", log" if parameter.get("log") else ""
    step = f", step {parameter['step']}" if parameter.get("step") else ""
    return f"{parameter['low']} to {parameter['high']}{log}{step}"


def _source(sweep: Mapping[str, Any], key: str) -> str:
    if key == "model_hash":
        return str(sweep.get("model"))
    return str(sweep.get("data", {}).get("name"))


def sweep_changed_error(study: str, changes: list[str]) -> SweepChanged:
    """Make the error for a sweep that cannot go on in its study."""
    lines = "\n".join(f"  {line}" for line in changes)
    return SweepChanged(
        f"The study {study!r} was made with other settings, so its tries could not be compared "
        f"with new ones:\n{lines}\n{flag('AS_NEW')} starts a study beside it with the tries that "
        f"are still valid, {setting('RUNS', 'folder')} keeps studies in another folder, and "
        "undoing the change goes on with this study."
    )
