"""What goes wrong under a running sweep, in one paragraph that a person can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from trytable.orchestrator.backends.base import BackendError
from trytable.orchestrator.errors import StudyDeleted, UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.results.storage.engine import driver_message


@contextmanager
def as_user_errors(folders: Folders) -> Iterator[None]:
    """Say in one paragraph what a backend or a database cannot do."""
    try:
        yield
    except BackendError as error:
        raise UserError(str(error)) from error
    except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
        other = "database with STORAGE=" if folders.storage else "folder with RUNS=folder"
        raise UserError(
            f"The study database {folders.database_label} cannot be used: {driver_message(error)}. "
            "What workers said is kept in the trials' folders: mend it and run the same sweep "
            "again, or "
            f"choose another {other}."
        ) from error


@contextmanager
def detect_deleted_study(folders: Folders, storage: BaseStorage) -> Iterator[None]:
    """Raise StudyDeleted where that is why Optuna finds a trial no longer."""
    try:
        yield
    except KeyError as error:
        if folders.study in optuna.get_all_study_names(storage):
            raise
        raise StudyDeleted(
            f"The study {folders.study!r} was deleted (in the dashboard?) while its sweep ran, "
            "so the sweep has stopped. What workers said is kept in "
            f"{display_path(folders.trials)}; the same command starts the study anew."
        ) from error
