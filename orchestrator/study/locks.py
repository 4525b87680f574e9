"""PostgreSQL's advisory lock on a study: the server releases it with the connection.

A connection can be cut while its process lives. The lock is then taken again before anything more
is written; where another orchestrator was faster, this one stops. The server may take a while to
notice that the old connection is gone, so a holder that is our own former self is ended.
"""

import fcntl
import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import sqlalchemy as sa

from trytable.orchestrator.errors import StudyLocked
from trytable.orchestrator.paths import Folders
from trytable.results.storage.engine import engine_arguments

_TABLES = "all tables"
_HOST_LENGTH = 30
"""PostgreSQL cuts the name of an application after 63 bytes."""

_TAKE = sa.text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = sa.text(
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
)
_END = sa.text("SELECT pg_terminate_backend(:pid, 5000)")
# The server's own probes find out that a host has gone with its lock; its default is two hours.
_PROBES = sa.text(
    "SELECT set_config('tcp_keepalives_idle', '30', false), "
    "set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)


@contextmanager
def server_lock(folders: Folders) -> Iterator[Callable[[], None]]:
    """Hold the advisory lock of a study while the block runs; gives what makes sure of it.

    Raises StudyLocked where another process holds it, now or later.
    """
    lock = _ServerLock(folders)
    try:
        lock.renew()
        yield lock.renew
    finally:
        lock.close()


@contextmanager
def tables_lock(url: str) -> Iterator[None]:
    """Hold a lock for a short while, after waiting: two processes must not make the same tables."""
    engine = sa.create_engine(url, **engine_arguments(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": lock_key(_TABLES)})
            yield
    finally:
        engine.dispose()


def lock_key(study: str) -> int:
    """The number of a study's lock; PostgreSQL's are numbers of 63 bits, here, and no names."""
    digest = hashlib.sha256(f"trytable {study}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class _ServerLock:
    def __init__(self, folders: Folders) -> None:
        self._study = folders.study
        self._where = folders.database_label
        self._key = {"key": lock_key(f"study {folders.study}")}
        host = platform.node()[:_HOST_LENGTH]
        self._name = f"trytable {os.getpid()} on {host} {uuid.uuid4().hex[:8]}"
        self._engine = sa.create_engine(
            folders.url,
            **engine_arguments(folders.url, self._name) | {"pool_pre_ping": False},
            isolation_level="AUTOCOMMIT",
        )
        self._connection: sa.Connection | None = None

    def renew(self) -> None:
        """Look whether the connection lives, and with it the lock; else take it again."""
        if self._connection is not None:
            with suppress(sa.exc.DBAPIError):
                self._connection.execute(sa.text("SELECT 1"))
                return
            self._drop()
        connection = self._engine.connect()
        try:
            connection.execute(_PROBES)
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
            connection.execute(_END, {"pid": holder.pid})
            holder = None
        if holder is None and connection.execute(_TAKE, self._key).scalar():
            return
        raise StudyLocked(self._message(holder.application_name if holder else ""))

    def _message(self, holder: str) -> str:
        _, _, told = holder.partition("trytable ")
        who = f"process {told.rpartition(' ')[0]}" if told else holder or "another process"
        return (
            f"{who} is running the sweep {self._study!r} already (it holds the study's lock in "
            f"{self._where}). One orchestrator owns a study; wait until it ends, or stop it with "
            "Ctrl-C where it runs."
        )


RenewLock = Callable[[], None]
"""Makes sure that the lock is still ours. Raises StudyLocked where it is another's."""


@contextmanager
def blocking_file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file for a short while, after waiting for whoever holds it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def study_lock(folders: Folders) -> Iterator[RenewLock]:
    """Hold the study's lock while the block runs: in PostgreSQL the server's, and its folder's.

    Raises StudyLocked where another process holds either.
    """
    server = server_lock(folders) if folders.storage else nullcontext(lambda: None)
    with server as renew, file_lock(folders.lock):
        yield renew


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file while the block runs.

    Process id and host stand in the file only for the message that a second orchestrator gets.
    Raises StudyLocked where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StudyLocked(_message(path, file.read())) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "at": time.time()}))
        file.flush()
        yield


def _message(path: Path, owner: str) -> str:
    try:
        found = json.loads(owner)
        who = f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{who} is running this sweep already (it holds {path}). One orchestrator owns a study; "
        "wait until it ends, or stop it with Ctrl-C where it runs."
    )
