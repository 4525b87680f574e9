"""Checks studies and their database: is every trial in one state, is the file sound?

At every moment, in Optuna's tables and in the ledger alike,

    asked = waiting + drained + running + completed + pruned + stopped + failed

and every attempt and every value belongs to its trial. Writes that a killed orchestrator did not
get to are no problem: the next run of the sweep makes them.
"""

import json
import math
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from optuna.trial import FrozenTrial, TrialState

from trytable.orchestrator.errors import DatabaseDamaged, UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.storage.engine import BUSY_SECONDS, StudyNotFound, read_only_url
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import TERMINAL, AttemptRow, Status, StudyLedger, TrialRow
from trytable.results.storage.snapshot import read_snapshot

STATUSES: tuple[Status, ...] = (
    "waiting", "running", "drained", "completed", "pruned", "stopped", "failed",
)  # fmt: skip
_ENDED_AS: dict[TrialState, tuple[Status, ...]] = {
    TrialState.COMPLETE: ("completed",),
    TrialState.PRUNED: ("pruned", "stopped"),
    TrialState.FAIL: ("failed",),
}
"""The ledger's statuses of a trial that has ended in Optuna."""

_MAX_LISTED_PROBLEMS = 5


@dataclass(frozen=True)
class StudyCheck:
    """The number of a study's trials by status, and what is wrong with it."""

    name: str
    counts: dict[Status, int]
    problems: tuple[str, ...]

    @property
    def trial_count(self) -> int:
        """How many trials the study has asked for; those in Optuna's queue do not count."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt that was given to a worker, according to the job.json of its trial."""

    uid: str
    attempt: int
    folder: Path


def check_studies(folders: Folders) -> list[StudyCheck]:
    """Check the study of `folders`, or all studies if it names none.

    Each study is read as of one moment, so sweeps may go on writing. Raises DatabaseUnreadable if
    there is no database, StudyNotFound, and DatabaseDamaged for an SQLite file that is not sound.
    """
    read_only_url(folders.url)
    # Before the database, since the ledger has an attempt before its job.json exists: the other
    # way round, an attempt that starts in between would look lost.
    started = _started_attempts(folders.runs)
    if folders.storage:
        return _check_all(folders, folders.url, started)
    # A copy: its pages are checked, too, and reading it blocks no writer.
    with tempfile.TemporaryDirectory(prefix="trytable-") as temporary:
        copy = replace(folders, runs=Path(temporary))
        copy_database(folders, copy.database)
        return _check_all(folders, copy.url, started)


def _check_all(folders: Folders, url: str, started: list[StartedAttempt]) -> list[StudyCheck]:
    with closing(Ledger(url)) as ledger:
        uids = {row.name: row.uid for row in ledger.studies()}
    if folders.study and folders.study not in uids:
        raise StudyNotFound(folders.study, tuple(uids))
    names = [folders.study] if folders.study else list(uids)
    return [_check_study(name, uids[name], url, started) for name in names]


def _check_study(name: str, uid: str, url: str, started: list[StartedAttempt]) -> StudyCheck:
    try:
        snapshot = read_snapshot(url, name)
    except StudyNotFound:
        snapshot = None
    if snapshot is None or snapshot.ledger is None or snapshot.uid != uid:
        with closing(Ledger(url)) as ledger:
            rows = ledger.read(uid)
        counts, problems = check_trials((), rows)
        problems = ["the study itself is no longer in the database", *problems]
    else:
        rows = snapshot.ledger
        counts, problems = check_trials(snapshot.trials, rows)
    return StudyCheck(name, counts, (*problems, *_missing_attempts(started, rows)))


def check_trials(
    trials: Sequence[FrozenTrial], ledger: StudyLedger
) -> tuple[dict[Status, int], list[str]]:
    """Compare Optuna's trials of a study with its ledger.

    Returns the number of trials by status and a list of problems.
    """
    asked_trials = [trial for trial in trials if trial.state != TrialState.WAITING]
    uids = [trial.user_attrs.get(STUDY_UID) for trial in asked_trials]
    rows = {row.uid: row for row in ledger.trials}
    problems = [
        f"two trials have the UUID {uid}" for uid, n in Counter(uids).items() if uid and n > 1
    ]
    ledger_only = sorted(rows.keys() - set(uids))
    problems += [f"{_name(rows[uid].number)} is in the ledger only" for uid in ledger_only]
    counts: Counter[Status] = Counter()
    for trial, uid in zip(asked_trials, uids, strict=True):
        row = rows.get(uid or "")
        counts[_status(trial, row)] += 1
        if row is not None:
            problems += [f"{_name(trial.number)} {text}" for text in _trial_problems(trial, row)]
        elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            problems.append(f"{_name(trial.number)} is not in the ledger")
    return dict(counts), [*problems, *_attempt_problems(ledger)]


def _status(trial: FrozenTrial, row: TrialRow | None) -> Status:
    if row is not None:
        return row.status
    # A trial without a row has just been asked for.
    return _ENDED_AS.get(trial.state, ("waiting",))[0]


