"""The log file: limited in size, shared by processes, and never a reason for a run to fail."""

import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from trytable.orchestrator.log.lines import LineFormatter

MAX_BYTES = 2 * 2**20
"""The size at which a log is renamed to orchestrator.log.1 and a new one is started."""

OLD_FILES = 4
"""How many renamed logs are kept."""


class LogFile(RotatingFileHandler):
    """Appends records to a file.

    A rerun may write to the log of a study whose sweep is running. So each record is one write to
    a file that is open for appending, and only a process that locks the file renames it.

    Args:
        path: the file.
        on_failure: called with a message for the user at the first record that cannot be written.
    """

    stream: Any  # bytes, unbuffered: a buffer would keep what a full disk refused

    def __init__(self, path: Path, on_failure: Callable[[str], None]) -> None:
        # Only here: a study's folder that is deleted while its sweep runs must not come back.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=OLD_FILES, delay=True)
        self.setFormatter(LineFormatter())
        self._on_failure = on_failure
        self._has_failed = False
        self._is_torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. The first error is reported, and none ends a run."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            file = self._current_file(len(line))
            # After a write that a full disk cut short, the next record needs a line of its own.
            content = b"\n" + line if self._is_torn else line
            self._is_torn = True
            self._is_torn = file.write(content) != len(content)
        except Exception as error:
            self._report(error)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            super().close()

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        """Rename the file, unless another process has just done so, and open the new one."""
        # A duplicate, since the stream is closed before the file is renamed.
        lock = os.dup(self.stream.fileno())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_current():
                super().doRollover()
            self._reopen()
        finally:
            os.close(lock)

    def _open(self) -> Any:
        return FileIO(self.baseFilename, "ab")

    def _current_file(self, size: int) -> FileIO:
        if self.stream is None or not self._is_current():
            self._reopen()
        if 0 < os.fstat(self.stream.fileno()).st_size > self.maxBytes - size:
            self.doRollover()
        file: FileIO = self.stream
        return file

    def _reopen(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        self.stream = self._open()

    def _is_current(self) -> bool:
        """Whether the open file is still the one at the path, and not renamed or deleted."""
        try:
            path_status = os.stat(self.baseFilename)  # noqa: PTH116 - a Path would be made per record
        except FileNotFoundError:
            return False
        open_status = os.fstat(self.stream.fileno())
        return os.path.samestat(path_status, open_status)

    def _report(self, error: Exception) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        cause = error.strerror if isinstance(error, OSError) else error
        with suppress(Exception):
            self._on_failure(
                f"The log {self.baseFilename} cannot be written ({cause}). The run continues; what "
                "happens meanwhile is missing in the log."
            )
