"""Opens study databases, SQLite files and PostgreSQL; for reading, nothing is made or written.

LookupError
 +-- StudyNotFound        no study of that name; the message says which exist
Exception
 +-- DatabaseUnreadable   no database there, or nothing that can be read as one
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

BUSY_SECONDS = 300.0
"""How long to wait for an SQLite file that another process is writing."""

_CONNECT_SECONDS = 10
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""A connection to a host that has gone is noticed after a minute, not after two hours."""

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseUnreadable(Exception):
    """The study database cannot be read; the message is one paragraph for the person."""


class StudyNotFound(LookupError):
    """The database holds no study of that name; the message names those that it holds."""

    def __init__(self, name: str, existing: tuple[str, ...]) -> None:
        held = ", ".join(repr(other) for other in existing) or "none"
        super().__init__(f"The database holds no study named {name!r}. Studies there: {held}.")
        self.existing = existing


T = TypeVar("T")


class Caller(Protocol):
    """Makes a call that uses the database: once, or again where the server was away."""

    def __call__(self, action: Callable[[], T]) -> T:
        """What the action gives."""


def call_once(action: Callable[[], T]) -> T:
    """Make the call, and leave its errors to whoever asked."""
    return action()


def is_sqlite(url: str) -> bool:
    """Whether a URL names an SQLite file; the others are PostgreSQL's."""
    return url.startswith("sqlite")


def postgresql_url(text: str) -> str:
    """SQLAlchemy's URL of a PostgreSQL database, for the driver that Trytable comes with.

    Raises ValueError where the text is no such URL; the message does not show a password.
    """
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise ValueError("it is no URL") from None
    if url.drivername not in _SCHEMES:
        raise ValueError(f"it begins with {url.drivername}://")
    if not url.database:
        raise ValueError("it names no database")
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def redacted_url(url: str) -> str:
    """A URL as people may see it, without its password."""
    try:
        found = sa.make_url(url)
    except sa.exc.ArgumentError:
        return repr(url)
    secret = {key: "***" for key in found.query if key == "password"}
    name = found.drivername.partition("+")[0]
    shown = found.set(drivername=name).update_query_dict(secret)
    return shown.render_as_string(hide_password=True)


def engine_arguments(url: str, user: str = "trytable") -> dict[str, Any]:
    """How SQLAlchemy is to open a study database; `user` is what PostgreSQL calls us by."""
    if is_sqlite(url):
        # NullPool: a pooled connection could keep a read open, and with it every writer out.
        return {"poolclass": sa.NullPool, "connect_args": {"timeout": BUSY_SECONDS}}
    arguments = {"connect_timeout": _CONNECT_SECONDS, "application_name": user, **_KEEPALIVE}
    return {"pool_pre_ping": True, "connect_args": arguments}


def read_only_url(url: str) -> str:
    """SQLAlchemy's URL of the same database, opened for reading only where the URL can say so.

    Raises DatabaseUnreadable where the URL is none, or names no SQLite file that is there.
    """
    with _readable(url):
        parsed = sa.make_url(url)
        made = database_exists(url)
    if not is_sqlite(url):
        if not made:
            raise DatabaseUnreadable(f"{redacted_url(url)} holds no studies. Run a sweep first.")
        return url
    path = _sqlite_path(parsed)
    if not made:
        raise DatabaseUnreadable(
            f"There is no study database at {path}. Run a sweep first, or name the folder that "
            "holds it."
        )
    _finish_rollback(path)
    # SQLAlchemy unquotes the whole URL once, SQLite its file: part once more.
    return sa.URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    ).render_as_string(hide_password=False)


def database_exists(url: str) -> bool:
    """Whether there is an SQLite file, or Optuna's tables in PostgreSQL.

    Raises sqlalchemy.exc.SQLAlchemyError where PostgreSQL cannot be asked.
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
    """Optuna's storage over a database that must be there already, closed after the block.

    What the block cannot read is raised as DatabaseUnreadable, too.
    """
    with _readable(url):
        storage = read_only_storage(url)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


def read_only_storage(url: str) -> RDBStorage:
    """Optuna's storage, read-only, for as long as the caller lives (see open_read_only)."""
    with _readable(url):
        return existing_storage(read_only_url(url), execution_options={"postgresql_readonly": True})


def existing_storage(url: str, **options: Any) -> RDBStorage:
    """Optuna's storage over tables that are there already."""
    # NullPool: what cannot be opened whole leaves no connection behind.
    arguments = {**engine_arguments(url), "poolclass": sa.NullPool, **options}
    arguments["json_deserializer"] = from_json
    if is_sqlite(url):
        arguments.pop("execution_options", None)
    return RDBStorage(optuna_url(url), engine_kwargs=arguments, skip_table_creation=True)


def optuna_url(url: str) -> str:
    """A URL for Optuna, which reads it as a format string."""
    return url.replace("{", "{{").replace("}", "}}")


def from_json(text: str) -> Any:
    """What a JSON column holds; most of what may be measured now and then never was."""
    return None if text == "null" else json.loads(text)


@contextmanager
def consistent_read(connection: sa.Connection) -> Iterator[None]:
    """Have all that the block reads be of one moment, whatever is written meanwhile.

    The driver for SQLite begins a transaction at the first write only, so two reads could see two
    states; PostgreSQL's own default would let them, too.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    yield


def _finish_rollback(path: Path) -> None:
    """Have SQLite undo a commit that its process did not live to finish.

    Until then nobody can read the file read-only. A journal whose process lives is left alone.
    """
    if path.with_name(f"{path.name}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, BUSY_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _sqlite_path(url: sa.URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise DatabaseUnreadable(
            f"{url.render_as_string()} names no file; expected sqlite:/// and a path."
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
    """What the database said, in one line, behind SQLAlchemy's and Optuna's own words."""
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return next(iter(str(cause).splitlines()), type(cause).__name__)
