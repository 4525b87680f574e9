"""Hidden states on disk: mapped into memory, shared by all trials, and bounded in size."""

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

from trytable.trainers.data.folders import write_folder
from trytable.trainers.data.tokens import TokenSplit

States = NDArray[np.float32]
SentenceStates = Iterator[tuple[int, States]]
"""Pairs of a sentence's index and its states, shape (tokens, width)."""

_LOCK_SECONDS = 0.5
"""While another worker computes the same states, a worker checks for a stop this often."""


@dataclass(frozen=True)
class StateCache:
    """The cached states of one model, cut and data.

    `max_bytes` bounds all states under `cache` together; the least recently used are evicted.
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
        """Return the states of every split, shape (tokens, width); computes them if needed.

        Returns None if they would take more than `max_bytes`. `check_stop` may raise while this
        worker waits for another one that computes the same states.
        """
        size = sum(int(split.offsets[-1]) for split in splits.values()) * width * 4
        if size > self.max_bytes:
            return None
        if not self.folder.exists():
            with _locked(FileLock(f"{self.folder}.lock"), check_stop):
                if not self.folder.exists():
                    self._evict(size)
                    write_folder(self.folder, lambda path: _fill(path, splits, width, compute))
        os.utime(self.folder)
        return {
            name: np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in splits
        }

    def _evict(self, size: int) -> None:
        """Delete the least recently used states; processes that have them mapped keep them."""
        folders = sorted(self.cache.glob("*/frozen-*/"), key=lambda path: path.stat().st_mtime)
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
        for path in folders:
            if sum(sizes.values()) + size <= self.max_bytes:
                return
            shutil.rmtree(path, ignore_errors=True)
            del sizes[path]


def cache_key(*parts: object) -> str:
    """Return a folder name: a hash of all that decides the states in it."""
    return "frozen-" + hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


@contextmanager
def _locked(lock: FileLock, check_stop: Callable[[], None]) -> Iterator[None]:
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
        for index, sentence in compute(split):
            states[split.offsets[index] : split.offsets[index + 1]] = sentence
        states.flush()
