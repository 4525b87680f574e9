"""Reads the files that a program writes its metrics to: JSON lines, CSV, TensorBoard's events."""

import csv
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from trytable.trainers.script.logs.metric_names import canonical_name, is_evaluation_metric
from trytable.trainers.script.logs.reader import (
    LineSplitter,
    LogItem,
    LogReader,
    LogRecord,
    RecordKind,
)
from trytable.trainers.script.logs.tensorboard import TensorBoardReader
from trytable.trainers.script.logs.values import parse_number

MAX_FILES = 100
"""A pattern that matches more files is a mistake; the rest is not read."""

_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 256
"""A file whose first bytes have changed was written again from its start."""


class IncrementalReader(Protocol):
    """Reads a file's bytes as they come."""

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """Yield what these bytes complete."""

    def finish(self) -> Iterator[LogItem]:
        """Yield what the end of the file completes."""


class CsvReader:
    """Reads a CSV or TSV file as it comes: a line of names, then numbers; empty cells are missing.

    The columns `epoch` and `step` place a row; all others are metrics.
    """

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter
        self._lines = LineSplitter()
        self._names: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """Yield the rows that these bytes complete."""
        for number, line, _ in self._lines.feed(chunk):
            yield from self._row(number, line)

    def finish(self) -> Iterator[LogItem]:
        """Yield the last row, if it has no line end."""
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
        metrics = {
            name: value
            for name, cell in zip(self._names, cells, strict=False)
            if name and (value := parse_number(cell)) is not None
        }
        epoch, step_number = metrics.pop("epoch", None), metrics.pop("step", None)
        if not metrics:
            return
        step = int(step_number) if step_number is not None else None
        kind: RecordKind = "step"
        if epoch is None and step is None:
            kind = "final"
        elif step is None or any(is_evaluation_metric(name) for name in metrics):
            kind = "epoch"
        yield LogRecord(number, kind, "csv", epoch, step, metrics)


class FileTail:
    """Follows one file while it grows. A file that is written again is read from its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._restart()

    def poll(self) -> Iterator[LogItem]:
        """Yield what has come since the last call, nothing if the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError:
            return

    def finish(self) -> Iterator[LogItem]:
        """Yield what has come since, and what the end of the file completes."""
        yield from self.poll()
        yield from self._reader.finish()

    def _restart(self) -> None:
        self._reader = reader_for(self.path)
        self._offset = 0
        self._head = b""

    def _read(self, file: BinaryIO) -> Iterator[LogItem]:
        head = file.read(_HEAD_BYTES)
        if not head.startswith(self._head):
            self._restart()
        self._head = head
        file.seek(self._offset)
        while chunk := file.read(_CHUNK_BYTES):
            self._offset += len(chunk)
            yield from self._reader.feed(chunk)


def reader_for(path: Path) -> IncrementalReader:
    """Return the reader for a file's name. A file of unknown kind is read as a log."""
    if "tfevents" in path.name:
        return TensorBoardReader()
    if path.suffix in (".csv", ".tsv"):
        return CsvReader("\t" if path.suffix == ".tsv" else ",")
    return LogReader()


class FileTails:
    """Follows all files that match some patterns, also those that are created later.

    Args:
        patterns: absolute paths with `*` and `**`; a folder means the event files in it.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._tails: dict[str, FileTail] = {}

    def poll(self) -> Iterator[LogItem]:
        """Yield what has come since the last call."""
        self._find_files()
        for tail in self._tails.values():
            yield from tail.poll()

    def finish(self) -> Iterator[LogItem]:
        """Yield what has come since, and what the ends of the files complete."""
        self._find_files()
        for tail in self._tails.values():
            yield from tail.finish()

    def _find_files(self) -> None:
        for pattern in self._patterns:
            is_folder = Path(pattern).is_dir()
            query = f"{glob.escape(pattern)}/**/*tfevents*" if is_folder else pattern
            for path in sorted(glob.glob(query, recursive=True)):  # noqa: PTH207 - absolute
                if len(self._tails) < MAX_FILES and Path(path).is_file():
                    self._tails.setdefault(path, FileTail(Path(path)))
