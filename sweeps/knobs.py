"""The knobs of one trainer: what each may hold, as the trainer's own schema says it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from sweeps.document import Document, Key
from sweeps.records import Direction, Kind
from sweeps.wording import describe, not_allowed, show, unknown


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
        if isinstance(value, float) and not math.isfinite(value):
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
