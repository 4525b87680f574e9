"""The ledger: what Optuna has no place for, in tables of our own beside Optuna's.

Optuna's tables stay the truth for parameters, intermediate values, states and values. Here stand
attempts, epochs, steps, effective parameters, findings, predictions and cost. Rows are frozen
records keyed by UUIDs of ours (kept as attributes of study and trial), because a deleted study's
ids are used again. Writing a row twice is the same as writing it once, so whatever a crash left
unsaid can be said again. No session stays open between calls: an open read would make Optuna's
next commit wait.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

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
"""Attribute of an Optuna study and of an Optuna trial that holds our UUID."""

_metadata = sa.MetaData()


class _Text(sa.TypeDecorator[str]):
    """Text without NUL, which PostgreSQL cannot keep, so that both databases keep the same."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value and value.replace("\0", "\N{REPLACEMENT CHARACTER}")


class _JsonText(sa.TypeDecorator[Any]):
    """JSON as text: what Python writes for NaN, infinity and NUL is no JSON to PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> Any:
        return value and from_json(value)


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(f"trytable_{name}", _metadata, *columns)


_TEXT, _FLOAT, _INTEGER = _Text, sa.Double, sa.BigInteger
_JSON = sa.JSON().with_variant(_JsonText(), "postgresql")


def _key(name: str, type_: Any = None) -> sa.Column[Any]:
    return sa.Column(name, type_ or _TEXT, primary_key=True)


def _columns(type_: Any, *names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(name, type_) for name in names)


_TABLES: dict[type[Any], sa.Table] = {
    StudyRow: _table(
        "studies",
        _key("uid"),
        *_columns(_TEXT, "name"),
        *_columns(_JSON, "sweep", "facts"),
        *_columns(_FLOAT, "created_at"),
    ),
    TrialRow: _table(
        "trials",
        _key("uid"),
        sa.Column("study_uid", _TEXT, index=True),
        *_columns(_INTEGER, "number", "failures", "best_epoch", "seed"),
        *_columns(_JSON, "requested", "origin"),
        *_columns(_TEXT, "source", "status", "reason"),
        *_columns(_FLOAT, "best_value", "best_dev_accuracy", "test_accuracy"),
    ),
    AttemptRow: _table(
        "attempts",
        _key("trial_uid"),
        _key("attempt", _INTEGER),
        *_columns(_TEXT, "slot", "device", "outcome", "message", "precision"),
        *_columns(_TEXT, "data_hash", "code_hash"),
        *_columns(_INTEGER, "threads", "pid", "parameters", "trainable_parameters"),
        *_columns(_INTEGER, "steps_total", "resumed_from_step"),
        *_columns(_FLOAT, "started_at", "ended_at"),
    ),
    StepRow: _table(
        "steps",
        _key("trial_uid"),
        _key("attempt", _INTEGER),
        _key("step", _INTEGER),
        *_columns(_INTEGER, "epoch"),
        *_columns(_FLOAT, "loss", "lr", "gradient_norm", "weight_norm", "running_accuracy"),
        *_columns(_JSON, "layer_gradients", "layer_weights"),
    ),
    EpochRow: _table(
        "epochs",
        _key("trial_uid"),
        _key("attempt", _INTEGER),
        _key("epoch", _INTEGER),
        *_columns(_INTEGER, "step"),
        *_columns(_FLOAT, "train_loss", "running_accuracy", "probe_accuracy"),
        *_columns(_FLOAT, "dev_loss", "dev_accuracy", "dev_macro_f1", "seconds"),
        *_columns(_FLOAT, "value"),
        *_columns(_JSON, "metrics"),
    ),
    EffectiveRow: _table(
        "effective",
        _key("trial_uid"),
        _key("attempt", _INTEGER),
        _key("name"),
        *_columns(_JSON, "value"),
    ),
    FindingRow: _table(
        "findings",
        _key("trial_uid"),
        _key("attempt", _INTEGER),
        _key("kind"),
        *_columns(_TEXT, "severity", "message"),
        *_columns(_JSON, "evidence"),
    ),
    PredictionRow: _table(
        "predictions", _key("trial_uid"), _key("split"), *_columns(_JSON, "labels")
    ),
    GoldRow: _table("gold", _key("study_uid"), _key("split"), *_columns(_JSON, "labels")),
}


class Ledger:
    """Reads and writes the ledger's tables.

    Args:
        url: SQLAlchemy's URL of the study database.

    `patience` makes the calls of a running sweep. Every method raises
    sqlalchemy.exc.SQLAlchemyError where the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.retry: Caller = call_once
        self._engine = sa.create_engine(url, **engine_arguments(url), json_deserializer=from_json)
        dialect = self._engine.dialect.name
        self._insert: Any = postgresql_insert if dialect == "postgresql" else sqlite_insert
        self._upserts: dict[str, Any] = {}  # by table: to make one takes as long as to run it

    def create_tables(self) -> None:
        """Make the tables, and the columns of older ones, that are not there yet."""
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            operations = Operations(MigrationContext.configure(connection))
            for table in _metadata.sorted_tables:
                for column in table.columns:
                    if column.name not in _present(connection, table):
                        operations.add_column(table.name, sa.Column(column.name, column.type))

    def write(self, *rows: Row) -> None:
        """Write all rows in one transaction; a row with the same key replaces the old one."""
        if rows:
            self.retry(lambda: self._write(rows))

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self._engine.dispose()

    def studies(self) -> tuple[StudyRow, ...]:
        """All studies, oldest first."""
        return self.retry(self._studies)

    def read(self, study_uid: str) -> StudyLedger:
        """Read a study in one transaction. Raises KeyError where there is no such UUID."""
        return self.retry(lambda: self._read(study_uid))

    def delete(self, study_uid: str) -> None:
        """Delete a study and all that belongs to it, in one transaction."""
        with self._engine.begin() as connection:
            for kind in _OF_TRIALS:
                table = _TABLES[kind]
                connection.execute(sa.delete(table).where(_of_study(table, study_uid)))
            for kind in _OF_STUDY:
                table = _TABLES[kind]
                connection.execute(sa.delete(table).where(table.c.study_uid == study_uid))
            studies = _TABLES[StudyRow]
            connection.execute(sa.delete(studies).where(studies.c.uid == study_uid))

    def _write(self, rows: Iterable[Row]) -> None:
        with self._engine.begin() as connection:
            for kind, batch in _batches(rows):
                self._upsert(connection, _TABLES[kind], batch)

    def _studies(self) -> tuple[StudyRow, ...]:
        with self._reading() as connection:
            found: tuple[StudyRow, ...] = _rows(connection, StudyRow, sa.true())
        return tuple(sorted(found, key=lambda row: row.created_at))

    def _read(self, study_uid: str) -> StudyLedger:
        with self._reading() as connection:
            return read_ledger(connection, study_uid)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection, consistent_read(connection):
            yield connection

    def _upsert(
        self, connection: sa.Connection, table: sa.Table, batch: list[dict[str, Any]]
    ) -> None:
        if table.name not in self._upserts:
            self._upserts[table.name] = self._upsert_into(table)
        connection.execute(self._upserts[table.name], batch)

    def _upsert_into(self, table: sa.Table) -> Any:
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if column.name not in keys
        }
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def read_ledger(connection: sa.Connection, study_uid: str) -> StudyLedger:
    """Read a study's ledger. Raises KeyError where there is no such UUID."""
    studies = _select(connection, StudyRow, "uid", study_uid)
    if not studies:
        raise KeyError(study_uid)
    trials, gold = (_select(connection, kind, "study_uid", study_uid) for kind in _OF_STUDY)
    attempts, steps, epochs, effective, findings, predictions = (
        _select_of_trials(connection, kind, study_uid) for kind in _OF_TRIALS
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


_OF_STUDY: tuple[type[Any], ...] = (TrialRow, GoldRow)
_OF_TRIALS: tuple[type[Any], ...] = (
    AttemptRow,
    StepRow,
    EpochRow,
    EffectiveRow,
    FindingRow,
    PredictionRow,
)


def _batches(rows: Iterable[Row]) -> Iterator[tuple[type[Any], list[dict[str, Any]]]]:
    grouped: dict[type[Any], list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(type(row), []).append(vars(row))  # asdict would copy what they hold
    yield from grouped.items()


def _of_study(table: sa.Table, study_uid: str) -> sa.ColumnElement[bool]:
    trials = _TABLES[TrialRow]
    uids = sa.select(trials.c.uid).where(trials.c.study_uid == study_uid)
    return table.c.trial_uid.in_(uids)


def _select(connection: sa.Connection, kind: type[Any], column: str, value: str) -> tuple[Any, ...]:
    return _rows(connection, kind, _TABLES[kind].c[column] == value)


def _select_of_trials(
    connection: sa.Connection, kind: type[Any], study_uid: str
) -> tuple[Any, ...]:
    return _rows(connection, kind, _of_study(_TABLES[kind], study_uid))


def _present(connection: sa.Connection, table: sa.Table) -> frozenset[str]:
    """Names of a table's columns in the database; none where there is no such table."""
    try:
        return frozenset(c["name"] for c in sa.inspect(connection).get_columns(table.name))
    except sa.exc.NoSuchTableError:
        return frozenset()


def _rows(
    connection: sa.Connection, kind: type[Any], where: sa.ColumnElement[bool]
) -> tuple[Any, ...]:
    table = _TABLES[kind]
    # A database of an earlier version is read as it is: only a sweep adds what is missing.
    present = _present(connection, table)
    if not present:
        return ()
    columns = [table.c[item.name] for item in fields(kind) if item.name in present]
    query = sa.select(*columns).where(where).order_by(*table.primary_key)
    found = connection.execute(query).all()  # at once: one by one takes twice as long
    names = [column.name for column in columns]
    if names == [item.name for item in fields(kind)]:
        return tuple(kind(*row) for row in found)  # half the time of the way below
    return tuple(kind(**dict(zip(names, row, strict=True))) for row in found)
