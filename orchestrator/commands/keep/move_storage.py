"""`trytable move-storage`: copies studies to another database and verifies that they are the same.

The study's UUID is written last: a copy that was interrupted has none, so the next call knows that
it is incomplete and starts again. The study that was left behind records where it went, so that
nobody continues it in both databases.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from rich.console import Console
from rich.progress import track
from rich.text import Text
from sqlalchemy.orm import Session

from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.error_messages import as_user_errors
from trytable.orchestrator.study.database import open_database
from trytable.orchestrator.study.locks import file_lock, identity_lock, server_lock
from trytable.results.storage import snapshot
from trytable.results.storage.engine import (
    StudyNotFound,
    existing_storage,
    is_sqlite,
    postgresql_url,
)
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.reader import list_studies
from trytable.results.storage.study import CONFIRM_SUFFIX
from trytable.spelling import label, setting

_ROWS_PER_WRITE = 5000


def move_studies(source: str, target: str, name: str, runs: Path, console: Console) -> bool:
    """Copy a study (with its confirmation), or all of them; return whether all are the same there.

    `source` and `target` are each a folder like RUNS, or a URL.

    Raises UserError, StudyNotFound and DatabaseUnreadable.
    """
    source_folders = _parse_place("FROM", source, runs)
    target_folders = _parse_place("TO", target, runs)
    if source_folders.url == target_folders.url:
        raise UserError(
            f"{label('FROM')} and {label('TO')} are the same database, "
            f"{source_folders.database_label}."
        )
    with as_user_errors(target_folders):
        pairs = [
            (replace(source_folders, study=study), replace(target_folders, study=study))
            for study in _studies_to_move(source_folders, name)
        ]
        results = [_move(*pair, console) for pair in pairs]
    folder = display_path(source_folders.runs)
    note = f"The files of trials stay in {folder}: no database holds them."
    print_line(console, note)
    return all(results)


def _parse_place(variable: str, text: str, runs: Path) -> Folders:
    """Return a folder's SQLite file, or PostgreSQL with the files in RUNS."""
    allowed = (
        f"Use {setting(variable, 'runs')}, a folder with studies.db; "
        f"{setting(variable, 'sqlite:///runs/studies.db')}; or "
        f"{setting(variable, 'postgresql://user@host:5432/database')}."
    )
    if not text:
        raise UserError(f"{label(variable)} is missing. {allowed}")
    if "://" not in text:
        return Folders(Path(text).resolve(), "")
    try:
        if not is_sqlite(text):
            return Folders(runs.resolve(), "", postgresql_url(text))
        path = Path(sa.make_url(text).database or "")
    except (ValueError, sa.exc.ArgumentError) as error:
        raise UserError(f"{label(variable)}: {error}. {allowed}") from error
    if path.name != "studies.db":
        raise UserError(
            f"{label(variable)}: the file {str(path)!r} is not named studies.db. {allowed}"
        )
    return Folders(path.parent.resolve(), "")


def _studies_to_move(source: Folders, name: str) -> list[str]:
    studies = list_studies(source.url)
    if not name:
        return list(studies)
    if name not in studies:
        raise StudyNotFound(name, studies)
    return [study for study in studies if study in (name, name + CONFIRM_SUFFIX)]


def _move(source: Folders, target: Folders, console: Console) -> bool:
    with _both_locked(source, target) as stack:
        original = snapshot.read_snapshot(source.url, source.study)
        if original.uid is None or original.ledger is None:
            console.print(Text(f"{source.study}: skipped, it was not made by Trytable"))
            return True
        if snapshot.MOVED_TO in original.user_attrs:
            place = original.user_attrs[snapshot.MOVED_TO]
            console.print(Text(f"{source.study}: skipped, it was already copied to {place}"))
            return True
        for folders in (source, target):
            stack.enter_context(identity_lock(folders, original.uid))
        # Opened before it is read: this also completes tables that a killed call left unfinished.
        with open_database(target) as (storage, ledger):
            if not _is_complete(original, target):
                _delete_remains(storage, ledger, original, target)
                write_study(storage, ledger, original, source.database_label, console)
        copy = snapshot.read_snapshot(target.url, target.study)
        problems = snapshot.differences(original, copy)
        if problems:
            console.print(Text(f"{source.study}: NOT the same in {target.database_label}:"))
            console.print(Text("\n".join(f"  {line}" for line in problems)))
            return False
        _mark_moved(source, target)
        rows = sum(1 for _ in snapshot.ledger_rows(original.ledger))
        print_line(
            console,
            f"{source.study}: {len(original.trials)} trials and {rows} rows copied to "
            f"{target.database_label}; sha256 {snapshot.digest(copy)[:12]} on both sides",
        )
        return True


