"""Checks the values of a sweep file against a trainer's knobs: the baseline and the parameters."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from trytable.records import Direction, is_finite
from trytable.sweeps.config.form import RangeForm, check_part
from trytable.sweeps.config.messages import describe, join_words, not_allowed, show, unknown
from trytable.sweeps.config.schema import ParameterKind, Range, Values
from trytable.sweeps.config.yaml_source import Document, Key

MAX_POINTS = 10_000
"""A grid or range with more points than this is taken for a mistyped step."""

NO_LIST = "a list cannot be one of the values swept. Allowed: a list in the baseline, of others."

Parameters = dict[str, Values | Range]


class Knobs:
    """The knobs of a trainer, from the schema that the trainer hands in."""

    is_free = False
    """Whether the sweep file names the knobs, and not the trainer."""

    def __init__(self, trainer: str, schema: type[BaseModel]) -> None:
        self._trainer = trainer
        self._schema = schema
        self.names = tuple(schema.model_fields)
        self.objectives: Mapping[str, Direction] = getattr(schema, "OBJECTIVES", {})
        self.reports_memory: bool = getattr(schema, "REPORTS_MEMORY", False)
        self._adapters: dict[str, TypeAdapter[Any]] = {
            # Pydantic keeps a field's type and its bounds apart; the adapter needs both.
            name: TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type] # built at run time
            for name, field in schema.model_fields.items()
        }

    def kind(self, name: str) -> ParameterKind:
        """Whether a knob holds whole numbers, numbers, or is a choice (of words, or mixed)."""
        annotation = self._schema.model_fields[name].annotation
        types = set(get_args(annotation)) - {type(None)}
        if len(types) == 1 and type(None) in get_args(annotation):
            (annotation,) = types  # a number that may be left unset
        if annotation is float:
            return "float"
        return "int" if annotation is int else "choice"

    def allowed(self, name: str) -> str:
        """What a knob may hold, in words."""
        return describe(self._adapters[name].json_schema())

    def check_name(self, document: Document, key: Key) -> bool:
        """Whether the last part of a path is a knob; if not, note the mistake."""
        if key[-1] in self.names:
            return True
        document.complain(key, unknown(f"a knob of trainer {self._trainer}", key[-1], self.names))
        return False

    def check(self, document: Document, name: str, raw: Any, key: Key) -> Any:
        """The value in the knob's type (1 as 1.0 for a float), or None with the mistake noted."""
        try:
            value = self._adapters[name].validate_python(raw, strict=True)
        except ValidationError:
            document.complain(key, not_allowed(raw, self._adapters[name].json_schema()))
            return None
        if not is_finite(value):
            document.complain(key, f"{show(raw)} is not finite. Allowed: {self.allowed(name)}.")
            return None
        return value

    def conflict(self, settings: Mapping[str, Any]) -> str | None:
        """Why checked values exclude each other, or None.

        The values are not validated again: a grid has up to ten thousand points.
        """
        values = self._schema.model_construct(None, **settings)
        conflict: str | None = values.conflict() if hasattr(values, "conflict") else None
        return conflict

    def check_settings(
        self, document: Document, settings: Mapping[str, Any], key: Key
    ) -> dict[str, Any]:
        """Every knob's value, defaults included, for a mapping of checked values."""
        try:
            return self._schema.model_validate(dict(settings), strict=True).model_dump()
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                name = str(problem["loc"][0]) if problem["loc"] else ""
                if problem["type"] == "missing":
                    text = f"is missing. Allowed: {self.allowed(name)}."
                else:
                    text = f"{problem['msg'].removeprefix('Value error, ')}."
                document.complain((*key, name) if name else key, text)
            return {}


def check_baseline(document: Document, knobs: Knobs) -> dict[str, Any]:
    """Every knob's value, defaults included."""
    typed = check_point(document, document.data.get("baseline", {}), ("baseline",), knobs)
    return knobs.check_settings(document, typed, ("baseline",))


