"""`trytable backup`: copies the SQLite study database as of one moment, if it is sound."""

import time
import uuid
from itertools import count
from pathlib import Path

from rich.console import Console

from trytable.files import flush_to_disk
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.study.integrity import copy_database
from trytable.results.storage.engine import read_only_url


def back_up_database(folders: Folders, console: Console) -> Path:
    """Copy the study database into RUNS/backups, even while sweeps write to it.

    Raises DatabaseDamaged for a file that is not sound, DatabaseUnreadable if there is none, and
    UserError for PostgreSQL, which has its own tool.
    """
    if folders.storage:
        raise UserError(
            f"{folders.database_label} is a PostgreSQL database. Use pg_dump, which copies it even "
            "while sweeps run, or trytable move-storage, which copies its studies into a file."
        )
    read_only_url(folders.url)  # raises DatabaseUnreadable before any folder is made
    folders.backups.mkdir(parents=True, exist_ok=True)
    target = _free_path(folders.backups, time.strftime("studies-%Y%m%d-%H%M%S"))
    temporary = target.with_name(f".{uuid.uuid4().hex}")
    try:
        copy_database(folders, temporary)
        flush_to_disk(temporary)
        temporary.rename(target)
        flush_to_disk(target.parent)  # the rename itself
    finally:
        temporary.unlink(missing_ok=True)
    size = target.stat().st_size / 2**20
    print_line(console, f"{display_path(target)} ({size:.1f} MiB, sound)")
    return target


def _free_path(folder: Path, stem: str) -> Path:
    """Return STEM.db, or STEM-1.db and so on if that exists."""
    paths = (folder / f"{stem}{f'-{number}' if number else ''}.db" for number in count())
    return next(path for path in paths if not path.exists())
