"""A study as its database holds it, whole and of one moment, so that two can be held together."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from trytable.results.storage.engine import StudyNotFound, consistent_read, open_read_only
from trytable.results.storage.ledger import STUDY_UID, read_ledger
from trytable.results.storage.optuna_trials import read_attributes, read_trials
from trytable.results.storage.rows import Row, StudyLedger, StudyRow

MOVED_FROM = "trytable:moved_from"
MOVED_TO = "trytable:moved_to"
"""Attributes of a study that was carried from one database to another."""

_MOST_DIFFERENCES = 5


@dataclass(frozen=True)
class StudySnapshot:
    """All that a database holds of a study; `ledger` is None for one that is not Trytable's."""

    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: tuple[FrozenTrial, ...]
    ledger: StudyLedger | None

    @property
    def uid(self) -> str | None:
        """Our UUID of the study."""
        return self.user_attrs.get(STUDY_UID)


def read_snapshot(url: str, name: str) -> StudySnapshot:
    """Read a study in one transaction. Raises StudyNotFound and DatabaseUnreadable."""
    with open_read_only(url) as storage:
        try:
            study_id = storage.get_study_id_from_name(name)
        except KeyError:
            known = tuple(study.study_name for study in storage.get_all_studies())
            raise StudyNotFound(name, known) from None
        directions = tuple(storage.get_study_directions(study_id))
        with storage.engine.connect() as connection, consistent_read(connection):
            user, system = read_attributes(connection, study_id)
            trials = read_trials(connection, study_id)
            ledger = _ledger(connection, user.get(STUDY_UID))
    return StudySnapshot(name, directions, user, system, trials, ledger)


def _ledger(connection: sa.Connection, uid: str | None) -> StudyLedger | None:
    try:
        return None if uid is None else read_ledger(connection, uid)
    except KeyError:
        return None


def ledger_rows(ledger: StudyLedger) -> Iterator[Row]:
    """Every row of a ledger, the study's own last: where it stands, all the others do."""
    parts = (getattr(ledger, item.name) for item in fields(ledger))
    for part in parts:
        if not isinstance(part, StudyRow):
            yield from part
    yield ledger.study


def digest(whole: StudySnapshot) -> str:
    """The sha256 of all that a study holds, in hexadecimal; the same in every database."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(_parts(whole).items()))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: StudySnapshot, other: StudySnapshot) -> list[str]:
    """What differs between two copies of a study, in words; the first few, then a count."""
    mine, theirs = _parts(one), _parts(other)
    found = [
        f"{name}: {_state(mine, name)} there, {_state(theirs, name)} here"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    ]
    more = len(found) - _MOST_DIFFERENCES
    return [*found[:_MOST_DIFFERENCES], *([f"and {more} more"] if more > 0 else [])]


def _state(parts: dict[str, str], name: str) -> str:
    return parts[name][:200] if name in parts else "nothing"


def _parts(whole: StudySnapshot) -> dict[str, str]:
    """Everything by a name of its own, as text without any database's own numbers."""
    moved = (MOVED_FROM, MOVED_TO)
    user = {key: value for key, value in whole.user_attrs.items() if key not in moved}
    found = {
        "directions": " ".join(one.name for one in whole.directions),
        "user attributes": _text(user),
        "system attributes": _text(whole.system_attrs),
    }
    found |= {f"trial {trial.number}": _text(_of_trial(trial)) for trial in whole.trials}
    for row in ledger_rows(whole.ledger) if whole.ledger else ():
        values = asdict(row)
        key = [str(values[item.name]) for item in fields(row)][: _KEYS.get(type(row).__name__, 1)]
        found[f"{type(row).__name__} {' '.join(key)}"] = _text(values)
    return found


_KEYS = {
    "AttemptRow": 2,
    "StepRow": 3,
    "EpochRow": 3,
    "EffectiveRow": 3,
    "FindingRow": 3,
    "PredictionRow": 2,
    "GoldRow": 2,
}
"""How many of a row's first fields are its key, where it is not one."""


def _of_trial(trial: FrozenTrial) -> dict[str, Any]:
    spaces = trial.distributions.items()
    return {
        "state": trial.state.name,
        "values": trial.values,
        "began": str(trial.datetime_start),
        "ended": str(trial.datetime_complete),
        "params": trial.params,
        "distributions": {name: distribution_to_json(space) for name, space in spaces},
        "reported": {str(step): value for step, value in trial.intermediate_values.items()},
        "user attributes": trial.user_attrs,
        "system attributes": trial.system_attrs,
    }


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
