"""Opens study databases, SQLite files or PostgreSQL; opening one for reading writes nothing.

Refused
 +-- StudyNotFound        no study has that name; the message lists the existing ones
 +-- DatabaseUnreadable   there is no database, or it cannot be read as a study database
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from trytable.records import Refused

BUSY_SECONDS = 300.0
"""How long to wait for an SQLite file while another process writes it."""

PRIVATE = {"hide_parameters": True}
"""Keeps predictions and labels out of SQLAlchemy's error messages, and so out of logs."""

_CONNECT_SECONDS = 10
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""Detect a dead host after a minute; the kernel's defaults take two hours."""

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseUnreadable(Refused):
    """The study database cannot be read; the message is one paragraph for the user."""


class StudyNotFound(Refused, LookupError):
    """The database has no study of that name; the message lists those that it has."""

    def __init__(self, name: str, existing: tuple[str, ...]) -> None:
        names = ", ".join(repr(other) for other in existing) or "none"
        super().__init__(f"The database has no study named {name!r}. Existing studies: {names}.")
        self.existing = existing


T = TypeVar("T")


class Caller(Protocol):
    """Makes a call to the database: once, or again after a lost connection."""

    def __call__(self, action: Callable[[], T]) -> T:
        """Call the action and return its result."""


def call_once(action: Callable[[], T]) -> T:
    """Call the action once; its errors propagate."""
    return action()


def is_sqlite(url: str) -> bool:
    """Whether a URL names an SQLite file; every other URL is PostgreSQL's."""
    return url.startswith("sqlite")


def postgresql_url(text: str) -> str:
    """The SQLAlchemy URL of a PostgreSQL database, for the driver that Trytable installs.

    Raises ValueError if the text is not such a URL; the message contains no password.
    """
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise ValueError("it is not a URL") from None
    if url.drivername not in _SCHEMES:
        raise ValueError(f"it begins with {url.drivername}://")
    if not url.database:
        raise ValueError("it names no database")
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def redacted_url(url: str) -> str:
    """A URL without its password, for messages."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        return repr(url)
    secret = {key: "***" for key in parsed.query if key == "password"}
    name = parsed.drivername.partition("+")[0]
    redacted = parsed.set(drivername=name).update_query_dict(secret)
    return redacted.render_as_string(hide_password=True)


def engine_arguments(url: str, user: str = "trytable") -> dict[str, Any]:
    """SQLAlchemy's engine arguments for a study database; `user` is PostgreSQL's client name."""
    if is_sqlite(url):
        # NullPool, because a pooled connection could keep a read open and block every writer.
        arguments = {"poolclass": sa.NullPool, "connect_args": {"timeout": BUSY_SECONDS}}
        return arguments | PRIVATE
    arguments = {"connect_timeout": _CONNECT_SECONDS, "application_name": user, **_KEEPALIVE}
    return {"pool_pre_ping": True, "connect_args": arguments, **PRIVATE}


def read_only_url(url: str) -> str:
    """The SQLAlchemy URL of the same database; for SQLite it opens the file read-only.

    Raises DatabaseUnreadable if the URL is invalid, or no study database exists there.
    """
    with _readable(url):
        parsed = sa.make_url(url)
        exists = database_exists(url)
    if not is_sqlite(url):
        if not exists:
            raise DatabaseUnreadable(f"{redacted_url(url)} has no studies. Run a sweep first.")
        return url
    path = _sqlite_path(parsed)
    if not exists:
        raise DatabaseUnreadable(
            f"There is no study database at {path}. Run a sweep first, or name the folder that "
            "contains one."
        )
    _finish_rollback(path)
    # The path is unquoted twice: by SQLAlchemy with the whole URL, then by SQLite.
    return sa.URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    ).render_as_string(hide_password=False)


def database_exists(url: str) -> bool:
    """Whether the SQLite file exists, or PostgreSQL has Optuna's tables.

    Raises sqlalchemy.exc.SQLAlchemyError if PostgreSQL cannot be reached.
    """
    if is_sqlite(url):
        return _sqlite_path(sa.make_url(url)).is_file()
    engine = sa.create_engine(url, **engine_arguments(url))
    try:
        return sa.inspect(engine).has_table("studies")
    finally:
        engine.dispose()


@contextmanager
def open_read_only(url: str) -> Iterator[RDBStorage]:
    """Optuna's storage over an existing database, closed after the block.

    Raises DatabaseUnreadable if the database cannot be opened, or the block cannot read it.
    """
    with _readable(url):
        storage = read_only_storage(url)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


def read_only_storage(url: str) -> RDBStorage:
    """Optuna's storage, read-only, which the caller closes (see open_read_only)."""
    with _readable(url):
        return existing_storage(read_only_url(url), execution_options={"postgresql_readonly": True})


def existing_storage(url: str, **options: Any) -> RDBStorage:
    """Optuna's storage over existing tables."""
    # NullPool, so that a storage that fails to open leaves no connection behind.
    arguments = {**engine_arguments(url), "poolclass": sa.NullPool, **options}
    arguments["json_deserializer"] = from_json
    if is_sqlite(url):
        arguments.pop("execution_options", None)
    return RDBStorage(optuna_url(url), engine_kwargs=arguments, skip_table_creation=True)


def optuna_url(url: str) -> str:
    """A URL with its braces doubled: Optuna reads it as a format string."""
    return url.replace("{", "{{").replace("}", "}}")


def from_json(text: str) -> Any:
    """The value of a JSON column."""
    # Most optional columns hold null, and this test is faster than the parser.
    return None if text == "null" else json.loads(text)


def study_names(storage: RDBStorage) -> tuple[str, ...]:
    """Names of all studies, oldest first."""
    studies = sorted(storage.get_all_studies(), key=lambda study: study._study_id)
    return tuple(study.study_name for study in studies)


def study_id_of(storage: RDBStorage, name: str) -> int:
    """Optuna's id of a study. Raises StudyNotFound."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        raise StudyNotFound(name, study_names(storage)) from None


@contextmanager
def consistent_read(connection: sa.Connection) -> Iterator[None]:
    """Make all reads of the block see one state, whatever is written meanwhile.

    SQLite's driver begins a transaction only at the first write, so two reads could see two states;
    so could they at PostgreSQL's default isolation level.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    yield


def _finish_rollback(path: Path) -> None:
    """Let SQLite roll back a commit that a killed process left unfinished.

    Until then the file cannot be opened read-only. SQLite keeps the journal of a living process.
    """
    if path.with_name(f"{path.name}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, BUSY_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _sqlite_path(url: sa.URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise DatabaseUnreadable(
            f"{url.render_as_string()} does not name a file; expected sqlite:/// and a path."
        )
    return Path(url.database).absolute()


@contextmanager
def _readable(url: str) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
        raise DatabaseUnreadable(
            f"The database {redacted_url(url)} cannot be read as a study database: "
            f"{driver_message(error)}"
        ) from error


def driver_message(error: Exception) -> str:
    """The first line of the driver's own message, without SQLAlchemy's or Optuna's wrapping."""
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return next(iter(str(cause).splitlines()), type(cause).__name__)
