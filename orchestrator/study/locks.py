"""Locks that make one process the owner of a study.

Only one orchestrator may ask for a study's trials: eight processes that shared an SQLite study ran
10 to 20 of 60 trials twice. Optuna's heartbeat is no help, since it does not work with ask and
tell. So the owner holds locks that the kernel (`flock` on a file in the study's folder, and on one
beside the SQLite file) or the PostgreSQL server (an advisory lock) releases when the process ends,
however it ends. The process id and the host in a lock only serve the message that a second one
gets.

A lock in the study's folder alone is not enough: once somebody deletes the folder, a second
orchestrator makes a new one with a new lock. So the study's UUID names another file, beside the
database and never deleted, and the owner stops as soon as its folder or its database is no longer
the one that it opened.

A connection to PostgreSQL can be cut while its process lives on. Then the lock is taken again
before anything more is written; if another orchestrator was faster, this one stops. The server may
take a while to notice that the old connection is gone, so a holder that is this very process is
terminated.
"""

import fcntl
import hashlib
import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import sqlalchemy as sa

from trytable.orchestrator.errors import StudyDeleted, StudyLocked
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.storage.engine import engine_arguments

RenewLock = Callable[[], None]
"""Checks that the lock is still held, else takes it again. Raises StudyLocked if it is taken."""

_LOGGER = logging.getLogger(__name__)
_LOGGED_WAIT_SECONDS = 0.1
_TABLES = "all tables"
_MAX_HOST_LENGTH = 30
"""PostgreSQL cuts the name of an application after 63 bytes."""

_TAKE = sa.text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = sa.text(
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
)
_TERMINATE = sa.text("SELECT pg_terminate_backend(:pid, 5000)")
# The server probes the connection, or a host that is gone would keep its lock for two hours.
_KEEPALIVE = sa.text(
    "SELECT set_config('tcp_keepalives_idle', '30', false), "
    "set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)


@contextmanager
def study_lock(folders: Folders) -> Iterator[RenewLock]:
    """Hold a study's lock until the block ends: its folder's, and PostgreSQL's if it is used.

    Raises StudyLocked if another process holds either. The yielded function may raise it later,
    and StudyDeleted once the folder or the SQLite file is no longer the one that was opened.
    """
    server = server_lock(folders) if folders.storage else nullcontext(lambda: None)
    with server as renew_server, file_lock(folders.lock):
        paths = [folders.lock] if folders.storage else [folders.lock, folders.database]
        files = [(path, _identity(path)) for path in paths if path.exists()]

        def renew() -> None:
            for path, identity in files:
                if _identity(path) != identity:
                    raise StudyDeleted(_deleted_message(folders, path))
            renew_server()

        try:
            yield renew
        finally:
            files.clear()  # what happens to them now is no concern of this owner


def identity_lock(folders: Folders, uid: str) -> AbstractContextManager[None]:
    """Hold the lock that a study's UUID names, beside the SQLite file, until the block ends.

    Raises StudyLocked if another process holds it. PostgreSQL's own lock does not depend on files.
    """
    return nullcontext() if folders.storage else file_lock(folders.identity_lock(uid))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one that takes its place."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _deleted_message(folders: Folders, path: Path) -> str:
    if path == folders.database:
        return (
            f"The study database {path} was deleted or replaced while this sweep ran, so the sweep "
            f"has stopped. What the workers reported is kept in {display_path(folders.trials)}. "
            "Put the file back (trytable backup makes copies) and run the same command again; "
            "without the file, the command starts a new study."
        )
    return (
        f"The folder {folders.home} was deleted or replaced while its sweep ran, so the sweep has "
        f"stopped. What was recorded until then is in {folders.database_label}; the same command "
        "goes on from there, and trains trials without a checkpoint from their start."
    )


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file until the block ends. Raises StudyLocked if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StudyLocked(_message(_file_owner(file.read()), "this sweep", str(path))) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "at": time.time()}))
        file.flush()
        yield


