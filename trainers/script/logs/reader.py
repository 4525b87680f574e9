"""Reads what training programs print: metrics by epoch and step, line by line.

Bytes go in, frozen records come out, each with its line number. There is no I/O here, time is
linear in the input and memory is bounded, whatever the input. Nothing that is read is ever run.
What looks wrong (a cut line, an epoch that comes twice, invalid UTF-8) becomes a `LogIssue`. It is
never repaired: a guessed number would end up in a table that people draw conclusions from.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from trytable.trainers.script.logs.metric_names import canonical_name
from trytable.trainers.script.logs.patterns import CustomPattern, ParsedLine, parse_line

MAX_LINE_BYTES = 1 << 16
"""The rest of a longer line is skipped."""

_CHUNK_BYTES = 1 << 16
_MAX_QUOTED_CHARACTERS = 120
_STABLE_FORMAT_COUNT = 3
"""After so many numbers with equally many decimals, one with fewer looks cut."""

_MAX_TRACKED_NAMES = 1000
_NEVER = -(10**9)
_LINE_END = re.compile(rb"[\r\n]")

RecordKind = Literal["epoch", "step", "final", "args"]
LogIssueKind = Literal[
    "doubled_epoch", "cut_line", "cut_number", "bad_utf8", "long_line", "slow_pattern"
]


@dataclass(frozen=True)
class LogRecord:
    """What one line says.

    Attributes:
        line: the line's number, counted from 1.
        kind: `final` are metrics without epoch and step, such as a closing `test acc :: 0.398`.
        pattern: the pattern that matched.
        epoch: as printed (programs often count from 0), None if the line belongs to none.
        step: as printed, None if the line names none.
        metrics: by canonical name (`metric_names`); percentages as shares.
        arguments: the program's arguments, for kind `args` only.
        is_provisional: a progress bar printed it, and may print it again with other numbers.
    """

    line: int
    kind: RecordKind
    pattern: str
    epoch: float | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    is_provisional: bool = False


@dataclass(frozen=True)
class LogIssue:
    """Something wrong with the input: `line` is the line's number, `text` describes it."""

    line: int
    kind: LogIssueKind
    text: str


LogItem = LogRecord | LogIssue


@dataclass
class _Context:
    """What earlier lines said: the last epoch that had metrics, and the last one named.

    `decimals` has for each metric how many decimals it is printed with, and how often so far.
    """

    epoch: float | None = None
    epoch_metrics: set[str] = field(default_factory=set)
    last_named_epoch: float | None = None
    decimals: dict[str, tuple[int, int]] = field(default_factory=dict)