def check_point(
    document: Document, values: Mapping[str, Any], key: Key, knobs: Knobs
) -> dict[str, Any]:
    """The values of a mapping that are right, each in its knob's type."""
    typed = {}
    for name, raw in values.items():
        if knobs.check_name(document, (*key, name)):
            value = knobs.check(document, name, raw, (*key, name))
            if value is not None:
                typed[name] = value
    return typed


def check_parameters(document: Document, knobs: Knobs) -> Parameters:
    """What is swept; parameters with a mistake are left out."""
    swept = document.data.get("parameters", {})
    if "parameters" in document.data and not swept:
        document.complain(
            ("parameters",),
            "nothing is swept. Sweep at least one knob, such as "
            f"`dropout: [0.0, 0.1]`. Knobs: {join_words(knobs.names)}.",
        )
    parameters: Parameters = {}
    for name, raw in swept.items():
        if not knobs.check_name(document, ("parameters", name)):
            continue
        check = _check_values if isinstance(raw, list) else _check_range
        parameter = check(document, name, raw, knobs)
        if parameter is not None:
            parameters[name] = parameter
    return parameters


def _check_values(document: Document, name: str, raw: Any, knobs: Knobs) -> Values | None:
    key: Key = ("parameters", name)
    problems_before = len(document.problems)
    if not raw:
        document.complain(key, f"the list is empty. Allowed: {knobs.allowed(name)}.")
    first_index: dict[Any, int] = {}
    for index, raw_value in enumerate(raw):
        value = knobs.check(document, name, raw_value, (*key, index))
        if isinstance(value, list):
            document.complain((*key, index), NO_LIST)
        elif value is not None and first_index.setdefault(value, index) != index:
            document.complain((*key, index), f"{show(raw_value)} is already in the list.")
    if len(document.problems) > problems_before:
        return None
    return Values(knobs.kind(name), tuple(first_index))


def _check_range(document: Document, name: str, raw: Any, knobs: Knobs) -> Range | None:
    key: Key = ("parameters", name)
    if not isinstance(raw, dict):
        document.complain(
            key,
            f"{show(raw)} is neither a list of values ([a, b]) nor a range "
            "({low: a, high: b}, with log: true or a step if wanted). To fix a knob, put it into "
            "the baseline.",
        )
        return None
    if knobs.kind(name) == "choice":
        document.complain(key, f"only numbers have ranges; give a list of {knobs.allowed(name)}.")
        return None
    form = check_part(document, key, raw, RangeForm)
    if form is None:
        return None
    problems_before = len(document.problems)
    low = knobs.check(document, name, raw["low"], (*key, "low"))
    high = knobs.check(document, name, raw["high"], (*key, "high"))
    if len(document.problems) > problems_before:
        return None
    integer = knobs.kind(name) == "int"
    step = raw.get("step") if integer else form.step
    if integer and step is not None and not isinstance(step, int):
        document.complain((*key, "step"), not_allowed(step, {"type": "integer", "minimum": 1}))
        return None
    parameter = Range(low, high, form.log, step, integer)
    _check_ends(document, key, parameter)
    if len(document.problems) == problems_before and step is not None:
        _check_steps(document, (*key, "step"), parameter)
    return parameter if len(document.problems) == problems_before else None


def _check_ends(document: Document, key: Key, parameter: Range) -> None:
    low, high = parameter.low, parameter.high
    if not low < high:
        document.complain(key, f"low {low} must be below high {high}.")
    if parameter.log and low <= 0:
        document.complain(
            (*key, "low"), f"{low} has no logarithm. Allowed with log: a number above 0."
        )
    if parameter.log and parameter.step is not None:
        document.complain(
            (*key, "step"), "log and step exclude each other: equal steps are not equal factors."
        )


def _check_steps(document: Document, key: Key, parameter: Range) -> None:
    steps, step = parameter.step_count(), parameter.step
    if not 1 <= steps <= MAX_POINTS:
        document.complain(
            key, f"{step} makes {float(steps):.3g} steps. Allowed: 1 to {MAX_POINTS} steps."
        )
    elif steps % 1:
        document.complain(
            key,
            f"steps of {step} from {parameter.low} lead to {parameter.values[-1]}, "
            f"not to high {parameter.high}.",
        )
