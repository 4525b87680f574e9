"""One process owns a study: a lock that the kernel, or PostgreSQL, releases with its process."""

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from orchestrator.errors import StudyLocked
from orchestrator.folders import Folders
from orchestrator.server_lock import server_lock

Renew = Callable[[], None]
"""Makes sure that the lock is still ours. Raises StudyLocked where it is another's."""


@contextmanager
def brief_lock(path: Path) -> Iterator[None]:
    """Hold a lock file for a short while, after waiting for whoever holds it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def study_lock(folders: Folders) -> Iterator[Renew]:
    """Hold the study's lock while the block runs: in PostgreSQL the server's, and its folder's.

    Raises StudyLocked where another process holds either.
    """
    server = server_lock(folders) if folders.storage else nullcontext(lambda: None)
    with server as renew, file_lock(folders.lock):
        yield renew


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file while the block runs.

    Process id and host stand in the file only for the message that a second orchestrator gets.
    Raises StudyLocked where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StudyLocked(_message(path, file.read())) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "at": time.time()}))
        file.flush()
        yield


def _message(path: Path, owner: str) -> str:
    try:
        found = json.loads(owner)
        who = f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{who} is running this sweep already (it holds {path}). One orchestrator owns a study; "
        "wait until it ends, or stop it with Ctrl-C where it runs."
    )
