"""Checks values against those that a sweep file itself gives: a script has no knobs of its own."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from trytable.records import is_finite, is_number
from trytable.sweeps.config.form import free_names
from trytable.sweeps.config.knobs import Knobs
from trytable.sweeps.config.messages import show, unknown
from trytable.sweeps.config.schema import ParameterKind
from trytable.sweeps.config.yaml_source import Document, Key

_NAME = re.compile(r"[A-Za-z_+~][\w.+~/-]*")
_ALLOWED = "a number, a text, true or false"


class FreeKnobs(Knobs):
    """Parameters of a trainer without knobs; the file's values give each its kind."""

    is_free = True

    def __init__(self, trainer: str, schema: type[BaseModel], document: Document) -> None:
        super().__init__(trainer, schema)
        self.names = free_names(document)
        self._swept = document.data.get("parameters", {})
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
    baseline = document.data.get("baseline", {})
    if name in baseline:
        yield baseline[name]
    yield from _listed_values(document.data.get("parameters", {}).get(name))
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
