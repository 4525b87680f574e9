"""Opens the study database for writing: looked at first, and with all its tables."""

from contextlib import AbstractContextManager

from optuna.storages import RDBStorage

from orchestrator.backup import refuse_damaged
from orchestrator.folders import Folders
from orchestrator.lock import brief_lock
from orchestrator.server_lock import tables_lock
from orchestrator.study import open_storage
from results.ledger import Ledger


def open_database(folders: Folders) -> tuple[RDBStorage, Ledger]:
    """Optuna's storage and the ledger, with their tables. Raises Damaged."""
    folders.runs.mkdir(parents=True, exist_ok=True)
    if not folders.storage:
        refuse_damaged(folders)
    ledger = Ledger(folders.url)
    with _alone(folders):
        storage = open_storage(folders.url)
        ledger.create_tables()
    return storage, ledger


def _alone(folders: Folders) -> AbstractContextManager[None]:
    """Two processes must not make the same tables."""
    return tables_lock(folders.url) if folders.storage else brief_lock(folders.database_lock)
