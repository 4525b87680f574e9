"""The log of one run: collects records from its start, and writes them to the study's folder.

Records come from loggers that are named after modules. They are collected in memory until the run
holds its study's lock and so knows its folder. What libraries would print on the terminal
(Python's warnings, those of Optuna and SQLAlchemy) goes to the log, too.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Self

from trytable.orchestrator.errors import UnexpectedError, UserError
from trytable.orchestrator.log.file import LogFile
from trytable.orchestrator.paths import display_path
from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound
from trytable.sweeps.config.loader import SweepError

LEVELS = ("debug", "info", "warning", "error")
"""The values of LOG_LEVEL; the default is info."""

_EXPECTED = (UserError, SweepError, StudyNotFound, DatabaseUnreadable, OSError)
"""Errors that have a message for the user."""

_PACKAGE = logging.getLogger("trytable")
_LOGGER = logging.getLogger(__name__)
_NEVER = logging.CRITICAL + 1
_CAPACITY = 10_000


def set_log_level(name: str) -> None:
    """Set what goes to the log: an entry of LEVELS, or empty for info. Raises UserError."""
    if name.lower() not in ("", *LEVELS):
        raise UserError(f"LOG_LEVEL={name!r} is not a log level. Use {', '.join(LEVELS)}.")
    _PACKAGE.setLevel((name or "info").upper())


class RunLog:
    """Collects the records of a run while its block runs.

    Args:
        warn: called once with a message for the user if the log cannot be written.

    Attributes:
        path: the log file, once there is one.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.path: Path | None = None
        self._warn = warn
        self._memory = MemoryHandler(_CAPACITY, _NEVER, flushOnClose=False)
        self._file: LogFile | None = None
        self._optuna_handlers: list[logging.Handler] | None = None

    def __enter__(self) -> Self:
        if _PACKAGE.level == logging.NOTSET:
            _PACKAGE.setLevel(logging.INFO)
        logging.getLogger().addHandler(self._memory)
        logging.captureWarnings(True)
        if "optuna" in sys.modules:
            self._capture_optuna()
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()
        logging.captureWarnings(False)
        if self._optuna_handlers is not None:
            logger = logging.getLogger("optuna")
            logger.handlers[:], logger.propagate = self._optuna_handlers, False

    def attach(self, path: Path) -> None:
        """Write what has been collected to a file, and from now on every record as it comes."""
        self.path, self._file = path, LogFile(path, self._warn)
        self._memory.setTarget(self._file)
        self._memory.flush()
        self._replace(self._memory, self._file)

    def detach(self) -> None:
        """Stop writing, and close the file."""
        self._replace(self._memory)
        if self._file is not None:
            self._replace(self._file)
            self._file.close()
            self._file = None

    def _replace(self, old: logging.Handler, *new: logging.Handler) -> None:
        root = logging.getLogger()
        root.removeHandler(old)
        for handler in new:
            root.addHandler(handler)

    def _capture_optuna(self) -> None:
        """Take Optuna's own handler, which prints on the terminal, out of the way."""
        sys.modules["optuna"].logging.get_verbosity()  # it installs that handler on first use
        logger = logging.getLogger("optuna")
        self._optuna_handlers = logger.handlers[:]
        logger.handlers.clear()
        logger.propagate = True


@contextmanager
def logged_errors(log: RunLog, attach: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Log the error that a run ends with; a cause that is not the user's fault with its traceback.

    `attach` attaches the log if it can; it is called for an error that came before the log had a
    file. Raises the error itself, or UnexpectedError for one that has no message for the user.
    """
    try:
        yield
    except _EXPECTED as error:
        _log_expected(error)
        raise
    except Exception as error:
        _LOGGER.critical("The run ended with an unexpected error.", exc_info=True)
        if log.path is None:
            attach()
        if log.path is None or not log.path.exists():
            raise
        raise UnexpectedError(
            f"An unexpected error ended the run: {summary(error)}. This is a fault of Trytable. "
            f"The traceback is in {display_path(log.path)}; please include it in a bug report. "
            "The same command continues the run."
        ) from error
    except BaseException as error:
        _LOGGER.warning("The run was ended by %s.", type(error).__name__)
        raise


@contextmanager
def logged_run(path: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Log what happens in a block whose folder is known; see RunLog and logged_errors."""
    with RunLog(warn) as log:
        log.attach(path)
        with logged_errors(log):
            yield


def _log_expected(error: Exception) -> None:
    if type(error) is UserError and error.__cause__ is None:
        # Its message may quote the user's data, and it was printed.
        _LOGGER.error("The run ended with an error of the user, which was printed.")
        return
    cause = error if isinstance(error, OSError) else error.__cause__
    _LOGGER.error("The run ended with %s: %s", type(error).__name__, error, exc_info=cause)


def summary(error: BaseException) -> str:
    """Return an exception's class and the first line of its message."""
    with suppress(Exception):
        first = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {first}".removesuffix(": ").removesuffix(".")
    return type(error).__name__
