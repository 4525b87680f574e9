"""Parameters of a trainer that has none of its own: their names and kinds are the file's."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from trytable.records import Direction, is_finite, is_number
from trytable.sweeps.config.messages import describe, not_allowed, show, unknown
from trytable.sweeps.config.records import Kind
from trytable.sweeps.config.yaml_source import Document, Key


class Knobs:
    """Checks values of a trainer's knobs, by the schema handed in."""

    def __init__(self, trainer: str, schema: type[BaseModel]) -> None:
        self._trainer = trainer
        self._schema = schema
        self.names = tuple(schema.model_fields)
        self.objectives: Mapping[str, Direction] = getattr(schema, "OBJECTIVES", {})
        self.tells_memory: bool = getattr(schema, "TELLS_MEMORY", False)
        self._adapters: dict[str, TypeAdapter[Any]] = {
            # What pydantic keeps apart, put together again: the type and its bounds.
            name: TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type] # built at run time
            for name, field in schema.model_fields.items()
        }

    def kind(self, name: str) -> Kind:
        """Whether a knob holds numbers, and which, or is a choice (words, or words and numbers)."""
        annotation = self._schema.model_fields[name].annotation
        known = set(get_args(annotation)) - {type(None)}
        if len(known) == 1 and type(None) in get_args(annotation):
            (annotation,) = known  # a number that may be left unset
        if annotation is float:
            return "float"
        return "int" if annotation is int else "choice"

    def allowed(self, name: str) -> str:
        """What a knob may hold, in words."""
        return describe(self._adapters[name].json_schema())

    def check_name(self, document: Document, key: Key) -> bool:
        """Whether the path's last part is a knob; if not, the mistake is noted."""
        if key[-1] in self.names:
            return True
        document.complain(key, unknown(f"knob of trainer {self._trainer}", key[-1], self.names))
        return False

    def check(self, document: Document, name: str, given: Any, key: Key) -> Any:
        """The value as the knob has it (1 as 1.0 for a float), or None with a mistake noted."""
        try:
            value = self._adapters[name].validate_python(given, strict=True)
        except ValidationError:
            document.complain(key, not_allowed(given, self._adapters[name].json_schema()))
            return None
        if not is_finite(value):
            document.complain(key, f"{show(given)} is not finite. Allowed: {self.allowed(name)}.")
            return None
        return value

    def excluded(self, settings: Mapping[str, Any]) -> str | None:
        """What the trainer has against values that are right each by itself, or None."""
        try:
            self._schema.model_validate(dict(settings), strict=True)
        except ValidationError as error:
            return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        return None

    def check_settings(
        self, document: Document, given: Mapping[str, Any], key: Key
    ) -> dict[str, Any]:
        """Every knob's value, defaults included, for a mapping whose known values are right."""
        try:
            return self._schema.model_validate(dict(given), strict=True).model_dump()
        except ValidationError as error:
            for one in error.errors(include_url=False):
                name = str(one["loc"][0]) if one["loc"] else ""
                if one["type"] == "missing":
                    text = f"is missing. Allowed: {self.allowed(name)}."
                else:
                    text = f"{one['msg'].removeprefix('Value error, ')}."
                document.complain((*key, name) if name else key, text)
            return {}


_NAME = re.compile(r"[A-Za-z_+~][\w.+~/-]*")
_ALLOWED = "a number, a text, true or false"


def free_names(document: Document) -> tuple[str, ...]:
    """The names that baseline and parameters give, in their order, each once."""
    found = [name for part in ("baseline", "parameters") for name in _part(document, part)]
    return tuple(dict.fromkeys(found))


def _part(document: Document, name: str) -> Mapping[str, Any]:
    found = document.data.get(name)
    return found if isinstance(found, dict) else {}


class FreeKnobs(Knobs):
    """Checks values whose kind is that of all values that the file gives for the name."""

    def __init__(self, trainer: str, schema: type[BaseModel], document: Document) -> None:
        super().__init__(trainer, schema)
        self.names = free_names(document)
        self._swept = _part(document, "parameters")
        self._kinds = {name: _kind(list(_values(document, name))) for name in self.names}

    def kind(self, name: str) -> Kind:
        return self._kinds[name]

    def allowed(self, name: str) -> str:
        numbers = {"int": "a whole number", "float": "a number"}
        return numbers.get(self._kinds[name], _ALLOWED)

    def check_name(self, document: Document, key: Key) -> bool:
        name = str(key[-1])
        if name not in self.names:
            document.complain(key, unknown("parameter", name, self.names))
            return False
        if _NAME.fullmatch(name) is None:
            document.complain(
                key,
                f"{show(name)} cannot be a parameter's name. Allowed: letters, digits and "
                "_ . + ~ / -, and no digit, dot or dash first.",
            )
            return False
        return True

    def check(self, document: Document, name: str, given: Any, key: Key) -> Any:
        if not isinstance(given, bool | int | float | str):
            document.complain(key, f"{show(given)} is not allowed. Allowed: {_ALLOWED}.")
            return None
        if not is_finite(given):
            document.complain(key, f"{show(given)} is not finite. Allowed: {_ALLOWED}.")
            return None
        if isinstance(given, str) and "\0" in given:
            document.complain(key, f"{show(given)} holds a NUL, which no command can be given.")
            return None
        return float(given) if self._kinds[name] == "float" else given

    def excluded(self, settings: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as the base
        return None

    def check_settings(
        self,
        document: Document,  # noqa: ARG002 - as the base
        given: Mapping[str, Any],
        key: Key,  # noqa: ARG002 - as the base
    ) -> dict[str, Any]:
        """The baseline; a swept parameter that it leaves out has its first value there."""
        first = {}
        for name, one in self._swept.items():
            value = next(iter(_listed_values(one)), None)
            if name not in given and isinstance(value, bool | int | float | str):
                first[name] = float(value) if self._kinds[name] == "float" else value
        return {**first, **given}


def _values(document: Document, name: str) -> Iterator[Any]:
    """All that the file gives for a name."""
    if name in _part(document, "baseline"):
        yield _part(document, "baseline")[name]
    yield from _listed_values(_part(document, "parameters").get(name))
    tries = document.data.get("enqueue")
    for one in tries if isinstance(tries, list) else ():
        if isinstance(one, dict) and name in one:
            yield one[name]


def _listed_values(parameter: Any) -> list[Any]:
    """The values of a list, or the ends and the step of a range."""
    if isinstance(parameter, dict):
        found = [parameter.get(end) for end in ("low", "high", "step")]
        return [one for one in found if one is not None]
    return parameter if isinstance(parameter, list) else []


def _kind(values: list[Any]) -> Kind:
    if not all(map(is_number, values)):
        return "choice"
    return "int" if all(isinstance(value, int) for value in values) else "float"
