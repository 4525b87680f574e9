"""Reads a study's trials from Optuna's tables, a table at a time.

Optuna's own reader makes an object for every intermediate value; with 2,000 trials of 50 epochs
that takes longer than the rest of a report. A test compares this reader with Optuna's.
"""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
"""Optuna's names for the values that not every database stores."""

_ByTrial = dict[int, list[tuple[Any, ...]]]


def read_trials(connection: sa.Connection, study_id: int) -> tuple[FrozenTrial, ...]:
    """All trials of a study by number, equal to those of `RDBStorage.get_all_trials`.

    Raises sqlalchemy.exc.SQLAlchemyError if the database cannot be read.
    """

    def grouped(table: str, *names: str) -> _ByTrial:
        return _grouped(connection, study_id, table, names)

    params = grouped("trial_params", "param_id", "param_name", "param_value", "distribution_json")
    values = grouped("trial_values", "objective", "value", "value_type")
    reported = grouped(
        "trial_intermediate_values", "step", "intermediate_value", "intermediate_value_type"
    )
    user = grouped("trial_user_attributes", "key", "value_json")
    system = grouped("trial_system_attributes", "key", "value_json")
    trials = []
    for trial_id, number, state, start, complete in _heads(connection, study_id):
        drawn_params = [
            (name, _distribution(text), value) for _, name, value, text in params[trial_id]
        ]
        trial = FrozenTrial(
            number=number,
            trial_id=trial_id,
            state=TrialState[state],
            value=None,
            values=[_value(*row) for _, *row in values[trial_id]] or None,
            datetime_start=_local(start),
            datetime_complete=_local(complete),
            params={name: space.to_external_repr(value) for name, space, value in drawn_params},
            distributions={name: space for name, space, _ in drawn_params},
            user_attrs=_attributes(user[trial_id]),
            system_attrs=_attributes(system[trial_id]),
            intermediate_values={step: _value(*row) for step, *row in reported[trial_id]},
        )
        trials.append(trial)
    return tuple(trials)


def read_attributes(
    connection: sa.Connection, study_id: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The user attributes and the system attributes of a study.

    Raises sqlalchemy.exc.SQLAlchemyError if the database cannot be read.
    """
    attributes = []
    for kind in ("user", "system"):
        columns: list[sa.ColumnClause[Any]] = [sa.column("key"), sa.column("value_json")]
        table = sa.table(f"study_{kind}_attributes", sa.column("study_id"), *columns)
        query = sa.select(*columns).select_from(table).where(table.c.study_id == study_id)
        attributes.append(_attributes(connection.execute(query.order_by(columns[0]))))
    return attributes[0], attributes[1]


class _Groups(dict[int, list[tuple[Any, ...]]]):
    def __missing__(self, key: int) -> list[tuple[Any, ...]]:
        return []


def _heads(connection: sa.Connection, study_id: int) -> list[Any]:
    names = ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    types = {name: sa.DateTime() for name in names if name.startswith("datetime")}
    columns = [sa.column(name, types.get(name)) for name in names]
    trials = sa.table("trials", sa.column("study_id"), *columns)
    query = sa.select(*columns).select_from(trials).where(trials.c.study_id == study_id)
    return list(connection.execute(query.order_by(trials.c.number, trials.c.trial_id)))


def _grouped(connection: sa.Connection, study_id: int, name: str, names: Iterable[str]) -> _ByTrial:
    """Rows of a table by trial, without the trial's id, in the order of their first column."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(column) for column in names]
    table = sa.table(name, sa.column("trial_id"), *columns)
    trials = sa.table("trials", sa.column("trial_id"), sa.column("study_id"))
    ids = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    query = sa.select(table.c.trial_id, *columns).where(table.c.trial_id.in_(ids))
    groups = _Groups()
    for trial_id, *values in connection.execute(query.order_by(columns[0])):
        groups.setdefault(trial_id, []).append(tuple(values))
    return groups


def _value(value: float | None, kind: str) -> float:
    return _INFINITE[kind] if value is None else value


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _attributes(rows: Iterable[Any]) -> dict[str, Any]:
    return {key: json.loads(text) for key, text in rows}


def _local(moment: datetime | None) -> datetime | None:
    # Optuna, too, stores naive UTC and returns naive local time.
    return moment and moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
