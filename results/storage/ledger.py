"""The ledger: what Optuna has no place for, in Trytable's own tables beside Optuna's.

Optuna's tables are the truth for parameters, intermediate values, states and values. The ledger
holds attempts, epochs, steps, effective parameters, findings, predictions and cost. Rows are keyed
by Trytable's own UUIDs (stored as attributes of study and trial), because Optuna gives the ids of a
deleted study to the next one. Writing a row twice has the effect of writing it once, so that a
restart may replay whatever a crash left unwritten. No session stays open between calls: an open
read would block Optuna's next commit.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from trytable.results.storage.engine import (
    Caller,
    call_once,
    consistent_read,
    engine_arguments,
    from_json,
)
from trytable.results.storage.rows import (
    AttemptRow,
    EffectiveRow,
    EpochRow,
    FindingRow,
    GoldRow,
    PredictionRow,
    Row,
    StepRow,
    StudyLedger,
    StudyRow,
    TrialRow,
)

STUDY_UID = "trytable:uid"
"""The attribute of an Optuna study or trial that holds its UUID in the ledger."""


class _Text(sa.TypeDecorator[str]):
    """Text without NUL, which PostgreSQL cannot store, so that both databases hold the same."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value and value.replace("\0", "\N{REPLACEMENT CHARACTER}")


class _JsonText(sa.TypeDecorator[Any]):
    """JSON as text: PostgreSQL's JSON refuses what Python writes for NaN, infinity and NUL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> Any:
        return value and from_json(value)


_JSON = sa.JSON().with_variant(_JsonText(), "postgresql")
_COLUMN_TYPES: dict[Any, Any] = {str: _Text, int: sa.BigInteger, float: sa.Double}
"""The column types of plain fields; every other field is JSON."""

_metadata = sa.MetaData()


def _table(name: str, kind: type[Any], keys: int) -> sa.Table:
    """The table of a row: a column for every field, the first `keys` of which are its key."""
    hints = get_type_hints(kind)
    columns = [
        sa.Column(
            field.name,
            _column_type(hints[field.name]),
            primary_key=index < keys,
            index=(kind, field.name) == (TrialRow, "study_uid"),
        )
        for index, field in enumerate(fields(kind))
    ]
    return sa.Table(f"trytable_{name}", _metadata, *columns)


def _column_type(hint: Any) -> Any:
    if isinstance(hint, UnionType):
        (hint,) = (option for option in get_args(hint) if option is not NoneType)
    return _Text if get_origin(hint) is Literal else _COLUMN_TYPES.get(hint, _JSON)


_TABLES: dict[type[Any], sa.Table] = {
    StudyRow: _table("studies", StudyRow, keys=1),
    TrialRow: _table("trials", TrialRow, keys=1),
    AttemptRow: _table("attempts", AttemptRow, keys=2),
    StepRow: _table("steps", StepRow, keys=3),
    EpochRow: _table("epochs", EpochRow, keys=3),
    EffectiveRow: _table("effective", EffectiveRow, keys=3),
    FindingRow: _table("findings", FindingRow, keys=3),
    PredictionRow: _table("predictions", PredictionRow, keys=2),
    GoldRow: _table("gold", GoldRow, keys=2),
}
_STUDY_ROWS: tuple[type[Any], ...] = (TrialRow, GoldRow)
"""Rows that name their study."""

_TRIAL_ROWS: tuple[type[Any], ...] = (
    AttemptRow,
    StepRow,
    EpochRow,
    EffectiveRow,
    FindingRow,
    PredictionRow,
)
"""Rows that name their trial."""


def primary_key(row: Row) -> tuple[Any, ...]:
    """The values that identify a row in its table."""
    return tuple(getattr(row, column.name) for column in _TABLES[type(row)].primary_key)


class Ledger:
    """Reads and writes the ledger's tables.

    Args:
        url: SQLAlchemy URL of the study database.

    `retry` makes each call to the database; a sweep sets one that repeats a call after a lost
    connection. Every method raises sqlalchemy.exc.SQLAlchemyError if the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.retry: Caller = call_once
        self._engine = sa.create_engine(url, **engine_arguments(url), json_deserializer=from_json)
        dialect = self._engine.dialect.name
        self._insert: Any = postgresql_insert if dialect == "postgresql" else sqlite_insert
        # By table, because building a statement takes as long as running it.
        self._upserts: dict[str, Any] = {}

    def create_tables(self) -> None:
        """Create missing tables, and add the columns that tables of an earlier version lack."""
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            operations = Operations(MigrationContext.configure(connection))
            for table in _metadata.sorted_tables:
                for column in table.columns:
                    if column.name not in _stored_columns(connection, table):
                        operations.add_column(table.name, sa.Column(column.name, column.type))

    def write(self, *rows: Row) -> None:
        """Write all rows in one transaction; a row replaces an older one with the same key."""
        if rows:
            self.retry(lambda: self._write(rows))

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self._engine.dispose()

    def studies(self) -> tuple[StudyRow, ...]:
        """All studies, oldest first."""
        return self.retry(self._studies)

    def read(self, study_uid: str) -> StudyLedger:
        """Read a study in one transaction. Raises KeyError if no study has this UUID."""
        return self.retry(lambda: self._read(study_uid))

    def delete(self, study_uid: str) -> None:
        """Delete a study and all its rows in one transaction."""
        with self._engine.begin() as connection:
            for kind in _TRIAL_ROWS:
                table = _TABLES[kind]
                connection.execute(sa.delete(table).where(_belongs_to(table, study_uid)))
            for kind in _STUDY_ROWS:
                table = _TABLES[kind]
                connection.execute(sa.delete(table).where(table.c.study_uid == study_uid))
            studies = _TABLES[StudyRow]
            connection.execute(sa.delete(studies).where(studies.c.uid == study_uid))

    def _write(self, rows: Iterable[Row]) -> None:
        batches: dict[type[Any], list[dict[str, Any]]] = {}
        for row in rows:
            # vars, since asdict would copy every dict and list of the row.
            batches.setdefault(type(row), []).append(vars(row))
        with self._engine.begin() as connection:
            for kind, batch in batches.items():
                connection.execute(self._upsert(_TABLES[kind]), batch)

    def _studies(self) -> tuple[StudyRow, ...]:
        with self._reading() as connection:
            rows: tuple[StudyRow, ...] = _read_rows(connection, StudyRow, sa.true())
        return tuple(sorted(rows, key=lambda row: row.created_at))

    def _read(self, study_uid: str) -> StudyLedger:
        with self._reading() as connection:
            ledger = read_ledger(connection, study_uid)
        if ledger is None:
            raise KeyError(study_uid)
        return ledger

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection, consistent_read(connection):
            yield connection

    def _upsert(self, table: sa.Table) -> Any:
        """The statement that inserts a row, or replaces the one with the same key."""
        if table.name not in self._upserts:
            statement = self._insert(table)
            self._upserts[table.name] = statement.on_conflict_do_update(
                index_elements=[column.name for column in table.primary_key],
                set_={
                    column.name: statement.excluded[column.name]
                    for column in table.columns
                    if not column.primary_key
                },
            )
        return self._upserts[table.name]