def _trial_problems(trial: FrozenTrial, row: TrialRow) -> Iterator[str]:
    if row.number != trial.number:
        yield f"is number {row.number} in the ledger"
    statuses = _ENDED_AS.get(trial.state)
    if statuses is not None and row.status not in statuses:
        yield f"is {trial.state.name} in the study and {row.status} in the ledger"
    if trial.state != TrialState.COMPLETE:
        return
    if row.best_value is None or not math.isclose(trial.value or 0.0, row.best_value):
        yield f"has the value {trial.value} in the study and {row.best_value} in the ledger"
    reported = trial.intermediate_values.get(row.best_epoch or 0, trial.value)
    if reported != trial.value:
        yield f"has the value {trial.value}, but reported {reported} after its best epoch"


def _attempt_problems(ledger: StudyLedger) -> Iterator[str]:
    rows = {row.uid: row for row in ledger.trials}
    attempts: dict[str, list[AttemptRow]] = {uid: [] for uid in rows}
    for attempt in ledger.attempts:
        attempts[attempt.trial_uid].append(attempt)
    for uid, trial_attempts in attempts.items():
        row, name = rows[uid], _name(rows[uid].number)
        numbers = [attempt.attempt for attempt in trial_attempts]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{name} has the attempts {numbers}"
        if not numbers and row.status in ("completed", "pruned", "stopped") and not row.origin:
            yield f"{name} is {row.status} without an attempt"
        unended = [attempt.attempt for attempt in trial_attempts if attempt.ended_at is None]
        allowed = numbers[-1:] if row.status not in TERMINAL else []
        if unended and unended != allowed and not row.origin:
            yield f"{name} is {row.status}, but attempts {unended} have no end"
    in_ledger = {(attempt.trial_uid, attempt.attempt) for attempt in ledger.attempts}
    # The epochs of an imported trial have attempt 1, which no worker made.
    in_ledger |= {(epoch.trial_uid, 1) for epoch in ledger.epochs if rows[epoch.trial_uid].origin}
    for kind, records in (("epochs", ledger.epochs), ("steps", ledger.steps)):
        strays = {(record.trial_uid, record.attempt) for record in records} - in_ledger
        for uid, number in sorted(strays):
            yield f"{_name(rows[uid].number)} has {kind} of attempt {number}, which does not exist"


def _started_attempts(runs: Path) -> list[StartedAttempt]:
    attempts = []
    for path in sorted(runs.glob("*/trials/[0-9]*/job.json")):
        try:
            job = json.loads(path.read_text())
            attempts.append(StartedAttempt(job["trial_uid"], job["attempt"], path.parent))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # killed while it was written: no worker has read it
    return attempts


def _missing_attempts(started: list[StartedAttempt], ledger: StudyLedger) -> Iterator[str]:
    in_ledger = {(attempt.trial_uid, attempt.attempt) for attempt in ledger.attempts}
    uids = {row.uid for row in ledger.trials}
    for attempt in started:
        if attempt.uid in uids and (attempt.uid, attempt.attempt) not in in_ledger:
            yield f"attempt {attempt.attempt} of {attempt.folder.name} is not in the ledger"


def _name(number: int) -> str:
    return f"Try {number + 1}"


def copy_database(folders: Folders, target: Path) -> None:
    """Copy the SQLite file as of one moment, and check the copy.

    Raises DatabaseDamaged; UserError if the copy cannot be made.
    """
    with _connect(folders.database) as source, closing(sqlite3.connect(target)) as copy:
        try:
            source.backup(copy)  # all pages in one step
            problems = _sqlite_problems(copy, "integrity_check")
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise UserError(f"{folders.database} cannot be copied: {error}.") from error
            problems = [str(error)]
    if problems:
        raise _damaged_error(folders, problems)


def raise_if_damaged(folders: Folders) -> None:
    """Check the SQLite file before anything is written to it. Raises DatabaseDamaged."""
    if not folders.database.is_file():
        return
    read_only_url(folders.url)  # has SQLite roll back what a killed process left half committed
    try:
        with _connect(folders.database) as connection:
            problems = _sqlite_problems(connection, "quick_check")
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            return  # it may be locked, which the first write reports
        problems = [str(error)]
    if problems:
        raise _damaged_error(folders, problems)


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file read-only."""
    address = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(address, BUSY_SECONDS, uri=True)) as connection:
        yield connection


def _sqlite_problems(connection: sqlite3.Connection, pragma: str) -> list[str]:
    """Return what SQLite's `integrity_check`, or its faster `quick_check`, reports."""
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}")]
    return [] if rows == ["ok"] else rows


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is damaged; other errors are a locked file or a full disk."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged_error(folders: Folders, problems: list[str]) -> DatabaseDamaged:
    lines = "\n".join(f"  {line}" for line in problems[:_MAX_LISTED_PROBLEMS])
    backups = sorted(folders.backups.glob("studies-*.db"))
    advice = (
        f"The newest backup is {display_path(backups[-1])}: copy it over the file (keep the "
        "damaged one aside)"
        if backups
        else f"There is no backup in {display_path(folders.backups)} (trytable backup makes them)"
    )
    return DatabaseDamaged(
        f"The study database {folders.database} is damaged and was left untouched:\n{lines}\n"
        f"{advice}. Each trial's events.jsonl also keeps what its workers reported."
    )
