"""Folders for a run's own passing files on one machine, which go when the run has ended."""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_TRIES = 20
_PAUSE_SECONDS = 0.05


def scratch_folder(session: str, within: Path | None = None) -> Path:
    """A folder of a run's own, held by a lock until the process ends; for all of a run the same.

    It lies in the folder for temporary files, or `within` another. Takes away what ended runs have
    left. Raises OSError.
    """
    home = (within or Path(tempfile.gettempdir())) / f"trytable-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():
        raise PermissionError(f"{home} belongs to somebody else; it is needed for scratch files")
    folder = home / session
    _make(folder)
    for other in home.iterdir():
        if other != folder:
            with suppress(OSError):  # another run's, which is alive
                _forget(other)
    return folder


def _make(folder: Path) -> None:
    """Make a folder and lock it, against others that take it for left over before it is locked."""
    for tries_left in reversed(range(_TRIES)):
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


def _lock(folder: Path, how: int) -> int:
    """Lock a folder; the lock goes with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _forget(folder: Path) -> None:
    descriptor = _lock(folder, fcntl.LOCK_EX)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
