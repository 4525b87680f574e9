"""How folders come to nodes that do not share ours, and back: whole, or not at all."""

import io
import os
import shutil
import tarfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import fsspec

from trytable.trainers.protocol.messages import AnyEvent

LOCAL_FILES = ("events.jsonl", "job.json")
"""Of a trial's folder these stay where they are: the orchestrator writes its own."""

FileSizes = tuple[tuple[str, int], ...]


def data_cache_name(data_hash: str) -> str:
    """The name that prepared data have in the cache (see trainers/data/tokens.py)."""
    return f"data-{data_hash[:32]}"


def file_sizes(folder: Path) -> FileSizes:
    """The files of a folder with their sizes, which tell whether another node sees the same."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    return tuple((path.name, path.stat().st_size) for path in files)


def pack(folder: Path, leave_out: Sequence[str] = ()) -> bytes:
    """A folder as the bytes of a tar file, without what is hidden: that is half written.

    `leave_out` has patterns of entries of the folder itself. Links become what they lead to: a
    model of the hub's cache is nothing but links. Raises OSError.
    """
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", dereference=True) as tar:
        for path in sorted(folder.glob("*")):
            if not any(fnmatch(path.name, one) for one in (".*", *leave_out)):
                tar.add(path, path.name, filter=_plain)
    return held.getvalue()


def _plain(found: tarfile.TarInfo) -> tarfile.TarInfo | None:
    hidden = found.name.rpartition("/")[2].startswith(".")
    return found if (found.isfile() or found.isdir()) and not hidden else None


def unpack(packed: bytes, folder: Path) -> None:
    """Make a folder out of `pack`'s bytes; one that is there stays, for it is the same.

    Nothing lands outside of it, whatever the bytes say. Raises OSError and tarfile.TarError.
    """
    if folder.exists():
        return
    temporary = _unpacked(packed, folder)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack_over(packed: bytes, folder: Path) -> None:
    """Put `pack`'s entries into a folder, each in the place of what had its name."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _unpacked(packed, folder)
    try:
        for path in temporary.iterdir():
            _replace(path, folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpacked(packed: bytes, folder: Path) -> Path:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(temporary, filter="data")
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return temporary


def _replace(new: Path, target: Path) -> None:
    """A folder cannot be renamed onto one that holds anything, so the old one steps aside."""
    if not target.is_dir():
        new.replace(target)
        return
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    target.rename(aside)
    new.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def append_events(path: Path, events: Sequence[AnyEvent]) -> None:
    """Append events to a trial's events.jsonl, apart from a line that a kill cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(event.model_dump_json().encode() + b"\n" for event in events))


def pack_checkpoints(checkpoints: Path) -> bytes:
    """The checkpoints of a trial that goes on. Raises OSError where one is just being exchanged.

    A checkpoint's files never change once they have their names, so links to them are a copy of
    one moment.
    """
    copy = checkpoints.with_name(f".{checkpoints.name}.{uuid.uuid4().hex}")
    hidden = shutil.ignore_patterns(".*")
    try:
        shutil.copytree(checkpoints, copy, copy_function=os.link, ignore=hidden)
        return pack(copy)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@dataclass(frozen=True)
class CheckpointStore:
    """Checkpoints at an fsspec URL, a tar file a trial.

    All three raise what the URL's file system raises: OSError, or a library's own.
    """

    url: str

    def push(self, uid: str, packed: bytes) -> None:
        """Put a trial's checkpoints there in the place of older ones."""
        files, path = self._place(uid)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        half = f"{path}.{uuid.uuid4().hex}"
        files.pipe_file(half, packed)
        files.mv(half, path)

    def pull(self, uid: str) -> bytes | None:
        """A trial's checkpoints, or None."""
        files, path = self._place(uid)
        with suppress(FileNotFoundError):
            return bytes(files.cat_file(path))
        return None

    def forget(self, uid: str) -> None:
        """Delete a trial's checkpoints there, if there are any."""
        files, path = self._place(uid)
        with suppress(FileNotFoundError):
            files.rm_file(path)

    def _place(self, uid: str) -> tuple[fsspec.AbstractFileSystem, str]:
        files, root = fsspec.core.url_to_fs(self.url)
        return files, f"{root.rstrip('/')}/{uid}.tar"
