"""Reads a log's file: what each line is, with its number. Linear in the file; nothing is run."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from trytable.orchestrator.commands.log_import.parameters import (
    Given,
    from_arguments,
    from_command,
    is_command,
)
from trytable.orchestrator.errors import UserError
from trytable.trainers.script.logs.metric_files import CsvReader
from trytable.trainers.script.logs.patterns import CustomPattern
from trytable.trainers.script.logs.reader import LineSplitter, LogIssue, LogReader, LogRecord

MAX_JSON_BYTES = 64 * 2**20
"""A larger trainer_state.json is refused: unlike logs it is read whole."""

_CHUNK_BYTES = 1 << 18
_STEADY = 3
"""So many lines of one form show how a line of that form ends."""

_NEARLY_ALL = 0.8
_MOST_FORMS = 1000
_TRUE_HEADING = re.compile(r"\s{0,3}(?:#{1,12}(?!#)|={2,80}|-{3,80}|\*{3,80})")
_EPOCH = re.compile(
    r"(?![-*]\s)[\W\d_]{0,80}(?:(?:info|debug|warning|end|of|after|finished|train|training|trainer|"
    r"eval|val|valid|validation|test|rank|root|main|[tz]|utc|[a-z_]{1,40}(?:\.[a-z_]{1,40}){1,4})"
    r"[\W\d_]{1,80}){0,6}epochs?\b\W{0,6}\d",
    re.IGNORECASE,
)
"""An epoch at the start of a line, or behind what loggers put there."""

_CLOSING = re.compile(
    r"\s{0,8}[A-Za-z][\w ./()@-]{0,60}?\s{0,4}(?:::?|=|->)\s{0,4}[-+]?\d[\d.eE+-]{0,30}%?\W{0,40}"
)
_KERAS = re.compile(r"\s{0,8}\d{1,12}/\d{1,12}\s")
_BAR = re.compile(r"\d{1,3}%\|")
_BLOCKS = re.compile(r"[\u2580-\u259f]")
_DIGITS = re.compile(r"\d{1,400}")
_LONGEST_END = 600
_LAST = re.compile(r"(\.?)(\d{0,400})\D{0,200}$")


@dataclass(frozen=True)
class Command:
    """A command line, or a line that tells a program's arguments."""

    line: int
    given: dict[str, Given]


@dataclass(frozen=True)
class Heading:
    """A heading above a part of the file; `begins`: with it something else begins.

    Rows of signs alone, and those with an epoch in them, are drawn within a run too.
    """

    line: int
    text: str
    begins: bool


@dataclass(frozen=True)
class Prose:
    """A line that says nothing that is read here."""

    line: int


@dataclass(frozen=True)
class Odd:
    """A line with something odd about it, by the kind's name; `text` says what."""

    line: int
    kind: str
    text: str


Item = Command | Heading | Prose | Odd | LogRecord


def sha256_of(path: Path) -> str:
    """The file's hash, as 64 hexadecimal digits. Raises UserError for what is no log at all."""
    if not path.exists():
        raise UserError(f"LOG={path}: there is no such file.")
    if not path.is_file():
        raise UserError(f"LOG={path} is no file. Allowed is one log, not a folder or a device.")
    with path.open("rb") as file:
        head = file.read(_CHUNK_BYTES)
        if not head.strip():
            raise UserError(f"LOG={path} is empty.")
        if b"\x00" in head:
            raise UserError(
                f"LOG={path} is a binary file (it has a zero byte). Allowed are logs of text, CSV, "
                "TSV and trainer_state.json."
            )
        found = hashlib.sha256(head)
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def read_items(path: Path, file: BinaryIO, own: Sequence[CustomPattern] = ()) -> Iterator[Item]:
    """What the lines of a file are, in order.

    The ending says the format: `.json` is HF Trainer's trainer_state.json, `.csv` and `.tsv` are
    tables of epochs, anything else is a log. Raises OSError, and UserError for JSON that is too
    large. Half a file gives less, never another number: a last line without its end counts only
    where earlier lines of the same form ended alike.
    """
    if path.suffix == ".json":
        yield from _json_items(path, file)
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv_items(file, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _LogItems(own).read(file)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str, Sequence[str], bool]]:
    """Number, text, what is odd, and whether the line has its end.

    A carriage return, with which progress bars draw anew, is told as `debris`; Windows' line ends
    are none.
    """
    splitter = LineSplitter()
    held = b""
    number = 1
    while chunk := file.read(_CHUNK_BYTES):
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        chunk = chunk[: len(chunk) - len(held)].replace(b"\r\n", b"\n")
        returns = {number + chunk.count(b"\n", 0, m.start()) for m in _few_returns(chunk)}
        number += chunk.count(b"\n")
        for line, text, odd in splitter.feed(chunk):
            yield line, text, [*odd, *(["debris"] if line in returns else [])], True
            returns.discard(line)
    for line, text, odd in splitter.feed(held):
        yield line, text, odd, True
    for line, text, odd in splitter.finish():
        yield line, text, odd, False


