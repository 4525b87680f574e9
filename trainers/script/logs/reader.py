"""Reads what training programs print: metrics by epoch and step, line by line.

Pure: bytes go in, frozen records come out, each with its line's number. The work is linear in the
input and the memory bounded, whatever comes. Nothing that is read is ever run. What is odd (a line
cut short, an epoch that comes twice, broken UTF-8) is named as an `Oddity` and never mended.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from trytable.trainers.script.logs.metric_names import canonical
from trytable.trainers.script.logs.patterns import OwnPattern, Parsed, parse_line

MAX_LINE_BYTES = 1 << 16
"""Of a longer line only so much is looked at."""

_CHUNK_BYTES = 1 << 16
_SHOWN = 120

Kind = Literal["epoch", "step", "final", "args"]
OddityKind = Literal[
    "doubled_epoch", "cut_line", "cut_number", "bad_utf8", "long_line", "slow_pattern"
]


@dataclass(frozen=True)
class LogRecord:
    """What one line says.

    `epoch` and `step` are as printed (epochs often count from 0); None where the line names none.
    `metrics` are by their names in one spelling (`metric_names`); accuracies printed with
    a percent sign are shares. `arguments` is filled for kind `args` alone. `final` are metrics
    without epoch and step, such as a closing `test acc :: 0.398`. What is provisional was drawn by
    a progress bar, which may draw it again with other numbers.
    """

    line: int
    kind: Kind
    pattern: str
    epoch: float | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    is_provisional: bool = False


@dataclass(frozen=True)
class Oddity:
    """Something in the input that is not as it should be; `text` says what, `line` where."""

    line: int
    kind: OddityKind
    text: str


Read = LogRecord | Oddity


@dataclass
class _Course:
    """What is needed of earlier lines: the last epoch with its metrics, digits, a heading."""

    epoch: float | None = None
    told: set[str] = field(default_factory=set)
    heading: float | None = None
    decimals: dict[str, tuple[int, int]] = field(default_factory=dict)


class LogReader:
    """Takes a program's output as it comes.

    Args:
        own: the person's own patterns, tried before the built-in ones.
        names: metrics to look for besides those whose names are known, such as the objective.
    """

    def __init__(self, own: Sequence[OwnPattern] = (), names: Iterable[str] = ()) -> None:
        self._own = list(own)
        self._names = frozenset(canonical(name) for name in names)
        self._lines = LineSplitter()
        self._course = _Course()

    def feed(self, chunk: bytes) -> Iterator[Read]:
        """Take in the next bytes; the records of the lines that they complete.

        Memory stays bounded however long a line is. Consume the iterator before the next call.
        """
        for number, line, odd in self._lines.feed(chunk):
            yield from self._read(number, line, odd)

    def finish(self) -> Iterator[Read]:
        """The records of the last line, which a program that ended well has closed."""
        for number, line, odd in self._lines.finish():
            found = list(self._read(number, line, odd))
            yield from found
            if any(isinstance(one, LogRecord) for one in found):
                yield Oddity(number, "cut_line", f"the last line has no end: {_shown(line)}")

    def _read(self, number: int, line: str, odd: Sequence[OddityKind]) -> Iterator[Read]:
        for kind in odd:
            yield Oddity(number, kind, _shown(line))
        parsed, slow = parse_line(line, self._own, self._names)
        if parsed is not None:
            yield from self._told(number, parsed, line)
        for pattern in slow:
            self._own.remove(pattern)
            text = f"{pattern.text!r} took too long on this line and is not used any more"
            yield Oddity(number, "slow_pattern", text)

    def _told(self, number: int, parsed: Parsed, line: str) -> Iterator[Read]:
        if parsed.epoch is not None:
            self._course.heading = parsed.epoch
        for name in parsed.cut:
            yield Oddity(number, "cut_number", f"{name} ends in a point: {_shown(line)}")
        if not parsed.metrics and not parsed.arguments:
            return
        epoch = parsed.epoch
        if epoch is None and parsed.step is None and parsed.within_heading:
            epoch = self._heading_for(parsed)
        kind = _kind(parsed, epoch)
        if kind == "epoch" and epoch is not None and not parsed.is_provisional:
            yield from self._odd_epoch(number, epoch, parsed.metrics, line)
        yield from self._odd_number(number, parsed, line)
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

    def _heading_for(self, parsed: Parsed) -> float | None:
        """The epoch that a line without one belongs to; None for what closes a whole run."""
        course = self._course
        told = course.told if course.epoch == course.heading else set()
        again = bool(told & parsed.metrics.keys()) and not parsed.is_provisional
        of_test = any(name.startswith("test_") for name in parsed.metrics)
        return None if again or of_test else course.heading

    def _odd_epoch(
        self, number: int, epoch: float, metrics: Mapping[str, float], line: str
    ) -> Iterator[Oddity]:
        course = self._course
        if course.epoch is not None and epoch < course.epoch:
            text = f"epoch {epoch:g} comes after epoch {course.epoch:g}: {_shown(line)}"
            yield Oddity(number, "doubled_epoch", text)
        elif epoch == course.epoch and course.told & metrics.keys():
            text = f"epoch {epoch:g} comes twice: {_shown(line)}"
            yield Oddity(number, "doubled_epoch", text)
        if epoch != course.epoch:
            course.epoch, course.told = epoch, set()
        course.told |= metrics.keys()

    def _odd_number(self, number: int, parsed: Parsed, line: str) -> Iterator[Oddity]:
        """The last number of a line with fewer decimals than every one before it."""
        for name, decimals in parsed.decimals.items():
            usual, count = self._course.decimals.get(name, (decimals, 0))
            is_last = name == [*parsed.decimals][-1]
            if decimals < usual and count >= _STEADY and is_last:
                text = f"{name} has {decimals} decimals where {usual} are usual: {_shown(line)}"
                yield Oddity(number, "cut_number", text)
                return
            # A number of decimals that changes is no format: never judged again.
            known = count + 1 if decimals == usual else -(10**9)
            if name in self._course.decimals or len(self._course.decimals) < _MOST_NAMES:
                self._course.decimals[name] = (usual, known)


_END = re.compile(rb"[\r\n]")
_STEADY = 3
"""So many equal numbers of decimals make a format."""

_MOST_NAMES = 1000


def _kind(parsed: Parsed, epoch: float | None) -> Kind:
    if parsed.arguments:
        return "args"
    if (parsed.step is not None or parsed.is_within_epoch) and not parsed.closes_epoch:
        return "step"
    return "final" if epoch is None else "epoch"


def _shown(line: str) -> str:
    line = line.strip()
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


class LineSplitter:
    """Splits bytes into lines of text, each with its number and what is odd about it.

    A carriage return, with which a progress bar begins anew, ends a line without counting it.
    """

    def __init__(self) -> None:
        self._number = 1
        self._held = bytearray()
        self._is_long = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, str, list[OddityKind]]]:
        at = 0
        if b"\n" not in chunk and b"\r" not in chunk:
            self._hold(chunk)  # many times faster, for lines without end
            return
        for end in _END.finditer(chunk):
            if end.start() > at:
                self._hold(chunk[at : end.start()])
            if self._held:
                yield self._take()
            self._number += end[0] == b"\n"
            at = end.end()
        self._hold(chunk[at:])

    def finish(self) -> Iterator[tuple[int, str, list[OddityKind]]]:
        if self._held:
            yield self._take()

    def _hold(self, piece: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._held)
        self._held += piece[:room]
        self._is_long = self._is_long or len(piece) > room

    def _take(self) -> tuple[int, str, list[OddityKind]]:
        odd: list[OddityKind] = ["long_line"] if self._is_long else []
        text, broken = _decoded(bytes(self._held), cut=self._is_long)
        if broken:
            odd.append("bad_utf8")
        self._held.clear()
        self._is_long = False
        return self._number, text, odd


def _decoded(raw: bytes, cut: bool) -> tuple[str, bool]:
    """The text, and whether bytes of it are no UTF-8; half a character at a cut is no mistake."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw, final=not cut), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), True


def read_log(
    file: BinaryIO, own: Sequence[OwnPattern] = (), names: Iterable[str] = ()
) -> Iterator[Read]:
    """Read a whole log. Raises OSError."""
    reader = LogReader(own, names)
    while chunk := file.read(_CHUNK_BYTES):
        yield from reader.feed(chunk)
    yield from reader.finish()