def read_ledger(connection: sa.Connection, study_uid: str | None) -> StudyLedger | None:
    """A study's ledger; None if no study has this UUID, or the study has none."""
    if study_uid is None:
        return None
    studies = _read_rows(connection, StudyRow, _TABLES[StudyRow].c.uid == study_uid)
    if not studies:
        return None
    trials, gold = (
        _read_rows(connection, kind, _TABLES[kind].c.study_uid == study_uid) for kind in _STUDY_ROWS
    )
    attempts, steps, epochs, effective, findings, predictions = (
        _read_rows(connection, kind, _belongs_to(_TABLES[kind], study_uid)) for kind in _TRIAL_ROWS
    )
    return StudyLedger(
        study=studies[0],
        trials=tuple(sorted(trials, key=lambda row: row.number)),
        attempts=attempts,
        steps=steps,
        epochs=epochs,
        effective=effective,
        findings=findings,
        predictions=predictions,
        gold=gold,
    )


def _belongs_to(table: sa.Table, study_uid: str) -> sa.ColumnElement[bool]:
    """Whether a row of a trial is one of the study's trials."""
    trials = _TABLES[TrialRow]
    uids = sa.select(trials.c.uid).where(trials.c.study_uid == study_uid)
    return table.c.trial_uid.in_(uids)


def _stored_columns(connection: sa.Connection, table: sa.Table) -> frozenset[str]:
    """Names of a table's columns in the database; empty if the table is missing."""
    try:
        return frozenset(c["name"] for c in sa.inspect(connection).get_columns(table.name))
    except sa.exc.NoSuchTableError:
        return frozenset()


def _read_rows(
    connection: sa.Connection, kind: type[Any], condition: sa.ColumnElement[bool]
) -> tuple[Any, ...]:
    table = _TABLES[kind]
    # A reader adds nothing to a database of an earlier version: only a sweep adds its columns.
    stored = _stored_columns(connection, table)
    if not stored:
        return ()
    names = [field.name for field in fields(kind)]
    columns = [table.c[name] for name in names if name in stored]
    query = sa.select(*columns).where(condition).order_by(*table.primary_key)
    values = connection.execute(query).all()  # fetching row by row takes twice as long
    if len(columns) == len(names):
        return tuple(kind(*row) for row in values)  # half the time of keyword arguments
    return tuple(
        kind(**{column.name: value for column, value in zip(columns, row, strict=True)})
        for row in values
    )
