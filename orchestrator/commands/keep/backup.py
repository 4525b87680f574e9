"""Copies of the SQLite study database: whole, of one moment, and only where it is sound."""

import time
import uuid
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.text import Text

from trytable.files import flush_to_disk
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.study.integrity import copy_database
from trytable.results.storage.engine import read_only_url


def backup(folders: Folders, console: Console) -> Path:
    """Copy the study database into RUNS/backups, also while sweeps write it.

    Raises DatabaseDamaged for a file that is not sound, DatabaseUnreadable where there is none,
    UserError for PostgreSQL, whose own tool copies it.
    """
    if folders.storage:
        raise UserError(
            f"{folders.database_label} is PostgreSQL's: pg_dump copies it, also while sweeps run, "
            "and trytable move-storage carries its studies into a file."
        )
    read_only_url(folders.url)  # says so where there is no database
    name = time.strftime("studies-%Y%m%d-%H%M%S")
    folders.backups.mkdir(parents=True, exist_ok=True)
    target = _free(folders.backups, name)
    temporary = target.with_name(f".{uuid.uuid4().hex}")
    try:
        copy_database(folders, temporary)
        flush_to_disk(temporary)
        temporary.rename(target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    size = target.stat().st_size / 2**20
    console.print(Text(f"{display_path(target)} ({size:.1f} MiB, sound)"), soft_wrap=True)
    return target


def _free(folder: Path, name: str) -> Path:
    """A file name that is not taken."""
    names = (f"{name}{f'-{number}' if number else ''}.db" for number in count())
    return next(folder / one for one in names if not (folder / one).exists())
