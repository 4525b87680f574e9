"""File transfer to nodes that do not share the orchestrator's folders, and back.

A folder arrives whole or not at all: it is unpacked beside its place and then renamed.
"""

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
"""The files of a trial's folder that are never transferred: the orchestrator writes its own."""

FileSizes = tuple[tuple[str, int], ...]


def data_cache_name(data_hash: str) -> str:
    """Return the name of prepared data in the cache, as `trainers/data/tokens.py` names it."""
    return f"data-{data_hash[:32]}"


def file_sizes(folder: Path) -> FileSizes:
    """Return the names and sizes of a folder's files, to compare what two nodes see."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    return tuple((path.name, path.stat().st_size) for path in files)


def pack(folder: Path, exclude: Sequence[str] = ()) -> bytes:
    """Return a folder as a tar archive, without hidden entries: those are half-written.

    `exclude` has patterns for entries of the folder itself. Links are replaced by their targets:
    a model in the hub's cache consists of links only. Raises OSError.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for path in sorted(folder.glob("*")):
            if not any(fnmatch(path.name, pattern) for pattern in (".*", *exclude)):
                tar.add(path, path.name, filter=_visible_file)
    return archive.getvalue()


def _visible_file(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    is_hidden = entry.name.rpartition("/")[2].startswith(".")
    return entry if (entry.isfile() or entry.isdir()) and not is_hidden else None


def unpack(archive: bytes, folder: Path) -> None:
    """Make a folder from an archive of `pack`; an existing folder is the same and stays.

    Nothing is written outside the folder, whatever the archive holds. Raises OSError and
    tarfile.TarError.
    """
    if folder.exists():
        return
    temporary = _unpack_beside(archive, folder)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack_over(archive: bytes, folder: Path) -> None:
    """Put the entries of an archive into a folder, each in place of an entry of its name.

    Raises as `unpack` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _unpack_beside(archive, folder)
    try:
        for path in temporary.iterdir():
            _replace(path, folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_beside(archive: bytes, folder: Path) -> Path:
    temporary = _hidden_sibling(folder)
    temporary.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(temporary, filter="data")
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return temporary


def _replace(new: Path, target: Path) -> None:
    """Move an entry to its place. A folder is not renamed onto a full one, so move that first."""
    if not target.is_dir():
        new.replace(target)
        return
    old = _hidden_sibling(target)
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _hidden_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def append_events(path: Path, events: Sequence[AnyEvent]) -> None:
    """Append events to an events.jsonl, on a new line if a kill cut the last one short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(event.model_dump_json().encode() + b"\n" for event in events))


def pack_checkpoints(checkpoints: Path) -> bytes:
    """Return the checkpoints of a trial that is still training, as they are at one moment.

    The files of a checkpoint never change once they have their names, so links to them are a
    consistent copy. Raises OSError if a checkpoint is being replaced just now.
    """
    copy = _hidden_sibling(checkpoints)
    hidden = shutil.ignore_patterns(".*")
    try:
        shutil.copytree(checkpoints, copy, copy_function=os.link, ignore=hidden)
        return pack(copy)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@dataclass(frozen=True)
class CheckpointStore:
    """Checkpoints at an fsspec URL, one tar file for each trial.

    All methods raise what the URL's file system raises: OSError, or a library's own errors.
    """

    url: str

    def push(self, uid: str, archive: bytes) -> None:
        """Store a trial's checkpoints in place of older ones."""
        files, path = self._locate(uid)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex}"
        files.pipe_file(partial, archive)
        files.mv(partial, path)

    def pull(self, uid: str) -> bytes | None:
        """Return a trial's checkpoints, or None."""
        files, path = self._locate(uid)
        with suppress(FileNotFoundError):
            return bytes(files.cat_file(path))
        return None

    def delete(self, uid: str) -> None:
        """Delete a trial's checkpoints if there are any."""
        files, path = self._locate(uid)
        with suppress(FileNotFoundError):
            files.rm_file(path)

    def _locate(self, uid: str) -> tuple[fsspec.AbstractFileSystem, str]:
        files, root = fsspec.core.url_to_fs(self.url)
        return files, f"{root.rstrip('/')}/{uid}.tar"
