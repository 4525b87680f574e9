"""Checks a file's values against its form and the trainer's knobs, and collects mistakes."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from sweeps.reading import Document, Path_
from sweeps.records import Range, Values
from sweeps.schema import SweepFile, pruner_mistakes

_RANGE_KEYS = {"low": (int, float), "high": (int, float), "log": (bool,), "step": (int, float)}
_PYDANTIC_HINTS = {"extra_forbidden": "no such key", "missing": "missing"}


class Mistakes:
    """Mistakes of one file, each with where it stands."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.found: list[str] = []

    def add(self, path: Path_, text: str) -> None:
        """Note a mistake of the value at this path."""
        self.found.append(f"{self._document.where(path)}: {text}")


def check_form(document: Document, mistakes: Mistakes) -> SweepFile | None:
    """The file's form; None where it is too broken to go on."""
    pruner = document.values.get("pruner")
    if isinstance(pruner, dict):
        for option, text in pruner_mistakes(pruner):
            mistakes.add(("pruner", option), text)
    try:
        return SweepFile.model_validate(document.values)
    except ValidationError as error:
        for one in error.errors():
            mistakes.add(tuple(one["loc"]), _pydantic_text(one, SweepFile))
        return None


def _pydantic_text(error: Any, model: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        fields = _fields_at(model, error["loc"][:-1])
        return f"no such key{suggestion(str(error['loc'][-1]), fields)}"
    if error["type"] == "missing":
        return "this key is missing"
    if error["loc"] == ("parameters",) and error["type"] == "too_short":
        return "nothing varies; name at least one parameter"
    text = str(error["msg"])
    return f"{text[0].lower()}{text[1:]}, not {error['input']!r}"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for key in loc:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def suggestion(name: str, known: Iterable[str]) -> str:
    """What was meant, if that is near; and what there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{meant} (allowed: {', '.join(names)})" if names else ""


class Knobs:
    """The knobs of one trainer: what each may hold."""

    def __init__(self, schema: type[BaseModel]) -> None:
        self.names = tuple(schema.model_fields)
        self.defaults = {name: field.default for name, field in schema.model_fields.items()}
        self._adapters: dict[str, TypeAdapter[Any]] = {
            # What pydantic keeps apart, put together again: the type and its bounds.
            name: TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type] # built at run time
            for name, field in schema.model_fields.items()
        }

    def value(self, name: str, value: Any, path: Path_, mistakes: Mistakes) -> Any:
        """The value as the knob has it (1 as 1.0 for a float), or a mistake and None."""
        try:
            return self._adapters[name].validate_python(value, strict=True)
        except ValidationError as error:
            reasons = dict.fromkeys(_reason(one) for one in error.errors())
            mistakes.add(path, f"{value!r} is not allowed: {' or '.join(reasons)}")
            return None

    def is_known(self, name: str, path: Path_, mistakes: Mistakes) -> bool:
        """Whether there is such a knob; a mistake if not."""
        if name in self.names:
            return True
        mistakes.add(path, f"the trainer has no such knob{suggestion(name, self.names)}")
        return False


def _reason(error: Any) -> str:
    text = str(error["msg"])
    return f"{text[0].lower()}{text[1:]}"


def check_point(
    point: Mapping[str, Any], path: Path_, knobs: Knobs, mistakes: Mistakes
) -> dict[str, Any]:
    """The known knobs of a mapping, typed."""
    return {
        name: knobs.value(name, value, (*path, name), mistakes)
        for name, value in point.items()
        if knobs.is_known(name, (*path, name), mistakes)
    }


def check_parameter(
    name: str, given: Any, knobs: Knobs, mistakes: Mistakes
) -> Values | Range | None:
    """One parameter's values or range; None where it is mistaken."""
    path: Path_ = ("parameters", name)
    before = len(mistakes.found)
    if isinstance(given, list):
        found: Values | Range | None = _values(name, given, path, knobs, mistakes)
    elif isinstance(given, dict):
        found = _range(name, given, path, knobs, mistakes)
    else:
        mistakes.add(path, f"{given!r} is neither a list of values nor a range {{low: …, high: …}}")
        found = None
    return found if len(mistakes.found) == before else None


def _values(
    name: str, given: list[Any], path: Path_, knobs: Knobs, mistakes: Mistakes
) -> Values | None:
    if not given:
        mistakes.add(path, "the list is empty; name at least one value")
    values = [knobs.value(name, value, (*path, i), mistakes) for i, value in enumerate(given)]
    for index, value in enumerate(values):
        if value is not None and value in values[:index]:
            mistakes.add((*path, index), f"{value!r} stands in the list twice")
    return Values(_kind(values), tuple(values))


def _kind(values: list[Any]) -> Any:
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return "int"
    return "float" if kinds == {float} else "choice"


def _range(
    name: str, given: dict[str, Any], path: Path_, knobs: Knobs, mistakes: Mistakes
) -> Range | None:
    for key, value in given.items():
        if key not in _RANGE_KEYS:
            mistakes.add((*path, key), f"no such key{suggestion(str(key), _RANGE_KEYS)}")
        elif type(value) not in _RANGE_KEYS[key]:
            mistakes.add(
                (*path, key), f"{value!r} is not a {'truth value' if key == 'log' else 'number'}"
            )
    missing = [key for key in ("low", "high") if key not in given]
    if missing:
        mistakes.add(path, f"a range needs low and high; missing: {', '.join(missing)}")
    if mistakes.found and any(f"{'.'.join(map(str, path))}" in one for one in mistakes.found):
        return None
    low = knobs.value(name, given["low"], (*path, "low"), mistakes)
    high = knobs.value(name, given["high"], (*path, "high"), mistakes)
    if low is None or high is None:
        return None
    return _ordered(low, high, given, path, mistakes)


def _ordered(
    low: Any, high: Any, given: dict[str, Any], path: Path_, mistakes: Mistakes
) -> Range | None:
    log, step = given.get("log", False), given.get("step")
    integer = isinstance(low, int)
    if not low < high:
        mistakes.add(path, f"low {low} must be below high {high}")
    if log and low <= 0:
        mistakes.add((*path, "low"), f"a log range begins above 0, not at {low}")
    if log and step is not None:
        mistakes.add((*path, "step"), "a log range has no step")
    if step is not None and (step <= 0 or (integer and not isinstance(step, int))):
        mistakes.add(
            (*path, "step"), f"{step} is no step; give a {'whole ' * integer}number above 0"
        )
    return Range(low, high, log, step, integer)
