"""The form of a sweep file: which keys it may have, and what each of them may hold.

Knobs and ranges are checked against the trainer afterwards (see validation.py).
"""

from typing import Any, TypeVar

from pydantic import Field, ValidationError

from trytable.records import Direction, ParameterStyle
from trytable.sweeps.config.messages import join_words, not_allowed, unknown
from trytable.sweeps.config.schema import FILE_KEYS, Strict, Sweep
from trytable.sweeps.config.yaml_source import Document, Key

NAME_OR_MAPPING = ("data", "objective", "sampler", "pruner")
"""Keys that may hold a name alone: `sampler: grid` is short for `sampler: {name: grid}`."""


class ObjectiveForm(Strict):
    """A metric of every epoch; the trainer knows the direction of those that it measures."""

    name: str = Field("dev_accuracy", min_length=1)
    direction: Direction | None = None


class RangeForm(Strict):
    """A range of a parameter; the knob checks its ends and gives them a type."""

    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)


class MetricsForm(Strict):
    """Where to find a script's metrics, besides the lines that Trytable knows."""

    patterns: list[str] = Field([])
    file: str | None = Field(None, min_length=1)


class ScriptForm(Strict):
    """The keys that only trainer script has; `records.LaunchSettings` explains them."""

    command: str | list[Any] | None = None
    style: ParameterStyle = "--k v"
    switches: list[str] = Field([])
    cwd: str = Field(".", min_length=1)
    env: dict[str, str] = Field({})
    config: str | None = Field(None, min_length=1)
    metrics: MetricsForm = MetricsForm()
    observe: bool = True
    no_progress_minutes: float = Field(60, gt=0, le=100_000)
    grace_seconds: float = Field(10, ge=0, le=25)


ALL_KEYS = (*FILE_KEYS, *ScriptForm.model_fields)
"""Every key of a sweep file; the keys of every sweep come first."""


def check_form(document: Document) -> tuple[Sweep, ObjectiveForm, ScriptForm] | None:
    """The file without its knobs, its objective and its script; None if a mistake was noted.

    The sweep has no parameters, sampler and pruner yet, and its baseline and enqueued points are
    unchecked. Baseline
    and parameters that are no mappings are emptied, so that no later check has to look again.
    """
    data = document.data
    for key in data:
        if key not in ALL_KEYS:
            document.complain((key,), unknown("a valid key", key, ALL_KEYS))
    apart = ("objective", "sampler", "pruner")
    common = {key: data[key] for key in FILE_KEYS if key in data and key not in apart}
    if isinstance(data.get("parameters"), dict):
        common["parameters"] = {}
    sweep = check_part(document, (), common, Sweep)
    if sweep is not None and not sweep.data.name:
        document.complain(("data", "name"), not_allowed("", {"type": "string"}))
    objective = check_part(document, ("objective",), data.get("objective", {}), ObjectiveForm)
    own = {key: data[key] for key in ScriptForm.model_fields if key in data}
    script = check_part(document, (), own, ScriptForm)
    for key in ("baseline", "parameters"):
        if not isinstance(data.get(key, {}), dict):
            data[key] = {}
    if sweep is None or objective is None or script is None:
        return None
    return sweep, objective, script


def free_names(document: Document) -> tuple[str, ...]:
    """The names in baseline and parameters, in their order, each once."""
    parts = (document.data.get(key) for key in ("baseline", "parameters"))
    names = (name for part in parts if isinstance(part, dict) for name in part)
    return tuple(dict.fromkeys(names))


Form = TypeVar("Form", bound=Strict)


def check_part(document: Document, key: Key, value: Any, form: type[Form]) -> Form | None:
    """A part of the document in its form, or None with the mistakes noted."""
    try:
        return form.model_validate(value)
    except ValidationError as error:
        schema = form.model_json_schema()
        for problem in error.errors(include_url=False):
            loc = _loc_in_schema(schema, problem["loc"])
            expected, parent = _at(schema, loc), _at(schema, loc[:-1])
            text = _explain(str(problem["type"]), problem["input"], loc, expected, parent)
            document.complain((*key, *loc), text)
        return None


def _explain(
    kind: str, value: Any, loc: Key, schema: dict[str, Any], parent: dict[str, Any]
) -> str:
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown("a valid key", loc[-1], parent.get("properties", {}))
    if kind == "missing":
        return f"is missing. {join_words(parent.get('required', ()))} must be given."
    return not_allowed(value, schema)


def _loc_in_schema(schema: dict[str, Any], loc: Key) -> Key:
    """Pydantic's path without the steps that name a branch of a union."""
    path: Key = ()
    for part in loc:
        if isinstance(part, str) and "anyOf" in _at(schema, path):
            continue
        path = (*path, part)
    return path


def _at(schema: dict[str, Any], loc: Key) -> dict[str, Any]:
    """The part of a JSON schema that describes the value at a path."""
    place = schema
    for part in loc:
        inner = (
            place.get("items") if isinstance(part, int) else place.get("properties", {}).get(part)
        )
        place = inner or {}
        reference = str(place.get("$ref", "")).rpartition("/")[2]
        place = schema["$defs"][reference] if reference else place
    return place
