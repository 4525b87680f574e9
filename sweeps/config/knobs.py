"""Checks values against a trainer's knobs, or against the values that the file itself gives."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from trytable.records import Direction, is_finite, is_number
from trytable.sweeps.config.messages import describe, not_allowed, show, unknown
from trytable.sweeps.config.schema import ParameterKind
from trytable.sweeps.config.yaml_source import Document, Key


class Knobs:
    """The knobs of a trainer, from the schema that the trainer hands in."""

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


_NAME = re.compile(r"[A-Za-z_+~][\w.+~/-]*")
_ALLOWED = "a number, a text, true or false"


def free_names(document: Document) -> tuple[str, ...]:
    """The names in baseline and parameters, in their order, each once."""
    parts = (section(document.data, key) for key in ("baseline", "parameters"))
    return tuple(dict.fromkeys(name for part in parts for name in part))


def section(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of the file that is a mapping; else an empty one, and check_form reports it."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


class FreeKnobs(Knobs):
    """Parameters of a trainer without knobs; the file's values give each its kind."""

    def __init__(self, trainer: str, schema: type[BaseModel], document: Document) -> None:
        super().__init__(trainer, schema)
        self.names = free_names(document)
        self._swept = section(document.data, "parameters")
        self._kinds = {name: _kind(list(_values(document, name))) for name in self.names}

    def kind(self, name: str) -> ParameterKind:
        return self._kinds[name]

    def allowed(self, name: str) -> str:
        numbers = {"int": "a whole number", "float": "a number"}
        return numbers.get(self._kinds[name], _ALLOWED)

    def check_name(self, document: Document, key: Key) -> bool:
        name = str(key[-1])
        if name not in self.names:
            document.complain(key, unknown("a parameter", name, self.names))
            return False
        if _NAME.fullmatch(name) is None:
            document.complain(
                key,
                f"{show(name)} cannot be a parameter's name. Allowed: letters, digits and "
                "_ . + ~ / -, and no digit, dot or dash first.",
            )
            return False
        return True

    def check(self, document: Document, name: str, raw: Any, key: Key) -> Any:
        if not isinstance(raw, bool | int | float | str):
            document.complain(key, f"{show(raw)} is not allowed. Allowed: {_ALLOWED}.")
            return None
        if not is_finite(raw):
            document.complain(key, f"{show(raw)} is not finite. Allowed: {_ALLOWED}.")
            return None
        if isinstance(raw, str) and "\0" in raw:
            document.complain(key, f"{show(raw)} holds a NUL, which no command can be given.")
            return None
        return float(raw) if self._kinds[name] == "float" else raw

    def conflict(self, settings: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as the base
        return None

    def check_settings(
        self,
        document: Document,  # noqa: ARG002 - as the base
        settings: Mapping[str, Any],
        key: Key,  # noqa: ARG002 - as the base
    ) -> dict[str, Any]:
        """The baseline; a swept parameter that it leaves out gets its first value."""
        first = {}
        for name, parameter in self._swept.items():
            value = next(iter(_listed_values(parameter)), None)
            if name not in settings and isinstance(value, bool | int | float | str):
                first[name] = float(value) if self._kinds[name] == "float" else value
        return {**first, **settings}


def _values(document: Document, name: str) -> Iterator[Any]:
    """All values that the file gives a parameter."""
    baseline = section(document.data, "baseline")
    if name in baseline:
        yield baseline[name]
    yield from _listed_values(section(document.data, "parameters").get(name))
    points = document.data.get("enqueue")
    for point in points if isinstance(points, list) else ():
        if isinstance(point, dict) and name in point:
            yield point[name]


def _listed_values(parameter: Any) -> list[Any]:
    """The values of a list, or the ends and the step of a range."""
    if isinstance(parameter, dict):
        ends = [parameter.get(end) for end in ("low", "high", "step")]
        return [end for end in ends if end is not None]
    return parameter if isinstance(parameter, list) else []


def _kind(values: list[Any]) -> ParameterKind:
    if not all(map(is_number, values)):
        return "choice"
    return "int" if all(isinstance(value, int) for value in values) else "float"
