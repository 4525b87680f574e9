"""Reads a sweep file as plain YAML 1.2 values, and remembers on which line each key stands."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from sweeps.errors import SweepError

MAX_BYTES = 1_000_000
"""A larger file is no sweep."""

Path_ = tuple[str | int, ...]
"""Where a value stands, as `("parameters", "lr", "low")`."""


@dataclass(frozen=True)
class Document:
    """A file's values, and the line (from 1) of every key and list entry in it."""

    source: str
    values: dict[str, Any]
    lines: dict[Path_, int] = field(default_factory=dict)

    def where(self, path: Path_) -> str:
        """`sweeps/lr.yaml:12: baseline.lr`, or `SET: baseline.lr` for what was set outside."""
        name = dotted(path)
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                line = self.lines[path[:length]]
                return f"{self.source}:{line}: {name}" if line else f"SET: {name}"
        return f"{self.source}: {name}" if name else self.source


def dotted(path: Path_) -> str:
    """`enqueue[0].lr` for `("enqueue", 0, "lr")`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a file. Raises SweepError for all that is no plain mapping of YAML 1.2."""
    text = _text(path)
    values = parse(text, str(path))
    if values is None:
        raise SweepError(f"{path}: the file is empty; a sweep has at least `parameters:`.")
    if not isinstance(values, dict):
        raise SweepError(
            f"{path}: a sweep is a mapping (`key: value` lines), not a {_kind(values)}."
        )
    return Document(str(path), values, lines_of(text))


def parse(text: str, source: str) -> Any:
    """The plain values of a YAML 1.2 text.

    Raises SweepError, with the line, for a syntax error, a key that stands twice, and for tags,
    anchors, aliases and directives: they could name objects to make or grow without bound.
    """
    try:
        _refuse_magic(text, source)
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SweepError(f"{source}{line}: {error.problem or error.context}") from error
    except (YAMLError, ValueError) as error:
        raise SweepError(f"{source}: {error}") from error


def lines_of(text: str) -> dict[Path_, int]:
    """The line of every key and entry of a YAML text that `parse` accepts."""
    lines: dict[Path_, int] = {}
    root = _yaml().compose(text)
    if root is not None:
        _collect(root, (), lines)
    return lines


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SweepError(f"{path}: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise SweepError(f"{path}: {len(content)} bytes; a sweep has at most {MAX_BYTES}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SweepError(f"{path}:{line}: not UTF-8 text ({error.reason}).") from error


def _refuse_magic(text: str, source: str) -> None:
    for event in _yaml().parse(text):
        where = f"{source}:{event.start_mark.line + 1}"
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise SweepError(f"{where}: anchors and aliases (& and *) are not allowed.")
        if isinstance(event, DocumentStartEvent):
            if event.version or event.tags:
                raise SweepError(f"{where}: directives (%) are not allowed; files are YAML 1.2.")
        elif getattr(event, "tag", None):
            raise SweepError(f"{where}: the tag {event.tag} is not allowed; write plain values.")


def _collect(node: Node, path: Path_, lines: dict[Path_, int]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            _collect(value, (*path, key.value), lines)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _collect(value, (*path, index), lines)


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else f"single value ({value!r})"
