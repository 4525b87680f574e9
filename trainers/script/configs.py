"""Config files in YAML, JSON and TOML: a copy with a trial's values in it."""

import io
import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from tomlkit.exceptions import TOMLKitError

from trytable.records import Scalar
from trytable.trainers.protocol.messages import Refused

FORMATS = ("json", "yaml", "toml")
T = TypeVar("T")


def merged(path: Path, values: Mapping[str, Scalar]) -> str:
    """The text of a config file with values in the place of its own.

    `optimizer.lr` is the key `lr` of the mapping `optimizer`, unless a key has that whole name.
    Raises Refused for a file that cannot be read, and for a key that it does not have: a misspelt
    name would otherwise be added and ignored.
    """
    kind = {".yml": "yaml"}.get(path.suffix, path.suffix.removeprefix("."))
    try:
        text = path.read_text(encoding="utf-8")
        whole = _read(text, kind)
    except OSError as error:
        raise Refused(f"config {path} cannot be read: {error.strerror}.") from error
    except (ValueError, YAMLError, TOMLKitError) as error:
        first = str(error).strip().splitlines()[0]
        raise Refused(f"config {path} is no {kind}: {first}.") from error
    if not isinstance(whole, MutableMapping):
        raise Refused(f"config {path} holds no mapping of names to values.")
    missing = [name for name, one in values.items() if not _put(whole, name, _quoted(one, kind))]
    if missing:
        raise Refused(
            f"config {path} has no key {', '.join(missing)}, so nothing says that the script "
            "reads it. Write it there with any value, or place it in the command."
        )
    return _text(whole, kind)


def written(values: Mapping[str, Scalar], kind: str) -> str:
    """Values as a config file's text; a dot in a name leads into a mapping.

    Raises Refused where a name is both a value and a mapping.
    """
    whole: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = [_quoted(part, kind) for part in name.split(".")]
        holder = whole
        for part in outer:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise Refused(f"{name}: {part} is a value already, so it can hold none.")
        if last in holder:
            raise Refused(f"{name} is both a value and a mapping.")
        holder[last] = _quoted(value, kind)
    return _text(whole, kind)


def _quoted(value: T, kind: str) -> T | DoubleQuotedScalarString:
    """A text with quotes in YAML: bare, PyYAML takes `no` for false and `1_000` for a number."""
    return DoubleQuotedScalarString(value) if kind == "yaml" and isinstance(value, str) else value


def _put(whole: MutableMapping[str, Any], name: str, value: Scalar) -> bool:
    """Replace a value; False where there is no such key."""
    holder: Any = whole
    *outer, last = [name] if name in whole else name.split(".")
    for part in outer:
        holder = holder.get(part) if isinstance(holder, MutableMapping) else None
    if not isinstance(holder, MutableMapping) or last not in holder:
        return False
    holder[last] = value
    return True


def _read(text: str, kind: str) -> Any:
    if kind == "json":
        return json.loads(text)
    return tomlkit.parse(text) if kind == "toml" else _yaml().load(text)


def _text(whole: Any, kind: str) -> str:
    if kind == "json":
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    if kind == "toml":
        return tomlkit.dumps(whole)
    into = io.StringIO()
    _yaml().dump(whole, into)
    return into.getvalue()


def _yaml() -> YAML:
    """Comments and order are kept; nothing but plain data is made of tags."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 10_000
    # PyYAML, which most scripts read with, takes 1e-05 for a text: numbers need a dot.
    yaml.representer.add_representer(float, _dotted)
    return yaml


def _dotted(representer: Any, value: float) -> Any:
    text = repr(value)
    if "." not in text and "e" in text:
        text = text.replace("e", ".0e", 1)
    return representer.represent_scalar("tag:yaml.org,2002:float", text)
