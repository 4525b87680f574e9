"""Scratch folders of a run on one machine, which are deleted when the run has ended."""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_LOCK_TRIES = 20
_PAUSE_SECONDS = 0.05


def scratch_folder(session: str, parent: Path | None = None) -> Path:
    """Return the scratch folder of a run, the same one for all processes of the run.

    The folder is made in `parent`, by default the folder for temporary files, and stays locked
    until this process exits. The folders of runs that have ended are deleted: a killed process
    cannot delete its own, but the kernel releases its lock. Raises OSError.
    """
    home = (parent or Path(tempfile.gettempdir())) / f"trytable-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():
        raise PermissionError(
            f"{home} belongs to somebody else, but Trytable needs it for scratch files"
        )
    folder = home / session
    _make_locked(folder)
    for path in home.iterdir():
        if path != folder:
            with suppress(OSError):  # locked by a run that is alive
                _delete_unlocked(path)
    return folder


def _make_locked(folder: Path) -> None:
    """Make a folder and lock it; another run may delete it between the two, so check after."""
    for tries_left in reversed(range(_LOCK_TRIES)):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = _lock(folder, fcntl.LOCK_SH)
        except OSError:
            if not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)
            continue
        if folder.exists():
            return
        os.close(descriptor)
    raise FileNotFoundError(f"{folder} is deleted as soon as it is made")


def _lock(folder: Path, mode: int) -> int:
    """Lock a folder and return its descriptor; the process's exit releases the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _delete_unlocked(folder: Path) -> None:
    descriptor = _lock(folder, fcntl.LOCK_EX)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
