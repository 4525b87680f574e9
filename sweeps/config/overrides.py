"""Settings from outside the file: `SET="epochs=3 lr=2e-5"`, typed and checked like the file."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from trytable.spelling import label
from trytable.sweeps.config.form import ALL_KEYS, NAME_OR_MAPPING, free_names
from trytable.sweeps.config.messages import SweepError, show, unknown
from trytable.sweeps.config.yaml_source import Document, Key, Place, parse_value, spell

_VARIABLES = {"trials": "TRIALS", "hours": "HOURS", "data": "DATA", "model": "MODEL"}
"""Variables of the command line that set one key."""


def parse_overrides(text: str) -> dict[str, object]:
    """Split `key=value ...` by a shell's quoting rules (no shell sees it) into YAML values.

    Raises SweepError that lists every mistake.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SweepError(f"{label('SET')}: {show(text)} cannot be split: {error}.") from error
    overrides: dict[str, object] = {}
    mistakes = []
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            mistakes.append(
                f"{label('SET')}: {show(word)} is not of the form key=value. Quote a value with "
                "spaces: \"data.name='my folder'\"."
            )
        elif key in overrides:
            mistakes.append(f"{label('SET')}: {key}: is given twice.")
        else:
            try:
                overrides[key] = parse_value(value)
            except ValueError as error:
                mistakes.append(f"{label('SET')}: {key}: {show(value)} cannot be used: {error}")
    if mistakes:
        raise SweepError("\n".join(mistakes))
    return overrides


def apply(document: Document, overrides: Mapping[str, object], trainers: Mapping[str, Any]) -> None:
    """Put overrides into a document that has not been checked yet.

    A key is one of the file's, a knob (a value of the baseline), or a dotted path. An unknown key
    is noted as a mistake.
    """
    expand_names(document)
    ordered = sorted(overrides, key=lambda name: name.partition(".")[0] not in ALL_KEYS)
    for name in ordered:  # the file's own keys first: the trainer decides what is a knob
        key = _key(document, name, _knobs(document, trainers))
        if key is not None:
            _set(document, key, overrides[name])
    expand_names(document)


def expand_names(document: Document) -> None:
    """Write `sampler: grid` out as `sampler: {name: grid}`, and `gate: none` accordingly."""
    for name in NAME_OR_MAPPING:
        if isinstance(document.data.get(name), str):
            document.data[name] = {"name": document.data[name]}
    gate = document.data.get("gate")
    if isinstance(gate, str):
        gate = [] if gate == "none" else [gate]
    if isinstance(gate, list):
        document.data["gate"] = {"kinds": gate}


def _knobs(document: Document, trainers: Mapping[str, Any]) -> Iterable[str]:
    schema = trainers.get(str(document.data.get("trainer", "finetune")))
    if schema is not None and schema.model_config.get("extra") == "allow":
        return free_names(document)
    return schema.model_fields if schema else ()


def _key(document: Document, name: str, knobs: Iterable[str]) -> Key | None:
    parts = name.split(".")
    if parts[0] in ALL_KEYS:
        return tuple(parts)
    if len(parts) == 1 and name in knobs:
        return ("baseline", name)
    text = unknown("a key of a sweep or a knob", name, [*ALL_KEYS, *knobs])
    document.complain((name,), text, _place(name))
    return None


def _place(name: str) -> Place:
    variable = _VARIABLES.get(name)
    return Place(f"{label('SET')} or {label(variable)}" if variable else label("SET"))


def _set(document: Document, key: Key, value: object) -> None:
    place = _place(spell(key))
    holder: dict[str, Any] = document.data
    for depth, part in enumerate(key[:-1], start=1):
        inner = holder.get(str(part))
        if inner is None:
            holder[str(part)] = inner = {}
            document.places[key[:depth]] = place
        if not isinstance(inner, dict):
            text = f"{spell(key[:depth])} holds {show(inner)}, which has no keys."
            document.complain(key, text, place)
            return
        holder = inner
    holder[str(key[-1])] = value
    for old in [path for path in document.places if path[: len(key)] == key]:
        del document.places[old]
    document.places[key] = place