@contextmanager
def _both_locked(source: Folders, target: Folders) -> Iterator[ExitStack]:
    """Lock the study in both databases, so that nobody runs it meanwhile. Raises StudyLocked.

    The yielded stack takes further locks.
    """
    with ExitStack() as stack:
        # A set: a file and a PostgreSQL database that share RUNS have one lock between them.
        for path in sorted({source.lock, target.lock}):
            stack.enter_context(file_lock(path))
        for folders in (source, target):
            stack.callback(folders.discard_if_unused)
            if folders.storage:
                stack.enter_context(server_lock(folders))
        yield stack


def _is_complete(original: snapshot.StudySnapshot, target: Folders) -> bool:
    """Return whether an earlier call was interrupted only after it had copied everything."""
    if target.study not in list_studies(target.url):
        return False
    copy = snapshot.read_snapshot(target.url, target.study)
    return copy.uid == original.uid and not snapshot.differences(original, copy)


def _delete_remains(
    storage: RDBStorage, ledger: Ledger, original: snapshot.StudySnapshot, target: Folders
) -> None:
    """Delete an incomplete copy, or the copy that the study was moved back from.

    Raises UserError if the target holds another study of that name.
    """
    if original.name not in optuna.get_all_study_names(storage):
        return
    attributes = optuna.load_study(study_name=original.name, storage=storage).user_attrs
    unfinished = snapshot.MOVED_FROM in attributes and STUDY_UID not in attributes
    returned = snapshot.MOVED_TO in attributes and attributes.get(STUDY_UID) == original.uid
    if not unfinished and not returned:
        raise UserError(
            f"{target.database_label} already holds a study named {original.name!r}, which is "
            "never overwritten. Delete it first, or copy this study to another database."
        )
    assert original.uid is not None, "only Trytable's studies are copied"
    ledger.delete(original.uid)
    optuna.delete_study(study_name=original.name, storage=storage)


def write_study(
    storage: RDBStorage,
    ledger: Ledger,
    study: snapshot.StudySnapshot,
    origin: str,
    console: Console,
) -> None:
    """Write a new study: its trials, its ledger, and its UUID last."""
    _create_marked(storage, study, origin)
    study_id = storage.get_study_id_from_name(study.name)
    for trial in track(study.trials, f"{study.name}: trials", console=console, transient=True):
        storage.create_new_trial(study_id, trial)
    rows = list(snapshot.ledger_rows(study.ledger)) if study.ledger else []
    for first in range(0, len(rows), _ROWS_PER_WRITE):
        ledger.write(*rows[first : first + _ROWS_PER_WRITE])
    for key, value in study.system_attrs.items():
        storage.set_study_system_attr(study_id, key, value)
    for key, value in sorted(study.user_attrs.items(), key=lambda pair: pair[0] == STUDY_UID):
        if key not in (snapshot.MOVED_FROM, snapshot.MOVED_TO):
            storage.set_study_user_attr(study_id, key, value)


def _create_marked(storage: RDBStorage, study: snapshot.StudySnapshot, origin: str) -> None:
    """Create an empty study that is already marked as a copy, in one transaction.

    Optuna's own calls need two, and a kill in between would leave a study without the mark, which
    nobody could tell from another program's.
    """
    directions = [
        models.StudyDirectionModel(direction=direction, objective=objective)
        for objective, direction in enumerate(study.directions)
    ]
    mark = models.StudyUserAttributeModel(key=snapshot.MOVED_FROM, value_json=json.dumps(origin))
    with Session(storage.engine) as session, session.begin():
        session.add(
            models.StudyModel(study_name=study.name, directions=directions, user_attributes=[mark])
        )


def _mark_moved(source: Folders, target: Folders) -> None:
    """Record in the study that was left behind where it went."""
    storage = existing_storage(source.url)
    try:
        study_id = storage.get_study_id_from_name(source.study)
        storage.set_study_user_attr(study_id, snapshot.MOVED_TO, target.database_label)
    finally:
        storage.remove_session()
        storage.engine.dispose()
