"""Reads the files that a program writes its metrics to: JSON lines, CSV, TensorBoard's events."""

import csv
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from trytable.trainers.script.logs.metric_names import canonical_name, is_evaluation_metric
from trytable.trainers.script.logs.reader import LineSplitter, LogItem, LogReader, LogRecord
from trytable.trainers.script.logs.tensorboard import TensorBoardReader
from trytable.trainers.script.logs.values import parse_number

MAX_FILES = 100
"""More files than that match no pattern that was meant."""

_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 256


class Reader(Protocol):
    """Takes a file's bytes as they come."""

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """What these bytes complete."""

    def finish(self) -> Iterator[LogItem]:
        """What the end of the file completes."""


class CsvReader:
    """Takes a CSV or TSV file as it comes: a line of names, then numbers; empty cells are missing.

    The columns `epoch` and `step` place a row; all others are metrics.
    """

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter
        self._lines = LineSplitter()
        self._names: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """The rows that these bytes complete."""
        for number, line, _ in self._lines.feed(chunk):
            yield from self._row(number, line)

    def finish(self) -> Iterator[LogItem]:
        """The last row, if it has no line end."""
        for number, line, _ in self._lines.finish():
            yield from self._row(number, line)

    def _row(self, number: int, line: str) -> Iterator[LogRecord]:
        try:
            cells = next(csv.reader([line], delimiter=self._delimiter), [])
        except csv.Error:
            return
        if self._names is None:
            self._names = [canonical_name(cell) for cell in cells]
            return
        values = {
            name: value
            for name, cell in zip(self._names, cells, strict=False)
            if name and (value := parse_number(cell)) is not None
        }
        epoch, step = values.pop("epoch", None), values.pop("step", None)
        if not values:
            return
        at_end = step is None or any(is_evaluation_metric(name) for name in values)
        whole = int(step) if step is not None else None
        kind = "epoch" if at_end and (epoch is not None or whole is not None) else "step"
        if epoch is None and whole is None:
            kind = "final"
        yield LogRecord(number, kind, "csv", epoch, whole, values)  # type: ignore[arg-type] # a Kind


class FileTail:
    """Follows one file while it grows. A file that was written anew is read from its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._reader = reader_for(self.path)
        self._offset = 0
        self._head = b""

    def poll(self) -> Iterator[LogItem]:
        """What has come since the last call; nothing where the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError:
            return

    def finish(self) -> Iterator[LogItem]:
        """What has come since, and what the end completes."""
        yield from self.poll()
        yield from self._reader.finish()

    def _read(self, file: "BinaryFile") -> Iterator[LogItem]:
        head = file.read(_HEAD_BYTES)
        if not head.startswith(self._head):
            self._begin()
        self._head = head
        file.seek(self._offset)
        while chunk := file.read(_CHUNK_BYTES):
            self._offset += len(chunk)
            yield from self._reader.feed(chunk)


class BinaryFile(Protocol):
    """What FileTail needs of an open file."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


def reader_for(path: Path) -> Reader:
    """The reader that a file's name asks for; anything unknown is read as a log."""
    if "tfevents" in path.name:
        return TensorBoardReader()
    if path.suffix in (".csv", ".tsv"):
        return CsvReader("\t" if path.suffix == ".tsv" else ",")
    return LogReader()


class FileTails:
    """Follows all files that match some patterns, also those that appear later.

    Args:
        patterns: absolute paths with `*` and `**`; a folder means its event files.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._tails: dict[str, FileTail] = {}

    def poll(self) -> Iterator[LogItem]:
        """What has come since the last call."""
        self._look()
        for tail in self._tails.values():
            yield from tail.poll()

    def finish(self) -> Iterator[LogItem]:
        """What has come since, and what the ends complete."""
        self._look()
        for tail in self._tails.values():
            yield from tail.finish()

    def _look(self) -> None:
        for pattern in self._patterns:
            wanted = pattern
            if Path(pattern).is_dir():
                wanted = f"{glob.escape(pattern)}/**/*tfevents*"
            for found in sorted(glob.glob(wanted, recursive=True)):  # noqa: PTH207 - absolute
                if len(self._tails) < MAX_FILES and Path(found).is_file():
                    self._tails.setdefault(found, FileTail(Path(found)))
