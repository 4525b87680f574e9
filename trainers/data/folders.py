"""Folders in the cache and among the checkpoints, written completely or not at all."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from trytable.files import flush_to_disk


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, to be renamed to it; deletes it if it is left over."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder atomically. If another process has written it meanwhile, keep that one."""
    with temporary_folder(folder) as temporary:
        write(temporary)
        for path in temporary.iterdir():
            flush_to_disk(path)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise


def write_folder_once(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder unless it exists. Processes that need it meanwhile wait for it."""
    if not folder.exists():
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                write_folder(folder, write)
