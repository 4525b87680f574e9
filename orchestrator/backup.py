"""Copies of the SQLite study database: whole, of one moment, and only where it is sound."""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from orchestrator.errors import Damaged, UserError
from orchestrator.folders import Folders
from orchestrator.new_files import shown
from results.storage import BUSY_SECONDS, read_only_url

_PROBLEMS_SHOWN = 5


def backup(folders: Folders, console: Console) -> Path:
    """Copy the study database into RUNS/backups, also while sweeps write it.

    Raises Damaged for a file that is not sound, DatabaseUnreadable where there is none, UserError
    for PostgreSQL, whose own tool copies it.
    """
    if folders.storage:
        raise UserError(
            f"{folders.shown_database} is PostgreSQL's: pg_dump copies it, also while sweeps run, "
            "and trytable move-storage carries its studies into a file."
        )
    read_only_url(folders.url)  # says so where there is no database
    name = time.strftime("studies-%Y%m%d-%H%M%S")
    folders.backups.mkdir(parents=True, exist_ok=True)
    target = _free(folders.backups, name)
    temporary = target.with_name(f".{uuid.uuid4().hex}")
    try:
        snapshot(folders, temporary)
        _to_disk(temporary)
        temporary.rename(target)
        _to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    size = target.stat().st_size / 2**20
    console.print(Text(f"{shown(target)} ({size:.1f} MiB, sound)"), soft_wrap=True)
    return target


def snapshot(folders: Folders, target: Path) -> None:
    """Copy all pages in one step, so that the copy is of one moment; then look at the copy.

    Raises Damaged; UserError where the copy cannot be made.
    """
    with reading(folders.database) as source, closing(sqlite3.connect(target)) as copy:
        try:
            source.backup(copy)
            found = faults(copy)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise UserError(f"{folders.database} cannot be copied: {error}.") from error
            found = [str(error)]
    if found:
        raise damaged(folders, found)


def refuse_damaged(folders: Folders) -> None:
    """Look at the database before anything is written to it. Raises Damaged."""
    if not folders.database.is_file():
        return
    read_only_url(folders.url)  # has SQLite undo what a killed process left half committed
    try:
        with reading(folders.database) as connection:
            found = faults(connection, "quick_check")
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            return  # locked, perhaps: whoever writes to it will say so
        found = [str(error)]
    if found:
        raise damaged(folders, found)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the file's fault; else it is locked, or a disk is full."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write."""
    address = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(address, BUSY_SECONDS, uri=True)) as connection:
        yield connection


def faults(connection: sqlite3.Connection, how: str = "integrity_check") -> list[str]:
    """What SQLite finds wrong with a database; empty for a sound one. `quick_check` is faster."""
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA {how}")]
    return [] if rows == ["ok"] else rows


def damaged(folders: Folders, found: list[str]) -> Damaged:
    """The error for a database that is not sound."""
    listed = "\n".join(f"  {line}" for line in found[:_PROBLEMS_SHOWN])
    kept = sorted(folders.backups.glob("studies-*.db"))
    advice = (
        f"The newest backup is {shown(kept[-1])}: copy it over the file (keep the damaged one "
        "aside)"
        if kept
        else f"There is no backup in {shown(folders.backups)} (trytable backup makes them)"
    )
    return Damaged(
        f"The study database {folders.database} is damaged and was left untouched:\n{listed}\n"
        f"{advice}. What workers said also stands in each trial's events.jsonl."
    )


def _free(folder: Path, name: str) -> Path:
    """A file name that is not taken."""
    names = (f"{name}{f'-{number}' if number else ''}.db" for number in count())
    return next(folder / one for one in names if not (folder / one).exists())


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
