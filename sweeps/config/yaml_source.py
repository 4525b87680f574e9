"""Reads a YAML 1.2 file as plain data and keeps the line of every key.

ruamel.yaml only parses the file into events. They are put together here, so that a tag never makes
an object, an alias is never expanded, and a repeated key is reported.
"""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from trytable.sweeps.config.messages import SweepError, show

Key = tuple[str | int, ...]
"""The path of a value: names in mappings, indices in lists."""


@dataclass(frozen=True)
class Place:
    """The place of a value: a line of a file, or a source without lines, such as `SET`."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One mistake; `key` is the path of what is wrong."""

    place: Place
    key: Key
    text: str

    def __str__(self) -> str:
        path = spell(self.key)
        return f"{self.place}: {path}: {self.text}" if path else f"{self.place}: {self.text}"


@dataclass
class Document:
    """Plain data, the place of every key, and the mistakes noted so far."""

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, key: Key) -> Place:
        """The place of a key; for a missing key, the place of what should hold it."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, Place(self.source, 1))

    def complain(self, key: Key, text: str, place: Place | None = None) -> None:
        """Note a mistake, unless one about the same value, or about what holds it, is noted."""
        wrong = [problem.key for problem in self.problems if problem.key]
        if place is not None or not any(path == key[: len(path)] for path in wrong):
            self.problems.append(Problem(place or self.place(key), key, text))

    def require_data(self) -> None:
        """Raise SweepError if mistakes have left no data to check."""
        if self.problems and not self.data:
            self.fail()

    def fail(self) -> NoReturn:
        """Raise SweepError with every mistake, sorted by line, those of SET last."""
        ordered = sorted(self.problems, key=lambda p: (not p.place.line, p.place.line))
        raise SweepError("\n".join(str(problem) for problem in ordered))


def spell(key: Key) -> str:
    """A path as people write it: `parameters.dropout[2]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_plain(part)}" for part in key)
    return "".join(parts).removeprefix(".")


def _plain(word: str) -> str:
    return word if re.fullmatch(r"[\w@+/-]+", word) else show(word)


MAX_BYTES = 100_000
MAX_DEPTH = 8
MAX_DIGITS = 20
"""Limits far above what any sweep needs."""

# The core schema, YAML 1.2.2 section 10.3.2. ruamel's own resolver adds dates and 1_000.
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text. Raises SweepError if it cannot be a sweep's file."""
    try:
        if not path.is_file():
            problem = "is not a regular file" if path.exists() else "does not exist"
            raise SweepError(f"{path}: {problem}. A sweep is a YAML file.")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_BYTES:
        raise SweepError(f"{path}: is larger than {MAX_BYTES} bytes, the limit for a sweep.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SweepError(f"{path}:{line}: is not UTF-8 text.") from error


def parse(text: str, source: str) -> Document:
    """Read YAML text, of which no value is checked yet.

    Mistakes are noted in the result: a tag, an alias, a repeated key, also that the text is not
    YAML or no mapping.
    """
    document = Document(source)
    events = YAML(typ="safe", pure=True).parse(text)
    builder = _Builder(document, events)
    try:
        start = next((event for event in events if isinstance(event, _VALUE_EVENTS)), None)
        data = None if start is None else builder.value(start, ())
        builder.check_end()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        document.complain((), f"this is not YAML: {reason}.", Place(source, line))
    except (ValueError, OverflowError):  # an escape for a character that does not exist
        document.complain((), "this is not YAML: an escape names no character.")
    else:
        if isinstance(data, dict):
            document.data = data
        elif data is None:
            document.complain((), "is empty. A sweep needs at least `parameters`.")
        else:
            document.complain((), f"holds {show(data)}; a mapping (`key: value`) is expected.")
    return document


def parse_value(text: str) -> Any:
    """Read one value: a flow list or mapping, a quoted text, or a plain scalar.

    Raises ValueError, with the reason, for a list, mapping or quoted text that is malformed.
    """
    if not text.startswith(("[", "{", '"', "'")):
        return plain_scalar(text)
    document = parse("value: " + text, "")
    if document.problems:
        raise ValueError(document.problems[-1].text)
    if len(document.data) != 1:
        raise ValueError("it holds more than one value.")
    return document.data["value"]


def plain_scalar(text: str) -> Any:
    """An unquoted word as YAML 1.2 reads it: null, a truth value, a number or a text."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        # No number here needs so many digits; int() itself refuses thousands of them.
        if len(text) > MAX_DIGITS:
            return math.inf
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _NUMBER.fullmatch(text) else text


_VALUE_EVENTS = (ScalarEvent, SequenceStartEvent, MappingStartEvent, AliasEvent)


class _Builder:
    """Builds plain data from events and notes lines and mistakes in the document."""

    def __init__(self, document: Document, events: Iterator[Event]) -> None:
        self._document = document
        self._events = events

    def value(self, event: Event, key: Key) -> Any:
        """The value that begins with an event; None for an alias."""
        self._document.places.setdefault(key, self._place(event))
        self._refuse_magic(event, key)
        if isinstance(event, ScalarEvent):
            text = str(event.value)
            self._refuse_surrogates(text, key)
            return text if event.style else plain_scalar(text)
        if isinstance(event, AliasEvent):
            return None
        if len(key) >= MAX_DEPTH:
            raise YAMLError(f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, SequenceStartEvent):
            items = enumerate(self._until(SequenceEndEvent))
            return [self.value(item, (*key, index)) for index, item in items]
        return {path[-1]: self.value(next(self._events), path) for path in self._paths(key)}

    def check_end(self) -> None:
        """Note a second document as a mistake."""
        for event in self._until(StreamEndEvent):
            if not isinstance(event, DocumentEndEvent):
                text = "a second YAML document begins here."
                self._document.complain((), text, self._place(event))
                break

    def _until(self, end: type[Event]) -> Iterator[Event]:
        """The events before the next one of a kind, which is read, too."""
        return itertools.takewhile(lambda event: not isinstance(event, end), self._events)

    def _paths(self, key: Key) -> Iterator[Key]:
        """The path of each of a mapping's values, when its event is next.

        A repeated key is a mistake, and its value is skipped.
        """
        for event in self._until(MappingEndEvent):
            path = (*key, self._name(event, key))
            first = self._document.places.get(path)
            if first is None:
                self._document.places[path] = self._place(event)
                yield path
                continue
            text = f"is given twice; the first is in line {first.line}."
            self._document.complain(path, text, self._place(event))
            self.value(next(self._events), path)

    def _refuse_magic(self, event: Event, key: Key) -> None:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            self._document.complain(key, "anchors (&) and aliases (*) are not allowed.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._document.complain(key, f"a tag ({show(str(tag))}) is not allowed.")

    def _refuse_surrogates(self, text: str, key: Key) -> None:
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self._document.complain(key, f"{show(text)} holds half a character.")

    def _name(self, event: Event, key: Key) -> str:
        if isinstance(event, ScalarEvent):
            self._refuse_magic(event, (*key, str(event.value)))
            return str(event.value)
        self._document.complain(key, "a key must be one word.", self._place(event))
        self.value(event, (*key, "?"))
        return "?"

    def _place(self, event: Event) -> Place:
        return Place(self._document.source, int(event.start_mark.line) + 1)
