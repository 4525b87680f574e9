"""The parts of an error message: the value, what is allowed, the word that was probably meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from trytable.records import Refused


class SweepError(Refused):
    """All mistakes of a file or a setting, one per line: place, mistake, and what is allowed."""


_LONGEST = 60
_BOUNDS = (
    ("exclusiveMinimum", "above"),
    ("minimum", "at least"),
    ("exclusiveMaximum", "below"),
    ("maximum", "at most"),
)
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text, quoted where it looks like a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def show(value: Any) -> str:
    """A value as a message quotes it: on one line, and cut if it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def join_words(words: Iterable[object]) -> str:
    """Words for a message, separated by commas."""
    return ", ".join(str(word) for word in words) or "nothing"


def suggestion(word: object, allowed: Iterable[str]) -> str:
    """` Did you mean ...?` if an allowed word is close, else an empty text."""
    lowered = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(str(word).lower(), lowered, n=1)
    return f" Did you mean {lowered[close[0]]}?" if close else ""


def unknown(noun: str, word: object, allowed: Iterable[str]) -> str:
    """The message for a word that is not allowed; `noun` has its article, as in `a knob`."""
    allowed = list(allowed)
    return f"{show(word)} is not {noun}.{suggestion(word, allowed)} Allowed: {join_words(allowed)}."


def not_allowed(value: Any, schema: Mapping[str, Any]) -> str:
    """The message for a value that breaks its JSON schema."""
    words = [word for option in _alternatives(schema) for word in option.get("enum", ())]
    hint = suggestion(value, [str(word) for word in words]) if isinstance(value, str) else ""
    return f"{show(value)} is not allowed.{hint} Allowed: {describe(schema)}."


def describe(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words; null goes without saying."""
    return " or ".join(map(_describe_option, _alternatives(schema))) or "any value"


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options: list[Mapping[str, Any]] = schema.get("anyOf", [schema])
    return [option for option in options if option.get("type") != "null"]


def _describe_option(schema: Mapping[str, Any]) -> str:
    words = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if words is not None:
        return join_words(words)
    if "properties" in schema:
        return f"a name or a mapping of {join_words(schema['properties'])}"
    if "pattern" in schema and "title" in schema:
        return str(schema["title"])
    kind = _TYPES.get(str(schema.get("type")), "any value")
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS if key in schema]
    return " ".join([kind, " and ".join(bounds)]).strip()
