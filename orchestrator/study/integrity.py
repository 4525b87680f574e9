"""Whether anything was lost or doubled: what must hold of a study at every moment.

asked = waiting + drained + running + completed + pruned + stopped + failed, in Optuna's tables and
in the ledger alike, and every attempt and every value stands where it belongs. What a killed
orchestrator has left half told is no fault: the next run of the sweep tells the rest.
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
_ENDED_AS: dict[TrialState, frozenset[Status]] = {
    TrialState.COMPLETE: frozenset({"completed"}),
    TrialState.PRUNED: frozenset({"pruned", "stopped"}),
    TrialState.FAIL: frozenset({"failed"}),
}


@dataclass(frozen=True)
class StudyCheck:
    """A study's trials by status, and every sentence that should not be true of it."""

    name: str
    counts: dict[Status, int]
    problems: tuple[str, ...]

    @property
    def trial_count(self) -> int:
        """How many trials the study holds; those that wait in its queue are not asked yet."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt that a worker was given, by the job in its trial's folder."""

    uid: str
    attempt: int
    folder: Path


def check_studies(folders: Folders) -> list[StudyCheck]:
    """Check the studies as they are at one moment each, so that sweeps may go on writing."""
    read_only_url(folders.url)  # says so where there is no database
    handed = _handed_over(folders.runs)  # first: what a file says stands in the ledger already
    if folders.storage:
        return _check(folders, folders.url, handed)
    # A file's pages are looked at, too, and a reader of its copy holds no writer up.
    with tempfile.TemporaryDirectory(prefix="trytable-") as temporary:
        copy = replace(folders, runs=Path(temporary))
        copy_database(folders, copy.database)
        return _check(folders, copy.url, handed)


def _check(folders: Folders, url: str, handed: list[StartedAttempt]) -> list[StudyCheck]:
    with closing(Ledger(url)) as ledger:
        uids = {row.name: row.uid for row in ledger.studies()}
    if folders.study and folders.study not in uids:
        raise StudyNotFound(folders.study, tuple(uids))
    if not uids:
        return []  # perhaps a first run was killed before Optuna's tables were made
    return [
        _check_one(name, uids[name], url, handed)
        for name in ([folders.study] if folders.study else uids)
    ]


def _check_one(name: str, uid: str, url: str, handed: list[StartedAttempt]) -> StudyCheck:
    try:
        whole = read_snapshot(url, name)
    except StudyNotFound:
        whole = None
    if whole is None or whole.ledger is None or whole.uid != uid:
        with closing(Ledger(url)) as ledger:
            read = ledger.read(uid)
        counts, problems = check_trials((), read)
        problems = ["the study itself is no longer in the database", *problems]
    else:
        read = whole.ledger
        counts, problems = check_trials(whole.trials, read)
    return StudyCheck(name, counts, (*problems, *_of_files(handed, read)))


def check_trials(
    trials: Sequence[FrozenTrial], ledger: StudyLedger
) -> tuple[dict[Status, int], list[str]]:
    """Trials by status, and what is wrong, out of Optuna's trials and the ledger of a study."""
    asked = [trial for trial in trials if trial.state != TrialState.WAITING]
    uids = [trial.user_attrs.get(STUDY_UID) for trial in asked]
    rows = {row.uid: row for row in ledger.trials}
    problems = [
        f"two trials have the identity {uid}" for uid, n in Counter(uids).items() if uid and n > 1
    ]
    lost = rows.keys() - set(uids)
    problems += [f"{_name(rows[uid].number)} is in the ledger only" for uid in sorted(lost)]
    counts: Counter[Status] = Counter()
    for trial, uid in zip(asked, uids, strict=True):
        row = rows.get(uid or "")
        counts[_status(trial, row)] += 1
        if row is not None:
            problems += [f"{_name(trial.number)} {what}" for what in _of_trial(trial, row)]
        elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            problems.append(f"{_name(trial.number)} is not in the ledger")
    return dict(counts), [*problems, *_of_attempts(ledger)]


