"""Opens the study database for writing: looked at first, and with all its tables."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from optuna.storages import RDBStorage

from orchestrator.backup import refuse_damaged
from orchestrator.folders import Folders
from orchestrator.lock import brief_lock
from orchestrator.server_lock import tables_lock
from orchestrator.study import open_storage
from results.ledger import Ledger


@contextmanager
def open_database(folders: Folders) -> Iterator[tuple[RDBStorage, Ledger]]:
    """Optuna's storage and the ledger, with their tables, until the block ends. Raises Damaged."""
    folders.runs.mkdir(parents=True, exist_ok=True)
    if not folders.storage:
        refuse_damaged(folders)
    ledger = Ledger(folders.url)
    with _alone(folders):
        storage = open_storage(folders.url)
        ledger.create_tables()
    try:
        yield storage, ledger
    finally:
        storage.remove_session()
        storage.engine.dispose()
        ledger.close()


def _alone(folders: Folders) -> AbstractContextManager[None]:
    """Two processes must not make the same tables."""
    return tables_lock(folders.url) if folders.storage else brief_lock(folders.database_lock)