@contextmanager
def blocking_file_lock(path: Path) -> Iterator[None]:
    """Wait for a lock file and hold it until the block ends."""
    with path.open("a") as file:
        with _logged_wait(str(path)):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def server_lock(folders: Folders) -> Iterator[RenewLock]:
    """Hold a study's advisory lock in PostgreSQL until the block ends.

    Raises StudyLocked if another process holds it; the yielded function may raise it later.
    """
    lock = _ServerLock(folders)
    try:
        lock.renew()
        yield lock.renew
    finally:
        lock.close()


@contextmanager
def tables_lock(url: str) -> Iterator[None]:
    """Wait for PostgreSQL's lock on creating tables and hold it until the block ends."""
    engine = sa.create_engine(url, **engine_arguments(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            with _logged_wait("PostgreSQL's lock on creating tables"):
                key = {"key": lock_key(_TABLES)}
                connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)
            yield
    finally:
        engine.dispose()


@contextmanager
def _logged_wait(lock: str) -> Iterator[None]:
    """Log how long the block waited for a lock, if it had to."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds >= _LOGGED_WAIT_SECONDS:
        _LOGGER.warning("Waited %.1f s for %s", seconds, lock)


def lock_key(name: str) -> int:
    """Return the key of a lock: PostgreSQL has numbers instead of names; ours have 63 bits."""
    digest = hashlib.sha256(f"trytable {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class _ServerLock:
    """The advisory lock of a study, and the connection that holds it."""

    def __init__(self, folders: Folders) -> None:
        self._study = folders.study
        self._database_label = folders.database_label
        self._key = {"key": lock_key(f"study {folders.study}")}
        host = platform.node()[:_MAX_HOST_LENGTH]
        self._name = f"trytable {os.getpid()} on {host} {uuid.uuid4().hex[:8]}"
        self._engine = sa.create_engine(
            folders.url,
            **engine_arguments(folders.url, self._name) | {"pool_pre_ping": False},
            isolation_level="AUTOCOMMIT",
        )
        self._connection: sa.Connection | None = None

    def renew(self) -> None:
        """Check that the connection, and with it the lock, is alive; else take the lock again."""
        if self._connection is not None:
            with suppress(sa.exc.DBAPIError):
                self._connection.execute(sa.text("SELECT 1"))
                return
            _LOGGER.warning("Lost the connection that holds the study's lock; taking it again")
            self._drop()
        connection = self._engine.connect()
        try:
            connection.execute(_KEEPALIVE)
            self._take(connection)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            self._drop()
        self._engine.dispose()

    def _drop(self) -> None:
        assert self._connection is not None
        self._connection.invalidate()
        self._connection.close()
        self._connection = None

    def _take(self, connection: sa.Connection) -> None:
        if connection.execute(_TAKE, self._key).scalar():
            return
        holder = connection.execute(_HOLDER, self._key).first()
        if holder is not None and holder.application_name == self._name:
            connection.execute(_TERMINATE, {"pid": holder.pid})
            holder = None
        if holder is None and connection.execute(_TAKE, self._key).scalar():
            return
        owner = _server_owner(holder.application_name if holder else "")
        lock = f"the study's lock in {self._database_label}"
        raise StudyLocked(_message(owner, f"the sweep {self._study!r}", lock))


def _file_owner(content: str) -> str:
    """Return the process that a lock file names."""
    try:
        record = json.loads(content)
        return f"process {record['pid']} on {record['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _server_owner(application: str) -> str:
    """Return the process that a connection's application name names."""
    _, _, process = application.partition("trytable ")
    if process:
        return f"process {process.rpartition(' ')[0]}"
    return application or "another process"


def _message(owner: str, sweep: str, lock: str) -> str:
    return (
        f"{owner} is already running {sweep} (it holds {lock}). Only one orchestrator may run a "
        "study: wait until it exits, or stop it with Ctrl-C."
    )