def _status(trial: FrozenTrial, row: TrialRow | None) -> Status:
    if row is not None:
        return row.status
    ended: dict[TrialState, Status] = {
        TrialState.COMPLETE: "completed",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return ended.get(trial.state, "waiting")  # asked, and not entered yet


def _of_trial(trial: FrozenTrial, row: TrialRow) -> Iterator[str]:
    if row.number != trial.number:
        yield f"is number {row.number} in the ledger"
    allowed = _ENDED_AS.get(trial.state)
    if allowed is not None and row.status not in allowed:
        yield f"is {trial.state.name} in the study and {row.status} in the ledger"
    if trial.state != TrialState.COMPLETE:
        return
    if row.best_value is None or not math.isclose(trial.value or 0.0, row.best_value):
        yield f"has the value {trial.value} in the study and {row.best_value} in the ledger"
    reported = trial.intermediate_values.get(row.best_epoch or 0, trial.value)
    if reported != trial.value:
        yield f"has the value {trial.value}, but reported {reported} after its best epoch"


def _of_attempts(ledger: StudyLedger) -> Iterator[str]:
    rows = {row.uid: row for row in ledger.trials}
    attempts: dict[str, list[AttemptRow]] = {uid: [] for uid in rows}
    for attempt in ledger.attempts:
        attempts[attempt.trial_uid].append(attempt)
    for uid, made in attempts.items():
        row = rows[uid]
        numbers = [one.attempt for one in made]
        if numbers != list(range(1, len(made) + 1)):
            yield f"{_name(row.number)} has the attempts {numbers}"
        if not made and row.status in ("completed", "pruned", "stopped") and not row.origin:
            yield f"{_name(row.number)} is {row.status} without an attempt"
        open_ones = [one.attempt for one in made if one.ended_at is None]
        over = row.status in TERMINAL or open_ones != numbers[-1:]
        if open_ones and over and not row.origin:
            yield f"{_name(row.number)} is {row.status}, but attempts {open_ones} have no end"
    known = {(one.trial_uid, one.attempt) for one in ledger.attempts}
    known |= {(one.trial_uid, 1) for one in ledger.epochs if rows[one.trial_uid].origin}
    for kind, told in (("epochs", ledger.epochs), ("steps", ledger.steps)):
        strays = {(one.trial_uid, one.attempt) for one in told} - known
        for uid, number in sorted(strays):
            yield f"{_name(rows[uid].number)} has {kind} of attempt {number}, which never was"


def _handed_over(runs: Path) -> list[StartedAttempt]:
    """The attempts that were handed to workers, by what lies in the trials' folders."""
    found = []
    for path in sorted(runs.glob("*/trials/[0-9]*/job.json")):
        try:
            job = json.loads(path.read_text())
            found.append(StartedAttempt(job["trial_uid"], job["attempt"], path.parent))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # cut off while it was written: no worker has read it
    return found


def _of_files(handed: list[StartedAttempt], ledger: StudyLedger) -> Iterator[str]:
    known = {(one.trial_uid, one.attempt) for one in ledger.attempts}
    uids = {row.uid for row in ledger.trials}
    for one in handed:
        if one.uid in uids and (one.uid, one.attempt) not in known:
            yield f"attempt {one.attempt} of {one.folder.name} is not in the ledger"


def _name(number: int) -> str:
    return f"Try {number + 1}"


_PROBLEMS_SHOWN = 5


def copy_database(folders: Folders, target: Path) -> None:
    """Copy all pages in one step, so that the copy is of one moment; then look at the copy.

    Raises DatabaseDamaged; UserError where the copy cannot be made.
    """
    with read_only_connection(folders.database) as source, closing(sqlite3.connect(target)) as copy:
        try:
            source.backup(copy)
            found = sqlite_problems(copy)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise UserError(f"{folders.database} cannot be copied: {error}.") from error
            found = [str(error)]
    if found:
        raise damaged_error(folders, found)


def raise_if_damaged(folders: Folders) -> None:
    """Look at the database before anything is written to it. Raises DatabaseDamaged."""
    if not folders.database.is_file():
        return
    read_only_url(folders.url)  # has SQLite undo what a killed process left half committed
    try:
        with read_only_connection(folders.database) as connection:
            found = sqlite_problems(connection, "quick_check")
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            return  # locked, perhaps: whoever writes to it will say so
        found = [str(error)]
    if found:
        raise damaged_error(folders, found)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the file's fault; else it is locked, or a disk is full."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def read_only_connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write."""
    address = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(address, BUSY_SECONDS, uri=True)) as connection:
        yield connection


def sqlite_problems(connection: sqlite3.Connection, how: str = "integrity_check") -> list[str]:
    """What SQLite finds wrong with a database; empty for a sound one. `quick_check` is faster."""
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA {how}")]
    return [] if rows == ["ok"] else rows


def damaged_error(folders: Folders, found: list[str]) -> DatabaseDamaged:
    """The error for a database that is not sound."""
    listed = "\n".join(f"  {line}" for line in found[:_PROBLEMS_SHOWN])
    kept = sorted(folders.backups.glob("studies-*.db"))
    advice = (
        f"The newest backup is {display_path(kept[-1])}: copy it over the file (keep the damaged "
        "one aside)"
        if kept
        else f"There is no backup in {display_path(folders.backups)} (trytable backup makes them)"
    )
    return DatabaseDamaged(
        f"The study database {folders.database} is damaged and was left untouched:\n{listed}\n"
        f"{advice}. What workers said also stands in each trial's events.jsonl."
    )
