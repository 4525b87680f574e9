"""Settings from outside the file: `SET="epochs=3 lr=2e-5"`, typed and checked like the file."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from sweeps.errors import SweepError
from sweeps.reading import Document, Path_, parse


def parse_overrides(text: str) -> dict[str, object]:
    """Split by shell rules (no shell sees it) into keys and YAML values; one error for all."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SweepError(f"SET: {error}; the text was {text!r}.") from error
    found: dict[str, object] = {}
    mistakes: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            mistakes.append(f"SET: {word!r} is not of the form key=value.")
        elif key in found:
            mistakes.append(f"SET: {key} is given twice.")
        else:
            found[key] = _value(key, value, mistakes)
    if mistakes:
        raise SweepError("\n".join(mistakes))
    return found


def _value(key: str, text: str, mistakes: list[str]) -> object:
    try:
        return parse(text, f"SET: {key}")
    except SweepError as error:
        mistakes.append(str(error))
        return None


def apply(
    document: Document, overrides: Mapping[str, object], keys: Iterable[str], knobs: Iterable[str]
) -> Document:
    """The document with the overrides in it, marked as standing on line 0.

    A key is one of the file's, a knob (then it is the baseline's), or a dotted path.
    """
    values, lines = _copy(document.values), dict(document.lines)
    top, knob_names = set(keys), set(knobs)
    for key, value in overrides.items():
        path: Path_ = tuple(key.split("."))
        if len(path) == 1 and key in knob_names and key not in top:
            path = ("baseline", key)
        _put(values, path, value)
        for old in [known for known in lines if known[: len(path)] == path]:
            del lines[old]
        lines[path] = 0
    return Document(document.source, values, lines)


def _put(values: dict[str, Any], path: Path_, value: object) -> None:
    *parents, last = path
    for parent in parents:
        inner = values.get(str(parent))
        # `data: docstrings` and `sampler: grid` are short for a mapping with a name.
        inner = {"name": inner} if isinstance(inner, str) else inner
        values[str(parent)] = inner = inner if isinstance(inner, dict) else {}
        values = inner
    values[str(last)] = value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value
