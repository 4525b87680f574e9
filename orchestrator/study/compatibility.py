"""Whether a sweep is still the one that its study was made with."""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

from trytable.orchestrator.errors import SweepChanged
from trytable.results.storage.rows import StudyRow

# Budgets, known tries, texts, sampler, pruner and gate may change from run to run: trials that have
# ended stay comparable. What follows would make them incomparable.
_FIXED = ("trainer", "seed", "objective", "baseline", "parameters", "script")
_FACTS = {"data_hash": "the data", "model_hash": "the model"}


def differences(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every leaf in which two nested mappings differ, as `baseline.lr: 0.0002 then, 1e-05 now`."""
    for key in sorted(then.keys() | now.keys()):
        old, new = then.get(key), now.get(key)
        where = f"{path}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{where}.")
        elif old != new:
            yield f"{where}: {_word(old)} then, {_word(new)} now"


def _word(value: Any) -> str:
    return "not set" if value is None else str(value)


def sweep_differences(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    facts_then: Mapping[str, Any],
    facts_now: Mapping[str, Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> list[str]:
    """What keeps a sweep from going on in its study; the sweeps and facts are as stored (JSON).

    `defaults` are the knobs': a study of an earlier version was trained as the newer knobs'
    defaults have it.
    """
    then = {**then, "baseline": {**defaults, **then.get("baseline", {})}}
    found = list(differences(_comparable(then, now), _comparable(now, then)))
    return found + fact_differences(then, now, facts_then, facts_now)


def fact_differences(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    facts_then: Mapping[str, Any],
    facts_now: Mapping[str, Any],
) -> list[str]:
    """In what data and model differ by their content."""
    return [
        f"{what} have other content: {_source(then, key)} then, {_source(now, key)} now"
        for key, what in _FACTS.items()
        if facts_then.get(key) != facts_now.get(key)
    ]


def changes_since(
    then: StudyRow, now: Mapping[str, Any], facts: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    """What keeps a sweep from going on in a study.

    Imported tries alone bind it in nothing but the objective: what else they were run with nobody
    knows.
    """
    if not then.facts.get("imported"):
        return sweep_differences(then.sweep, now, then.facts, facts, defaults)
    kept = {"objective": then.sweep.get("objective")}
    return list(differences(kept, {"objective": now.get("objective")}))


def matching_study_name(name: str, facts: Mapping[str, Any], studies: Iterable[StudyRow]) -> str:
    """The first of name, name@2, name@3 ... that is of this data and model, or is not there yet.

    One of imported tries alone is of data and model that nobody knows, and takes the first that
    comes.
    """
    others = {
        row.name
        for row in studies
        if not row.facts.get("imported")
        and any(row.facts.get(key) != facts.get(key) for key in _FACTS)
    }
    return first_free_name(name, others)


def first_free_name(name: str, taken: Container[str]) -> str:
    """The first of name, name@2, name@3 ... that is not taken."""
    names = (name if number == 1 else f"{name}@{number}" for number in count(1))
    return next(one for one in names if one not in taken)


def _comparable(sweep: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: sweep.get(key) for key in _FIXED}
    parameters = dict(sweep.get("parameters", {}))
    for name, parameter in parameters.items():
        kind = parameter.get("kind")
        others = other.get("parameters", {}).get(name, {}).get("kind")
        if others not in (None, kind):
            parameters[name] = _space(parameter)  # in one line, where no two keys are alike
        elif others in ("float", "int"):
            parameters[name] = {"kind": kind}  # points may come and go on a grid
    return {**kept, "parameters": parameters}


def _space(parameter: Mapping[str, Any]) -> str:
    """A parameter's values in words, as `0.1, 0.3` or `1e-05 to 0.001, log`."""
    if "values" in parameter:
        return ", ".join(str(one) for one in parameter["values"])
    log = ", log" if parameter.get("log") else ""
    step = f", step {parameter['step']}" if parameter.get("step") else ""
    return f"{parameter['low']} to {parameter['high']}{log}{step}"


def _source(sweep: Mapping[str, Any], key: str) -> str:
    if key == "model_hash":
        return str(sweep.get("model"))
    return str(sweep.get("data", {}).get("name"))


def sweep_changed_error(study: str, found: list[str]) -> SweepChanged:
    """The error for a study that cannot go on."""
    listed = "\n".join(f"  {line}" for line in found)
    return SweepChanged(
        f"The study {study!r} was made with other settings, so its tries could not be compared "
        f"with new ones:\n{listed}\nAS_NEW=1 starts a study beside it with the tries that are "
        "still valid, RUNS=folder keeps studies in another folder, and undoing the "
        "change goes on with this one."
    )
