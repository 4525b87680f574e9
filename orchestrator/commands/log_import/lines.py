"""Reads a log file and classifies each line, in time linear in the file's size."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from trytable.orchestrator.commands.log_import.line_items import (
    CommandLine,
    Heading,
    LineIssue,
    LineItem,
    Prose,
    line_issue,
)
from trytable.orchestrator.commands.log_import.parameters import (
    from_arguments,
    from_command,
    is_command,
)
from trytable.orchestrator.commands.log_import.trainer_state import trainer_state_items
from trytable.orchestrator.errors import UserError
from trytable.spelling import setting
from trytable.trainers.script.logs.metric_files import CsvReader
from trytable.trainers.script.logs.patterns import CustomPattern
from trytable.trainers.script.logs.reader import LineSplitter, LogIssue, LogReader, LogRecord

_CHUNK_BYTES = 1 << 18
_MIN_ALIKE, _MIN_SHARE = 3, 0.8
"""How many lines of a form, and which share of them, must end alike to show how the form ends."""

_MAX_FORMS = 1000
_MAX_HEADING = 200
_HEADING = re.compile(r"\s{0,3}(?:#{1,12}(?!#)|={2,80}|-{3,80}|\*{3,80})")
_EPOCH = re.compile(
    r"(?![-*]\s)[\W\d_]{0,80}(?:(?:info|debug|warning|end|of|after|finished|train|training|trainer|"
    r"eval|val|valid|validation|test|rank|root|main|[tz]|utc|[a-z_]{1,40}(?:\.[a-z_]{1,40}){1,4})"
    r"[\W\d_]{1,80}){0,6}epochs?\b\W{0,6}\d",
    re.IGNORECASE,
)
"""An epoch at the start of a line, or after a prefix that loggers print."""

_CLOSING = re.compile(
    r"\s{0,8}[A-Za-z][\w ./()@-]{0,60}?\s{0,4}(?:::?|=|->)\s{0,4}[-+]?\d[\d.eE+-]{0,30}%?\W{0,40}"
)
_KERAS = re.compile(r"\s{0,8}\d{1,12}/\d{1,12}\s")
_BAR = re.compile(r"\d{1,3}%\|")
_BLOCKS = re.compile(r"[\u2580-\u259f]")
_DIGITS = re.compile(r"\d{1,400}")
_MAX_ENDING = 600
_LAST_NUMBER = re.compile(r"(\.?)(\d{0,400})\D{0,200}$")


def sha256_of(path: Path) -> str:
    """Return the file's hash as 64 hexadecimal digits. Raises UserError if it cannot be a log."""
    if not path.exists():
        raise UserError(f"{setting('LOG', path)}: there is no such file.")
    if not path.is_file():
        raise UserError(
            f"{setting('LOG', path)} is not a file. Use one log, not a folder or a device."
        )
    with path.open("rb") as file:
        head = file.read(_CHUNK_BYTES)
        if not head.strip():
            raise UserError(f"{setting('LOG', path)} is empty.")
        if b"\x00" in head:
            raise UserError(
                f"{setting('LOG', path)} is a binary file (it has a zero byte). Use a text log, "
                "CSV, TSV or trainer_state.json."
            )
        digest = hashlib.sha256(head)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_line_items(
    path: Path, file: BinaryIO, patterns: Sequence[CustomPattern] = ()
) -> Iterator[LineItem]:
    """Yield what each line of a file is, in order.

    The suffix gives the format: `.json` is HF Trainer's trainer_state.json, `.csv` and `.tsv` are
    tables of epochs, anything else is a log. A truncated file gives fewer numbers, never wrong
    ones: a last line without a newline counts only if earlier lines of the same form end alike.

    Raises OSError, and UserError for JSON that is too large.
    """
    if path.suffix == ".json":
        yield from trainer_state_items(path, file)
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv_items(file, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _LogClassifier(patterns).read(file)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str, Sequence[str], bool]]:
    """Yield each line's number, text and kinds of issues, and whether a newline ends it.

    A carriage return, which progress bars use to redraw a line, is the issue `debris`; Windows
    line endings are not.
    """
    splitter = LineSplitter()
    pending = b""
    number = 1
    while chunk := file.read(_CHUNK_BYTES):
        chunk = pending + chunk
        # The other half of a Windows line ending may come with the next chunk.
        pending = b"\r" if chunk.endswith(b"\r") else b""
        chunk = chunk[: len(chunk) - len(pending)].replace(b"\r\n", b"\n")
        # The first carriage return of a chunk is example enough: to count the newlines before
        # each one would not be linear.
        index = chunk.find(b"\r")
        redrawn = number + chunk.count(b"\n", 0, index) if index >= 0 else None
        number += chunk.count(b"\n")
        for line, text, kinds in splitter.feed(chunk):
            yield line, text, [*kinds, *(["debris"] if line == redrawn else [])], True
            redrawn = None if line == redrawn else redrawn
    for line, text, kinds in splitter.feed(pending):
        yield line, text, kinds, True
    for line, text, kinds in splitter.finish():
        yield line, text, kinds, False


