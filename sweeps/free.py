"""Parameters of a trainer that has none of its own: their names and kinds are the file's."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sweeps.document import Document, Key
from sweeps.knobs import Knobs
from sweeps.records import Kind
from sweeps.wording import show, unknown

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
        if isinstance(given, float) and not math.isfinite(given):
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
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
        return "choice"
    return "int" if all(isinstance(one, int) for one in values) else "float"
