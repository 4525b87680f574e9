"""Opens a study database for reading only: nothing is made, nothing is written.

LookupError
 +-- StudyNotFound        no study of that name; the message says which exist
Exception
 +-- DatabaseUnreadable   no database there, or nothing that can be read as one
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

BUSY_SECONDS = 300.0
"""How long to wait for an SQLite file that another process is writing."""


class DatabaseUnreadable(Exception):
    """The study database cannot be read; the message is one paragraph for the person."""


class StudyNotFound(LookupError):
    """The database holds no study of that name; the message names those that it holds."""

    def __init__(self, name: str, existing: tuple[str, ...]) -> None:
        held = ", ".join(repr(other) for other in existing) or "none"
        super().__init__(f"The database holds no study named {name!r}. Studies there: {held}.")
        self.existing = existing


def read_only_url(url: str) -> str:
    """SQLAlchemy's URL of the same database, opened for reading only where the URL can say so.

    Raises DatabaseUnreadable where the URL is none, or names no SQLite file that is there.
    """
    with _readable(url):
        parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    path = _sqlite_path(parsed)
    if not path.is_file():
        raise DatabaseUnreadable(
            f"There is no study database at {path}. Run a sweep first, or name the folder that "
            "holds it."
        )
    _finish_rollback(path)
    # SQLAlchemy unquotes the whole URL once, SQLite its file: part once more.
    return sa.URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    ).render_as_string(hide_password=False)


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


def existing_storage(url: str, **engine_arguments: Any) -> RDBStorage:
    """Optuna's storage over tables that are there already."""
    # NullPool: a pooled SQLite connection could keep a read open, and with it every writer out.
    arguments = {"poolclass": sa.NullPool, "json_deserializer": from_json, **engine_arguments}
    if url.startswith("sqlite"):
        arguments["connect_args"] = {"timeout": BUSY_SECONDS}
        arguments.pop("execution_options", None)
    # Optuna reads the URL as a format string.
    escaped = url.replace("{", "{{").replace("}", "}}")
    return RDBStorage(escaped, engine_kwargs=arguments, skip_table_creation=True)


def from_json(text: str) -> Any:
    """What a JSON column holds; most of what may be measured now and then never was."""
    return None if text == "null" else json.loads(text)


@contextmanager
def one_state(connection: sa.Connection) -> Iterator[None]:
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
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise DatabaseUnreadable(
            f"The database {_shown(url)} cannot be read as a study database: {cause}"
        ) from error


def _shown(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url)
