"""Carries studies from one database to another, and proves that they are the same there.

The study's UUID is written last, so a study that was cut off on its way has none, and is begun
anew by the next try. The one that was left says where it went: nobody goes on in both.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from rich.console import Console
from rich.progress import track
from rich.text import Text

from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.error_messages import as_user_errors
from trytable.orchestrator.study.database import open_database
from trytable.orchestrator.study.locks import file_lock, server_lock
from trytable.results.analysis.confirmation import CONFIRM_SUFFIX
from trytable.results.storage.engine import (
    StudyNotFound,
    database_exists,
    existing_storage,
    is_sqlite,
    postgresql_url,
)
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.reader import list_studies
from trytable.results.storage.snapshot import (
    MOVED_FROM,
    MOVED_TO,
    StudySnapshot,
    differences,
    digest,
    ledger_rows,
    read_snapshot,
)

_ROWS_AT_ONCE = 5000


def move_storage(source: str, target: str, name: str, runs: Path, console: Console) -> bool:
    """Carry a study (with its confirmation), or all, over; tell whether all came out the same.

    `source` and `target` are each a folder like RUNS, or a URL. Raises UserError, StudyNotFound
    and DatabaseUnreadable.
    """
    there, here = _place("FROM", source, runs), _place("TO", target, runs)
    if there.url == here.url:
        raise UserError(f"FROM and TO are the same database, {there.database_label}.")
    with as_user_errors(here):
        names = _wanted(there, name)
        pairs = [(replace(there, study=one), replace(here, study=one)) for one in names]
        same = [_move(*pair, console) for pair in pairs]
    stay = f"The files of trials stay in {display_path(there.runs)}: no database holds them."
    console.print(Text(stay), soft_wrap=True)
    return all(same)


def _wanted(there: Folders, name: str) -> list[str]:
    held = list_studies(there.url)
    if not name:
        return list(held)
    if name not in held:
        raise StudyNotFound(name, held)
    return [one for one in held if one in (name, name + CONFIRM_SUFFIX)]


def _place(variable: str, text: str, runs: Path) -> Folders:
    """A folder's SQLite file, or PostgreSQL with the files in RUNS."""
    allowed = (
        f"Allowed: {variable}=runs, a folder with studies.db; {variable}=sqlite:///runs/studies.db;"
        f" {variable}=postgresql://user@host:5432/database."
    )
    if not text:
        raise UserError(f"{variable} is missing. {allowed}")
    if "://" not in text:
        return Folders(Path(text).resolve(), "")
    try:
        if not is_sqlite(text):
            return Folders(runs.resolve(), "", postgresql_url(text))
        path = Path(sa.make_url(text).database or "")
    except (ValueError, sa.exc.ArgumentError) as error:
        raise UserError(f"{variable}: {error}. {allowed}") from error
    if path.name != "studies.db":
        raise UserError(f"{variable}: the file {str(path)!r} is not named studies.db. {allowed}")
    return Folders(path.parent.resolve(), "")


def _move(there: Folders, here: Folders, console: Console) -> bool:
    with _both_locked(there, here):
        whole = read_snapshot(there.url, there.study)
        if whole.uid is None or whole.ledger is None:
            console.print(Text(f"{there.study}: left alone, it was not made by Trytable"))
            return True
        if MOVED_TO in whole.user_attrs:
            where = whole.user_attrs[MOVED_TO]
            console.print(Text(f"{there.study}: left alone, it was carried to {where} before"))
            return True
        if not _is_there(whole, here):
            with open_database(here) as (storage, ledger):
                _make_way(storage, ledger, whole, here)
                write_whole(storage, ledger, whole, there.database_label, console)
        again = read_snapshot(here.url, here.study)
        found = differences(whole, again)
        if found:
            console.print(Text(f"{there.study}: NOT the same in {here.database_label}:"))
            console.print(Text("\n".join(f"  {line}" for line in found)))
            return False
        _mark(there, here)
        rows = sum(1 for _ in ledger_rows(whole.ledger))
        console.print(
            Text(
                f"{there.study}: {len(whole.trials)} trials and {rows} rows carried to "
                f"{here.database_label}; sha256 {digest(again)[:12]} on both sides"
            ),
            soft_wrap=True,
        )
        return True


@contextmanager
def _both_locked(there: Folders, here: Folders) -> Iterator[None]:
    """Nobody runs the study while it is carried. Raises StudyLocked."""
    with ExitStack() as stack:
        for path in sorted({there.lock, here.lock}):
            stack.enter_context(file_lock(path))
        for folders in (there, here):
            stack.callback(folders.discard_if_unused)
            if folders.storage:
                stack.enter_context(server_lock(folders))
        yield


def _is_there(whole: StudySnapshot, here: Folders) -> bool:
    """Whether an earlier try was killed only after it had carried everything."""
    if not database_exists(here.url) or here.study not in list_studies(here.url):
        return False
    found = read_snapshot(here.url, here.study)
    return found.uid == whole.uid and not differences(whole, found)


def _make_way(storage: RDBStorage, ledger: Ledger, whole: StudySnapshot, here: Folders) -> None:
    """Remove what an earlier try left half carried, or what was carried away from here since.

    Raises UserError where a study of that name stands there for itself.
    """
    if whole.name not in optuna.get_all_study_names(storage):
        return
    attributes = optuna.load_study(study_name=whole.name, storage=storage).user_attrs
    unfinished = MOVED_FROM in attributes and STUDY_UID not in attributes
    returned = MOVED_TO in attributes and attributes.get(STUDY_UID) == whole.uid
    if not unfinished and not returned:
        raise UserError(
            f"{here.database_label} already holds a study named {whole.name!r}. A study is never "
            "written over: delete that one first, or carry this one to another database."
        )
    assert whole.uid is not None, "only our studies are carried"
    ledger.delete(whole.uid)
    optuna.delete_study(study_name=whole.name, storage=storage)


def write_whole(
    storage: RDBStorage, ledger: Ledger, whole: StudySnapshot, origin: str, console: Console
) -> None:
    """Write a study that is not there yet: trials, the ledger, and its UUID last."""
    study_id = storage.create_new_study(whole.directions, whole.name)
    storage.set_study_user_attr(study_id, MOVED_FROM, origin)
    told = f"{whole.name}: trials"
    for trial in track(whole.trials, told, console=console, transient=True):
        storage.create_new_trial(study_id, trial)
    rows = list(ledger_rows(whole.ledger)) if whole.ledger else []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        ledger.write(*rows[first : first + _ROWS_AT_ONCE])
    for key, value in whole.system_attrs.items():
        storage.set_study_system_attr(study_id, key, value)
    moved = (MOVED_FROM, MOVED_TO)
    for key, value in sorted(whole.user_attrs.items(), key=lambda item: item[0] == STUDY_UID):
        if key not in moved:
            storage.set_study_user_attr(study_id, key, value)


def _mark(there: Folders, here: Folders) -> None:
    """Say in the study that was left where it went."""
    storage = existing_storage(there.url)
    try:
        study_id = storage.get_study_id_from_name(there.study)
        storage.set_study_user_attr(study_id, MOVED_TO, here.database_label)
    finally:
        storage.remove_session()
        storage.engine.dispose()
