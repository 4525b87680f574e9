"""Writes config files in YAML, JSON and TOML with a trial's values in them."""

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

from trytable.records import Refused, Scalar

FORMATS = ("json", "yaml", "toml")
T = TypeVar("T")


def merge_config(path: Path, values: Mapping[str, Scalar]) -> str:
    """Return the text of a config file with these values in place of its own.

    `optimizer.lr` is the key `lr` of the mapping `optimizer`, unless a key has that whole name.
    Raises Refused if the file cannot be read or lacks a key: a misspelt name would otherwise be
    added, and the script would ignore it.
    """
    kind = {".yml": "yaml"}.get(path.suffix, path.suffix.removeprefix("."))
    try:
        text = path.read_text(encoding="utf-8")
        config = _load(text, kind)
    except OSError as error:
        raise Refused(f"config {path} cannot be read: {error.strerror}.") from error
    except (ValueError, YAMLError, TOMLKitError) as error:
        first = str(error).strip().splitlines()[0]
        raise Refused(f"config {path} is not valid {kind}: {first}.") from error
    if not isinstance(config, MutableMapping):
        raise Refused(f"config {path} is not a mapping of names to values.")
    missing = [n for n, value in values.items() if not _replace(config, n, _quoted(value, kind))]
    if missing:
        raise Refused(
            f"config {path} has no key {', '.join(missing)}, so the script may never read it. "
            "Add it there with any value, or place it in the command."
        )
    return _dump(config, kind)


def dump_config(values: Mapping[str, Scalar], kind: str) -> str:
    """Return values as the text of a config file; a dot in a name opens a nested mapping.

    Raises Refused if a name is both a value and a mapping.
    """
    config: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = [_quoted(part, kind) for part in name.split(".")]
        mapping = config
        for part in outer:
            mapping = mapping.setdefault(part, {})
            if not isinstance(mapping, dict):
                raise Refused(f"{name}: {part} is a value already, so it cannot be a mapping too.")
        if last in mapping:
            raise Refused(f"{name} is both a value and a mapping.")
        mapping[last] = _quoted(value, kind)
    return _dump(config, kind)


def _quoted(value: T, kind: str) -> T | DoubleQuotedScalarString:
    """Quote a string in YAML: unquoted, PyYAML reads `no` as false and `1_000` as a number."""
    return DoubleQuotedScalarString(value) if kind == "yaml" and isinstance(value, str) else value


def _replace(config: MutableMapping[str, Any], name: str, value: Scalar) -> bool:
    """Replace a value. Returns False if there is no such key."""
    mapping: Any = config
    *outer, last = [name] if name in config else name.split(".")
    for part in outer:
        mapping = mapping.get(part) if isinstance(mapping, MutableMapping) else None
    if not isinstance(mapping, MutableMapping) or last not in mapping:
        return False
    mapping[last] = value
    return True


def _load(text: str, kind: str) -> Any:
    if kind == "json":
        return json.loads(text)
    return tomlkit.parse(text) if kind == "toml" else _yaml().load(text)


def _dump(config: Any, kind: str) -> str:
    if kind == "json":
        return json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    if kind == "toml":
        return tomlkit.dumps(config)
    stream = io.StringIO()
    _yaml().dump(config, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    """Return a YAML parser that keeps comments and order, and builds no objects from tags."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 10_000
    # PyYAML, which most scripts use, reads 1e-05 as a string: numbers need a dot.
    yaml.representer.add_representer(float, _represent_float)
    return yaml


def _represent_float(representer: Any, value: float) -> Any:
    text = repr(value)
    if "." not in text and "e" in text:
        text = text.replace("e", ".0e", 1)
    return representer.represent_scalar("tag:yaml.org,2002:float", text)
