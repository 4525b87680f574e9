"""Turns errors of a running sweep into messages that tell the user what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from trytable.orchestrator.backends.base import BackendError
from trytable.orchestrator.errors import StudyDeleted, UserError
from trytable.orchestrator.log.run_log import RunLog
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.storage.engine import driver_message
from trytable.spelling import label


@contextmanager
def as_user_errors(folders: Folders, log: RunLog | None = None) -> Iterator[None]:
    """Raise a backend's and a database's errors as UserError."""
    try:
        yield
    except BackendError as error:
        raise UserError(f"{error}{_log_note(log)}") from error
    except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
        variable, place = ("STORAGE", "database") if folders.storage else ("RUNS", "folder")
        raise UserError(
            f"The study database {folders.database_label} cannot be used: {driver_message(error)}. "
            "What the workers reported is kept in the trials' folders. Repair the database and run "
            "the same sweep again, or choose another "
            f"{place} with {label(variable)}.{_log_note(log)}"
        ) from error


def _log_note(log: RunLog | None) -> str:
    """Return a sentence that names the log, or nothing if there is none."""
    if log is None or log.path is None or not log.path.exists():
        return ""
    return f" The log is {display_path(log.path)}."


@contextmanager
def detect_deleted_study(folders: Folders, storage: BaseStorage) -> Iterator[None]:
    """Raise StudyDeleted if Optuna cannot find a trial because its study was deleted."""
    try:
        yield
    except KeyError as error:
        if folders.study in optuna.get_all_study_names(storage):
            raise
        raise StudyDeleted(
            f"The study {folders.study!r} was deleted (in the dashboard?) while its sweep ran, "
            "so the sweep has stopped. What the workers reported is kept in "
            f"{display_path(folders.trials)}. The same command starts a new study."
        ) from error
