"""Opens the study database, and retries its calls if the connection to a server is cut.

A call can be made twice: the server may have carried it out before the connection was lost. So
every call that is retried here either writes the same twice as once, or first looks whether its
work is already done.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import optuna
import sqlalchemy as sa
import tenacity
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import raise_if_damaged
from trytable.orchestrator.study.locks import RenewLock, blocking_file_lock, tables_lock
from trytable.results.storage.engine import (
    BUSY_SECONDS,
    PRIVATE,
    DatabaseUnreadable,
    T,
    driver_message,
    engine_arguments,
    is_sqlite,
    optuna_url,
)
from trytable.results.storage.ledger import Ledger

RETRY_SECONDS = 300.0
"""How long to retry a call: as long as SQLite waits for a locked file."""

_LOGGER = logging.getLogger(__name__)
_LOCK_CHECK_SECONDS = 1.0
_SLOW_SECONDS = 5.0
"""A call that takes longer is logged: another process had probably locked the database."""

_MAX_PAUSE_SECONDS = 5.0


@contextmanager
def open_database(folders: Folders) -> Iterator[tuple[RDBStorage, Ledger]]:
    """Open Optuna's storage and the ledger until the block ends; create missing tables.

    Raises DatabaseDamaged.
    """
    folders.runs.mkdir(parents=True, exist_ok=True)
    if not folders.storage:
        raise_if_damaged(folders)
    ledger = Ledger(folders.url)
    with _creation_lock(folders):
        storage = open_storage(folders.url)
        ledger.create_tables()
    try:
        yield storage, ledger
    finally:
        storage.remove_session()
        storage.engine.dispose()
        ledger.close()


def _creation_lock(folders: Folders) -> AbstractContextManager[None]:
    """Keep two processes from creating the same tables at once."""
    if folders.storage:
        return tables_lock(folders.url)
    return blocking_file_lock(folders.database_lock)


def open_storage(url: str) -> RDBStorage:
    """Open Optuna's storage; create missing tables."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Not engine_arguments for a file: its NullPool opens a connection a call, which is slower.
    arguments = (
        {"connect_args": {"timeout": BUSY_SECONDS}, **PRIVATE}
        if is_sqlite(url)
        else engine_arguments(url)
    )
    return RDBStorage(optuna_url(url), engine_kwargs=arguments)


class DatabaseRetry:
    """Makes calls that use the database, and retries them while the server cannot be reached.

    SQLite itself waits for a locked file, so its errors are raised at once.

    Args:
        url: the database.
        renew: checks that this process still holds the study's lock, and that its files are still
            there: before every call to a file, at most once a second for a server, and before
            every retry, since another orchestrator may take the lock while the connection is down.
        notify: called with a message for the user when a call is retried for the first time.
        seconds: how long to retry a call; then its last error is raised.
    """

    def __init__(
        self,
        url: str,
        renew: RenewLock,
        notify: Callable[[str], None] = lambda _: None,
        seconds: float = RETRY_SECONDS,
    ) -> None:
        self.notify = notify
        self._renew = renew
        self._check_seconds = 0.0 if is_sqlite(url) else _LOCK_CHECK_SECONDS
        self._checked_at = 0.0
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: not is_sqlite(url) and is_cut_off(error)
            ),
            wait=tenacity.wait_random_exponential(0.2, _MAX_PAUSE_SECONDS),
            stop=tenacity.stop_after_delay(seconds),
            before_sleep=self._before_retry,
            reraise=True,
        )

    def __call__(self, action: Callable[[], T]) -> T:
        """Return the action's result. Raises its errors, and StudyLocked."""
        start = time.monotonic()
        retrying = self._retrying.copy()
        result: T = retrying(self._attempt, action)
        seconds, attempts = time.monotonic() - start, retrying.statistics["attempt_number"]
        if attempts > 1:
            _LOGGER.warning(
                "Database connection back after %.1f s and %d attempts", seconds, attempts
            )
        elif seconds >= _SLOW_SECONDS:
            _LOGGER.warning("A database call took %.1f s", seconds)
        return result

    def _attempt(self, action: Callable[[], T]) -> T:
        if time.monotonic() - self._checked_at >= self._check_seconds:
            self._renew()
            self._checked_at = time.monotonic()
        try:
            return action()
        except (sa.exc.SQLAlchemyError, StorageInternalError):
            # A file that was deleted or replaced makes errors of many kinds, and they have one
            # cause. A server is checked before its next call.
            if self._check_seconds == 0.0:
                self._renew()
            raise

    def _before_retry(self, state: tenacity.RetryCallState) -> None:
        self._checked_at = 0.0
        error = state.outcome and state.outcome.exception()
        if not isinstance(error, Exception):
            return
        cause = driver_message(error)
        _LOGGER.warning(
            "Lost the database connection (attempt %d): %s", state.attempt_number, cause
        )
        if state.attempt_number == 1:
            self.notify(f"Lost the database connection ({cause}). Retrying; workers keep running.")


def is_cut_off(error: BaseException) -> bool:
    """Whether the server or the connection to it failed, so that a later call may succeed."""
    cause: BaseException | None = error
    if isinstance(error, StorageInternalError | DatabaseUnreadable):
        cause = error.__cause__
        if isinstance(cause, StorageInternalError):
            cause = cause.__cause__
    if not isinstance(cause, sa.exc.DBAPIError):
        return False
    unreachable = (sa.exc.OperationalError, sa.exc.InterfaceError)
    return cause.connection_invalidated or isinstance(cause, unreachable)
