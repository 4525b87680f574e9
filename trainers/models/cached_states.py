"""Hidden states on disk, mapped into memory and shared by all trials, within so many bytes."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from trytable.trainers.data.tokens import TokenSplit, write_folder

States = NDArray[np.float32]
SentenceStates = Iterator[tuple[int, States]]
"""A sentence's number and its states, shape (tokens, width)."""

_LOCK_SECONDS = 0.5
"""Between two looks for a stop, while another worker computes the same states."""


@dataclass(frozen=True)
class StateCache:
    """Where the states of one model, cut and data are kept.

    `max_bytes` bounds all states under `cache` together: those used longest ago make room.
    """

    cache: Path
    folder: Path
    max_bytes: int

    def fetch(
        self,
        splits: dict[str, TokenSplit],
        width: int,
        compute: Callable[[TokenSplit], SentenceStates],
        check_stop: Callable[[], None],
    ) -> dict[str, States] | None:
        """The states of every split, shape (tokens, width), computed if nobody has yet.

        None where they would take more than `max_bytes`. `check_stop` may raise while waiting.
        """
        size = sum(int(split.offsets[-1]) for split in splits.values()) * width * 4
        if size > self.max_bytes:
            return None
        if not self.folder.exists():
            with _held(FileLock(f"{self.folder}.lock"), check_stop):
                if not self.folder.exists():
                    self._make_room(size)
                    write_folder(self.folder, lambda path: _fill(path, splits, width, compute))
        os.utime(self.folder)
        return {
            name: np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in splits
        }

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago; whoever has it mapped keeps it."""
        others = sorted(self.cache.glob("*/frozen-*/"), key=lambda path: path.stat().st_mtime)
        kept = {path: sum(file.stat().st_size for file in path.iterdir()) for path in others}
        for path in others:
            if sum(kept.values()) + size <= self.max_bytes:
                return
            shutil.rmtree(path, ignore_errors=True)
            del kept[path]


def cache_key(*parts: object) -> str:
    """A folder's name, of all that decides what is in it."""
    return "frozen-" + hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


@contextmanager
def _held(lock: FileLock, check_stop: Callable[[], None]) -> Iterator[None]:
    while not lock.is_locked:
        check_stop()
        with suppress(Timeout):
            lock.acquire(timeout=_LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _fill(
    folder: Path,
    splits: dict[str, TokenSplit],
    width: int,
    compute: Callable[[TokenSplit], SentenceStates],
) -> None:
    for name, split in splits.items():
        shape = (int(split.offsets[-1]), width)
        states = np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape
        )
        for index, part in compute(split):
            states[split.offsets[index] : split.offsets[index + 1]] = part
        states.flush()