def _few_returns(chunk: bytes) -> Sequence["re.Match[bytes]"]:
    # One example a chunk is enough; counting from its start for each would not be linear.
    first = re.search(rb"\r", chunk)
    return [first] if first else []


class _Endings:
    """How lines of each form end, so that a last line without its end can be judged."""

    def __init__(self) -> None:
        self._forms: dict[str, Counter[str]] = {}

    def learn(self, line: str) -> None:
        form, ending = _form(line)
        if form in self._forms or len(self._forms) < _MOST_FORMS:
            counts = self._forms.setdefault(form, Counter())
            if ending in counts or len(counts) < _MOST_FORMS:
                counts[ending] += 1

    def usual(self, line: str) -> str | None:
        """How nearly all earlier lines of its form end; None where too few did alike."""
        counts = self._forms.get(_form(line)[0], Counter())
        ending, alike = max(counts.items(), key=lambda one: one[1], default=("?", 0))
        enough = alike >= _STEADY and alike >= _NEARLY_ALL * counts.total()
        return ending if enough and ending != "?" else None

    def is_whole(self, line: str) -> bool:
        return _form(line)[1] == self.usual(line)

    def odd(self, line: str) -> tuple[str, str] | None:
        """What is odd about the line's last number, with its kind."""
        usual, ending = self.usual(line), _form(line)[1]
        if usual is None or ending == usual:
            return None
        if len(ending) < len(usual) or ending == "?":
            return "cut_number", _ODD["cut_number"]
        return "long_number", _ODD["long_number"]


def _form(line: str) -> tuple[str, str]:
    """The line with its numbers' digits left out, and the shape of its last number."""
    line = line.rstrip()
    last = _LAST.search(line[-_LONGEST_END:])
    ending = f"{last[1]}{'0' * len(last[2])}" if last and last[1] else "?"
    return _DIGITS.sub("0", line), ending


class _LogItems:
    """Reads a log. Only lines that can hold results reach the log reader: not prose, not code."""

    def __init__(self, own: Sequence[CustomPattern]) -> None:
        self._own = own
        self._reader = LogReader(own)
        self._endings = _Endings()

    def read(self, file: BinaryIO) -> Iterator[Item]:
        for number, text, odd, is_ended in _lines(file):
            if text.strip() and (is_ended or self._endings.is_whole(text)):
                yield from self._line(number, text)
            elif any(char.isdigit() for char in text):
                yield Odd(number, "cut_line", _ODD["cut_line"])
            yield from (Odd(number, kind, _ODD[kind]) for kind in odd)

    def _line(self, number: int, text: str) -> Iterator[Item]:
        if is_command(text):
            yield Command(number, from_command(text, number))
        elif _may_hold_results(text) or self._own:
            found = list(self._results(number, text))
            yield from found or [_heading(number, text) or Prose(number)]
        else:
            yield _heading(number, text) or Prose(number)

    def _results(self, number: int, text: str) -> Iterator[Item]:
        records = []
        for one in self._reader.feed(text.encode("utf-8", "replace") + b"\n"):
            if isinstance(one, LogIssue):
                if one.kind == "slow_pattern" or "in a point" in one.text:
                    yield Odd(number, one.kind, one.text)
            elif one.kind == "args":
                yield Command(number, from_arguments(one.arguments, number))
            else:
                records.append(replace(one, line=number))
        yield from records
        if records:
            if odd := self._endings.odd(text):
                yield Odd(number, *odd)
            self._endings.learn(text)
        if _BAR.search(text) or _BLOCKS.search(text):
            yield Odd(number, "debris", _ODD["debris"])