class LogReader:
    """Reads a program's output as it comes.

    Args:
        patterns: the user's own patterns, tried before the built-in ones.
        names: metrics to look for besides the known ones, such as the sweep's objective.
    """

    def __init__(self, patterns: Sequence[CustomPattern] = (), names: Iterable[str] = ()) -> None:
        self._patterns = list(patterns)
        self._names = frozenset(canonical_name(name) for name in names)
        self._lines = LineSplitter()
        self._context = _Context()

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """Yield what the lines say that these bytes complete.

        Memory stays bounded however long a line is. Consume the iterator before the next call.
        """
        for number, line, issues in self._lines.feed(chunk):
            yield from self._read(number, line, issues)

    def finish(self) -> Iterator[LogItem]:
        """Yield what an unterminated last line says, and that it may have been cut."""
        for number, line, issues in self._lines.finish():
            items = list(self._read(number, line, issues))
            yield from items
            if any(isinstance(item, LogRecord) for item in items):
                yield LogIssue(number, "cut_line", f"the last line has no end: {_quoted(line)}")

    def _read(self, number: int, line: str, issues: Sequence[LogIssueKind]) -> Iterator[LogItem]:
        for kind in issues:
            yield LogIssue(number, kind, _quoted(line))
        parsed, slow = parse_line(line, self._patterns, self._names)
        if parsed is not None:
            yield from self._items(number, parsed, line)
        for pattern in slow:
            self._patterns.remove(pattern)
            text = f"{pattern.text!r} took too long on this line and is not used any more"
            yield LogIssue(number, "slow_pattern", text)

    def _items(self, number: int, parsed: ParsedLine, line: str) -> Iterator[LogItem]:
        if parsed.epoch is not None:
            self._context.last_named_epoch = parsed.epoch
        for name in parsed.truncated:
            yield LogIssue(number, "cut_number", f"{name} ends in a point: {_quoted(line)}")
        if not parsed.metrics and not parsed.arguments:
            return
        epoch = parsed.epoch
        if epoch is None and parsed.step is None and parsed.inherits_epoch:
            epoch = self._inherited_epoch(parsed)
        kind = _kind(parsed, epoch)
        if kind == "epoch" and epoch is not None and not parsed.is_provisional:
            yield from self._check_epoch(number, epoch, parsed.metrics, line)
        yield from self._check_decimals(number, parsed, line)
        yield LogRecord(
            number,
            kind,
            parsed.pattern,
            epoch,
            parsed.step,
            parsed.metrics,
            parsed.arguments,
            parsed.is_provisional,
        )

    def _inherited_epoch(self, parsed: ParsedLine) -> float | None:
        """Return the epoch that a line without one belongs to, None if it closes the whole run."""
        context = self._context
        same_epoch = context.epoch == context.last_named_epoch
        seen_metrics = context.epoch_metrics if same_epoch else set()
        is_repeated = bool(seen_metrics & parsed.metrics.keys()) and not parsed.is_provisional
        has_test = any(name.startswith("test_") for name in parsed.metrics)
        return None if is_repeated or has_test else context.last_named_epoch

    def _check_epoch(
        self, number: int, epoch: float, metrics: Mapping[str, float], line: str
    ) -> Iterator[LogIssue]:
        context = self._context
        if context.epoch is not None and epoch < context.epoch:
            text = f"epoch {epoch:g} comes after epoch {context.epoch:g}: {_quoted(line)}"
            yield LogIssue(number, "doubled_epoch", text)
        elif epoch == context.epoch and context.epoch_metrics & metrics.keys():
            text = f"epoch {epoch:g} comes twice: {_quoted(line)}"
            yield LogIssue(number, "doubled_epoch", text)
        if epoch != context.epoch:
            context.epoch, context.epoch_metrics = epoch, set()
        context.epoch_metrics |= metrics.keys()

    def _check_decimals(self, number: int, parsed: ParsedLine, line: str) -> Iterator[LogIssue]:
        """Report a line's last number if it has fewer decimals than all of its name before it."""
        for name, decimals in parsed.decimals.items():
            usual, count = self._context.decimals.get(name, (decimals, 0))
            is_last = name == [*parsed.decimals][-1]
            if decimals < usual and count >= _STABLE_FORMAT_COUNT and is_last:
                text = f"{name} has {decimals} decimals where {usual} are usual: {_quoted(line)}"
                yield LogIssue(number, "cut_number", text)
                return
            # If the number of decimals varies, it is no fixed format: the name is never reported.
            new_count = count + 1 if decimals == usual else _NEVER
            if name in self._context.decimals or len(self._context.decimals) < _MAX_TRACKED_NAMES:
                self._context.decimals[name] = (usual, new_count)


def _kind(parsed: ParsedLine, epoch: float | None) -> RecordKind:
    if parsed.arguments:
        return "args"
    if (parsed.step is not None or parsed.is_within_epoch) and not parsed.closes_epoch:
        return "step"
    return "final" if epoch is None else "epoch"


def _quoted(line: str) -> str:
    line = line.strip()
    if len(line) <= _MAX_QUOTED_CHARACTERS:
        return line
    return f"{line[:_MAX_QUOTED_CHARACTERS]}..."


class LineSplitter:
    """Splits bytes into lines of text, each with its number and what is wrong with it.

    A carriage return, with which a progress bar overwrites itself, ends a line without counting it.
    """

    def __init__(self) -> None:
        self._number = 1
        self._buffer = bytearray()
        self._is_long = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, str, list[LogIssueKind]]]:
        """Yield the lines that these bytes complete."""
        start = 0
        if b"\n" not in chunk and b"\r" not in chunk:
            self._append(chunk)  # many times faster on a line of hundreds of MiB
            return
        for end in _LINE_END.finditer(chunk):
            if end.start() > start:
                self._append(chunk[start : end.start()])
            if self._buffer:
                yield self._take()
            self._number += end[0] == b"\n"
            start = end.end()
        self._append(chunk[start:])

    def finish(self) -> Iterator[tuple[int, str, list[LogIssueKind]]]:
        """Yield the last line, if it has no line end."""
        if self._buffer:
            yield self._take()

    def _append(self, piece: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._buffer)
        self._buffer += piece[:room]
        self._is_long = self._is_long or len(piece) > room

    def _take(self) -> tuple[int, str, list[LogIssueKind]]:
        issues: list[LogIssueKind] = ["long_line"] if self._is_long else []
        text, is_invalid = _decode(bytes(self._buffer), cut=self._is_long)
        if is_invalid:
            issues.append("bad_utf8")
        self._buffer.clear()
        self._is_long = False
        return self._number, text, issues


def _decode(raw: bytes, cut: bool) -> tuple[str, bool]:
    """Return the text, and whether it is invalid UTF-8. Half a character at a cut is valid."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw, final=not cut), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), True


def read_log(
    file: BinaryIO, patterns: Sequence[CustomPattern] = (), names: Iterable[str] = ()
) -> Iterator[LogItem]:
    """Read a whole log. Raises OSError."""
    reader = LogReader(patterns, names)
    while chunk := file.read(_CHUNK_BYTES):
        yield from reader.feed(chunk)
    yield from reader.finish()
