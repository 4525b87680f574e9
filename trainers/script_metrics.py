"""Reads metrics out of what a script prints or writes. Nothing that is read is ever run.

Known are lines of the form `epoch 3: train loss :: 1.155, dev acc :: 0.374` (also with = or :), one
JSON object, the dictionaries that Hugging Face's Trainer prints, and the person's own patterns.
"""

import ast
import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 65536
"""What is longer is read so far and no further, up to the end of its line."""

_MAX_WORDS = 2000
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)\b"
_EPOCH = re.compile(r"\bepoch\s*[:#=]?\s*(\d+)\b", re.IGNORECASE)
_TOLD = re.compile(
    rf"([A-Za-z][\w ./-]{{0,40}}?)\s*(::|=|:|\s)\s*({_NUMBER})(%?)(?![\w/:])",
    re.IGNORECASE,
)
_ARGUMENTS = re.compile(r"^\s*(?:args|arguments|namespace)\s*[:=]?\s*(\{.*\})\s*$", re.IGNORECASE)
_ALIASES = (
    ("train_loss", "loss", "training_loss"),
    ("dev_loss", "val_loss", "valid_loss", "validation_loss", "eval_loss"),
    ("dev_accuracy", "dev_acc", "val_acc", "val_accuracy", "valid_acc", "valid_accuracy",
     "validation_accuracy", "eval_accuracy", "eval_acc"),
    ("dev_macro_f1", "val_macro_f1", "eval_macro_f1"),
)  # fmt: skip

Metrics = dict[str, float]


class Lines:
    """Cuts a stream of bytes into lines, at \\n and at \\r, which progress bars print."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that a chunk completes. Linear in the chunk, and bounded in memory."""
        *lines, last = re.split(rb"[\r\n]", chunk)
        for line in lines:
            yield _text(self._rest + line[:MAX_LINE_BYTES])
            self._rest = b""
        if len(self._rest) < MAX_LINE_BYTES:
            self._rest += last[:MAX_LINE_BYTES]

    def end(self) -> Iterator[str]:
        """What stands after the last end of a line."""
        if self._rest:
            yield _text(self._rest)
        self._rest = b""


def _text(line: bytes) -> str:
    return line[:MAX_LINE_BYTES].decode(errors="replace")


class Patterns:
    """Finds metrics in lines, by the person's patterns first, then by what is known."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._own = [re.compile(pattern) for pattern in patterns]

    def read(self, line: str) -> Metrics:
        """The numbers of a line by name; empty where there are none."""
        found: Metrics = {}
        for pattern in self._own:
            at = pattern.search(line)
            if at is not None:
                found |= numbers(at.groupdict())
        return found or _known(line)


def _known(line: str) -> Metrics:
    stripped = line.strip()
    if stripped.startswith("{") and stripped.endswith("}"):
        return numbers(literal(stripped))
    if len(line) > _MAX_WORDS:
        return {}
    epoch = _EPOCH.search(line)
    if epoch is None and "::" not in line:
        return {}
    told = line[epoch.end() :] if epoch else line
    found = {
        normal(name): float(number) / (100 if percent else 1)
        for name, sign, number, percent in _TOLD.findall(told)
        if epoch or sign == "::"
    }
    if epoch and found:
        found["epoch"] = float(epoch[1])
    return found


def arguments(line: str) -> dict[str, Any]:
    """The arguments that a script echoes as `args: {...}`; empty for any other line."""
    at = _ARGUMENTS.match(line)
    return literal(at[1]) if at else {}


def literal(text: str) -> dict[str, Any]:
    """A mapping in JSON or as Python prints it; empty where the text is none."""
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return {str(key): one for key, one in found.items()} if isinstance(found, dict) else {}
    return {}


def numbers(given: Mapping[str, Any]) -> Metrics:
    """What is a number, or a text that is one, by its name in normal form."""
    found: Metrics = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            found[normal(name)] = float(value)
        except (ValueError, OverflowError):
            continue
    return found


def normal(name: str) -> str:
    """`Dev acc` as `dev_acc`."""
    return re.sub(r"[^\w]+", "_", name.strip().lower()).strip("_")


def find(metrics: Metrics, name: str) -> float | None:
    """A metric by its name, or by another that people give it; None where it is not finite."""
    names = next((one for one in _ALIASES if normal(name) in one), ())
    for known in (name, normal(name), *names):
        value = metrics.get(known)
        if value is not None and math.isfinite(value):
            return value
    return None


class MetricsFile:
    """Reads what a script appends to a file of JSON lines, or to a CSV file with a heading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._lines = Lines()
        self._heading: list[str] | None = None

    def new(self) -> Iterator[Metrics]:
        """The metrics of the lines that have become whole since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                while chunk := file.read(1 << 20):
                    self._at += len(chunk)
                    yield from self._read(self._lines.feed(chunk))
        except OSError:
            return  # it is not there yet

    def end(self) -> Iterator[Metrics]:
        """The last line, where it has no end."""
        yield from self.new()
        yield from self._read(self._lines.end())

    def _read(self, lines: Iterator[str]) -> Iterator[Metrics]:
        for line in lines:
            if not line.strip():
                continue
            found = self._row(line) if self._path.suffix == ".csv" else numbers(literal(line))
            if found:
                yield found

    def _row(self, line: str) -> Metrics:
        try:
            cells = next(csv.reader([line]))
        except (csv.Error, StopIteration):
            return {}
        if self._heading is None:
            self._heading = cells
            return {}
        return numbers(dict(zip(self._heading, cells, strict=False)))
