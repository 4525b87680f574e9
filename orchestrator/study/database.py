"""Asks a database again whose connection was cut: a restarted server loses nothing.

Everything that is asked so writes the same twice as once, or looks first whether it is there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
import tenacity
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import raise_if_damaged
from trytable.orchestrator.study.locks import RenewLock, blocking_file_lock, tables_lock
from trytable.orchestrator.study.study import open_storage
from trytable.results.storage.engine import DatabaseUnreadable, T, driver_message, is_sqlite
from trytable.results.storage.ledger import Ledger

RETRY_SECONDS = 300.0
"""How long a database may stay away, as long as a locked SQLite file may."""

_CHECK_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 5.0


class DatabaseRetry:
    """Calls what uses the database, and calls it again while the server is away.

    SQLite waits by itself; its errors are raised at once.

    Args:
        url: the database.
        renew: makes sure that the study's lock is still ours: at the first call in a second, and
            before every further try.
        tell: told once, in words, when the database has gone, and when it is back.
        seconds: when to give up; then the last error is raised.
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
        self._checked_at = 0.0
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_never if is_sqlite(url) else is_cut_off),
            wait=tenacity.wait_random_exponential(0.2, _LONGEST_PAUSE_SECONDS),
            stop=tenacity.stop_after_delay(seconds),
            before_sleep=self._notify_once,
            reraise=True,
        )

    def __call__(self, action: Callable[[], T]) -> T:
        """What the action gives. Raises what it raises, and StudyLocked."""
        found: T = self._retrying.copy()(self._attempt, action)
        return found

    def _attempt(self, action: Callable[[], T]) -> T:
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self._renew()
            self._checked_at = time.monotonic()
        return action()

    def _notify_once(self, state: tenacity.RetryCallState) -> None:
        self._checked_at = 0.0
        error = state.outcome and state.outcome.exception()
        if state.attempt_number == 1 and isinstance(error, Exception):
            self.notify(
                f"The database is away ({driver_message(error)}). Trying again; workers go on."
            )


def is_cut_off(error: BaseException) -> bool:
    """Whether the server or the way to it failed, so that the same call may do in a while."""
    cause: BaseException | None = error
    if isinstance(error, StorageInternalError | DatabaseUnreadable):
        cause = error.__cause__
        if isinstance(cause, StorageInternalError):
            cause = cause.__cause__
    if not isinstance(cause, sa.exc.DBAPIError):
        return False
    away = (sa.exc.OperationalError, sa.exc.InterfaceError)
    return cause.connection_invalidated or isinstance(cause, away)


def _never(_: BaseException) -> bool:
    return False


@contextmanager
def open_database(folders: Folders) -> Iterator[tuple[RDBStorage, Ledger]]:
    """Optuna's storage and the ledger, with their tables, until the block ends.

    Raises DatabaseDamaged.
    """
    folders.runs.mkdir(parents=True, exist_ok=True)
    if not folders.storage:
        raise_if_damaged(folders)
    ledger = Ledger(folders.url)
    with _alone(folders):
        storage = open_storage(folders.url)
        ledger.create_tables()
    try:
        yield storage, ledger
    finally:
        storage.remove_session()
        storage.engine.dispose()
        ledger.close()


def _alone(folders: Folders) -> AbstractContextManager[None]:
    """Two processes must not make the same tables."""
    return (
        tables_lock(folders.url) if folders.storage else blocking_file_lock(folders.database_lock)
    )
