"""Reads all that a database holds of a study, in one transaction, and compares two copies."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from trytable.results.storage.engine import consistent_read, open_read_only, study_id_of
from trytable.results.storage.ledger import STUDY_UID, primary_key, read_ledger
from trytable.results.storage.optuna_trials import read_attributes, read_trials
from trytable.results.storage.rows import Row, StudyLedger, StudyRow

MOVED_FROM = "trytable:moved_from"
MOVED_TO = "trytable:moved_to"
"""Attributes of a study that was moved from one database to another."""

_MAX_DIFFERENCES = 5
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class StudySnapshot:
    """All that a database holds of a study; `ledger` is None if Trytable did not make the study."""

    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: tuple[FrozenTrial, ...]
    ledger: StudyLedger | None

    @property
    def uid(self) -> str | None:
        """The study's UUID in the ledger."""
        return self.user_attrs.get(STUDY_UID)


def read_snapshot(url: str, name: str) -> StudySnapshot:
    """Read a study in one transaction. Raises StudyNotFound and DatabaseUnreadable."""
    with open_read_only(url) as storage:
        study_id = study_id_of(storage, name)
        directions = tuple(storage.get_study_directions(study_id))
        with storage.engine.connect() as connection, consistent_read(connection):
            user, system = read_attributes(connection, study_id)
            trials = read_trials(connection, study_id)
            ledger = read_ledger(connection, user.get(STUDY_UID))
    return StudySnapshot(name, directions, user, system, trials, ledger)


def ledger_rows(ledger: StudyLedger) -> Iterator[Row]:
    """Every row of a ledger, the study's own last: a copy that has it is complete."""
    for field in fields(ledger):
        rows = getattr(ledger, field.name)
        if not isinstance(rows, StudyRow):
            yield from rows
    yield ledger.study


def digest(snapshot: StudySnapshot) -> str:
    """The sha256 of a snapshot, in hexadecimal; equal in every database that holds the study."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(_entries(snapshot).items()))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(original: StudySnapshot, copy: StudySnapshot) -> list[str]:
    """What differs between a study and its copy: the first few differences, then a count."""
    originals, copies = _entries(original), _entries(copy)
    lines = [
        f"{name}: {_excerpt(originals, name)} there, {_excerpt(copies, name)} here"
        for name in sorted({*originals, *copies})
        if originals.get(name) != copies.get(name)
    ]
    hidden = len(lines) - _MAX_DIFFERENCES
    return [*lines[:_MAX_DIFFERENCES], *([f"and {hidden} more"] if hidden > 0 else [])]


def _excerpt(entries: dict[str, str], name: str) -> str:
    return entries[name][:_MAX_CHARACTERS] if name in entries else "nothing"


def _entries(snapshot: StudySnapshot) -> dict[str, str]:
    """Everything in the snapshot by a unique name, as text without a database's own ids."""
    move_keys = (MOVED_FROM, MOVED_TO)
    user = {key: value for key, value in snapshot.user_attrs.items() if key not in move_keys}
    entries = {
        "directions": " ".join(direction.name for direction in snapshot.directions),
        "user attributes": _json(user),
        "system attributes": _json(snapshot.system_attrs),
    }
    entries |= {f"trial {trial.number}": _json(_trial_values(trial)) for trial in snapshot.trials}
    for row in ledger_rows(snapshot.ledger) if snapshot.ledger else ():
        name = " ".join([type(row).__name__, *map(str, primary_key(row))])
        entries[name] = _json(asdict(row))
    return entries


def _trial_values(trial: FrozenTrial) -> dict[str, Any]:
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


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