class _LineEndings:
    """Counts how the lines of each form end, to recognize numbers that were cut off."""

    def __init__(self) -> None:
        self._forms: dict[str, Counter[str]] = {}

    def learn(self, line: str) -> None:
        form, ending = _form(line)
        if form in self._forms or len(self._forms) < _MAX_FORMS:
            counts = self._forms.setdefault(form, Counter())
            if ending in counts or len(counts) < _MAX_FORMS:
                counts[ending] += 1

    def usual(self, line: str) -> str | None:
        """Return how nearly all earlier lines of the same form end; None if too few end alike."""
        counts = self._forms.get(_form(line)[0], Counter())
        ending, count = max(counts.items(), key=lambda entry: entry[1], default=("?", 0))
        is_usual = count >= _MIN_ALIKE and count >= _MIN_SHARE * counts.total()
        return ending if is_usual and ending != "?" else None

    def is_complete(self, line: str) -> bool:
        """Return whether a line without a newline ends like the earlier ones."""
        return _form(line)[1] == self.usual(line)

    def issue(self, line: str) -> str | None:
        """Return the kind of issue with the line's last number."""
        usual, ending = self.usual(line), _form(line)[1]
        if usual is None or ending == usual:
            return None
        if len(ending) < len(usual) or ending == "?":
            return "cut_number"
        return "long_number"


def _form(line: str) -> tuple[str, str]:
    """Return the line with its numbers blanked out, and the decimals of its last number."""
    line = line.rstrip()
    match = _LAST_NUMBER.search(line[-_MAX_ENDING:])
    ending = f"{match[1]}{'0' * len(match[2])}" if match and match[1] else "?"
    return _DIGITS.sub("0", line), ending


class _LogClassifier:
    """Classifies the lines of a log.

    Only lines that may hold results reach the log reader: people write prose and code about
    results between them.
    """

    def __init__(self, patterns: Sequence[CustomPattern]) -> None:
        self._has_patterns = bool(patterns)
        self._reader = LogReader(patterns)
        self._endings = _LineEndings()

    def read(self, file: BinaryIO) -> Iterator[LineItem]:
        for number, text, kinds, is_ended in _lines(file):
            if text.strip() and (is_ended or self._endings.is_complete(text)):
                yield from self._classify(number, text)
            elif any(char.isdigit() for char in text):
                yield line_issue(number, "cut_line")
            yield from (line_issue(number, kind) for kind in kinds)

    def _classify(self, number: int, text: str) -> Iterator[LineItem]:
        if is_command(text):
            yield CommandLine(number, from_command(text, number))
        elif _may_hold_results(text) or self._has_patterns:
            items = list(self._results(number, text))
            yield from items or [_heading(number, text) or Prose(number)]
        else:
            yield _heading(number, text) or Prose(number)

    def _results(self, number: int, text: str) -> Iterator[LineItem]:
        records = []
        for item in self._reader.feed(text.encode("utf-8", "replace") + b"\n"):
            if isinstance(item, LogIssue):
                # The reader's other issues are found here and by the BlockBuilder.
                if item.kind == "slow_pattern" or "in a point" in item.text:
                    yield LineIssue(number, item.kind, item.text)
            elif item.kind == "args":
                yield CommandLine(number, from_arguments(item.arguments, number))
            else:
                records.append(replace(item, line=number))
        yield from records
        if records:
            if kind := self._endings.issue(text):
                yield line_issue(number, kind)
            self._endings.learn(text)
        if _BAR.search(text) or _BLOCKS.search(text):
            yield line_issue(number, "debris")


def _heading(number: int, text: str) -> Heading | None:
    if _HEADING.match(text) is None:
        return None
    plain = text.strip().strip("#=-*").strip()
    is_title = text.lstrip().startswith("#") and any(char.isalnum() for char in plain)
    starts_section = is_title and not plain.lower().startswith("epoch")
    return Heading(number, plain[:_MAX_HEADING], starts_section)


def _may_hold_results(text: str) -> bool:
    """Return whether a line has a form that programs print and people do not write."""
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


def _csv_items(file: BinaryIO, delimiter: str) -> Iterator[LineItem]:
    reader = CsvReader(delimiter)
    for number, text, kinds, is_ended in _lines(file):
        yield from (line_issue(number, kind) for kind in kinds)
        if not is_ended and text.strip():
            yield line_issue(number, "cut_line")
            return
        for item in reader.feed(text.encode("utf-8", "replace") + b"\n"):
            if isinstance(item, LogRecord):
                yield replace(item, line=number)