_ODD = {
    "cut_line": "the last line has no end and was left out",
    "debris": "what a progress bar left behind",
    "cut_number": "the last number has fewer decimals than the others; it stands as printed",
    "long_number": "the last number has more decimals than the others; it stands as printed",
    "bad_utf8": "bytes that are no UTF-8",
    "long_line": "a line of more than 64 KiB, of which only the start was read",
}


def _heading(number: int, text: str) -> Heading | None:
    if _TRUE_HEADING.match(text) is None:
        return None
    plain = text.strip().strip("#=-*").strip()
    begins = text.lstrip().startswith("#") and any(char.isalnum() for char in plain)
    return Heading(number, plain[:200], begins and not plain.lower().startswith("epoch"))


def _may_hold_results(text: str) -> bool:
    """Whether a line is of a kind that programs print, and people do not write."""
    if text.lstrip().startswith("|") and text.rstrip().endswith("|"):
        return False  # a row of a table
    return bool(
        _EPOCH.match(text)
        or _BAR.search(text)
        or _KERAS.match(text)
        or ("{" in text and "}" in text)
        or "amespace(" in text
        or _CLOSING.fullmatch(text)
    )


def _csv_items(file: BinaryIO, delimiter: str) -> Iterator[Item]:
    reader = CsvReader(delimiter)
    for number, text, odd, is_ended in _lines(file):
        yield from (Odd(number, kind, _ODD[kind]) for kind in odd)
        if not is_ended and text.strip():
            yield Odd(number, "cut_line", _ODD["cut_line"])
            return
        for one in reader.feed(text.encode("utf-8", "replace") + b"\n"):
            if isinstance(one, LogRecord):
                yield replace(one, line=number)


def _json_items(path: Path, file: BinaryIO) -> Iterator[Item]:
    """The entries of a trainer_state.json; of one that was cut, those that are whole."""
    raw = file.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise UserError(f"LOG={path}: more than 64 MiB of JSON is no trainer_state.json.")
    text = raw.decode("utf-8", "replace")
    if "\ufffd" in text and not raw.endswith(b"}"):
        yield Odd(1, "bad_utf8", _ODD["bad_utf8"])
    yield from _json_settings(text)
    reader = LogReader()
    for line, entry in _entries(text):
        for one in reader.feed(json.dumps(entry).encode() + b"\n"):
            if isinstance(one, LogRecord):
                yield replace(one, line=line)
    if not text.rstrip().endswith("}"):
        line = text.count("\n") + 1
        yield Odd(line, "cut_line", "the JSON has no end; what is not whole was left out")


def _json_settings(text: str) -> Iterator[Command]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(whole, dict):
        return
    names = {"num_train_epochs": "epochs", "train_batch_size": "batch_size"}
    found = {
        ours: Given(ours, whole[theirs], "file", 1)
        for theirs, ours in names.items()
        if isinstance(whole.get(theirs), int) and not isinstance(whole.get(theirs), bool)
    }
    if found:
        yield Command(1, found)


def _entries(text: str) -> Iterator[tuple[int, dict[str, object]]]:
    """The whole entries of `log_history`, each with the line that it begins on."""
    begin = re.search(r'"log_history"\s*:\s*\[', text)
    if begin is None:
        return
    decoder = json.JSONDecoder()
    gap = re.compile(r"[\s,]*")
    at, line, counted = begin.end(), 1, 0
    while (found := gap.match(text, at)) and text[found.end() : found.end() + 1] == "{":
        line, counted = line + text.count("\n", counted, found.end()), found.end()
        try:
            entry, at = decoder.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            return
        yield line, entry
