"""Asks NVIDIA's driver what a GPU holds, who uses it and how busy it is; needs no CUDA context."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml

from trytable.orchestrator.backends.slots import gpu_uuids

CPU = "cpu"
MIB = 2**20


@dataclass(frozen=True)
class Card:
    """A GPU by its UUID; `torch_device` is its name for torch in a process that sees no other."""

    uuid: str
    torch_device: str = "cuda"

    def used_bytes(self) -> int:
        """Return the memory that is in use, by all processes together."""
        with _nvml(self.uuid) as handle:
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)

    def free_bytes(self) -> int:
        """Return the memory that is free."""
        with _nvml(self.uuid) as handle:
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)

    def pids(self) -> set[int]:
        """Return the processes that have a context, as far as the driver sees their ids."""
        with _nvml(self.uuid) as handle:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return {int(process.pid) for process in processes}

    def busy_percent(self) -> float:
        """Return the share of the last moments in which a kernel ran."""
        with _nvml(self.uuid) as handle:
            return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)

    def describe(self) -> dict[str, Any]:
        """Return the card's name, memory and driver."""
        with _nvml(self.uuid) as handle:
            return {
                "card": str(pynvml.nvmlDeviceGetName(handle)),
                "memory_gib": pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30,
                "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            }


def first_card() -> Card | None:
    """Return the first GPU that this process may use."""
    return next((Card(uuid) for uuid in gpu_uuids()), None)


@contextmanager
def _nvml(uuid: str) -> Iterator[Any]:
    pynvml.nvmlInit()
    try:
        yield pynvml.nvmlDeviceGetHandleByUUID(uuid)
    finally:
        pynvml.nvmlShutdown()


@dataclass
class Meter:
    """Samples a card while a block runs; without a card it samples nothing.

    Attributes:
        busy: percent of time in which a kernel ran, as the driver reports it, by sample.
        peak_bytes: the most memory in use.
        pids: all processes that had a context.
    """

    card: Card | None
    busy: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    pids: set[int] = field(default_factory=set)

    def __enter__(self) -> "Meter":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def mean_busy(self) -> float | None:
        """Return the mean of the samples; None without any."""
        return sum(self.busy) / len(self.busy) if self.busy else None

    def _sample(self) -> None:
        while self.card is not None and not self._end.wait(0.1):
            self.peak_bytes = max(self.peak_bytes, self.card.used_bytes())
            self.pids |= self.card.pids()
            self.busy.append(self.card.busy_percent())


def seconds_until(holds: Callable[[], bool], limit: float) -> float | None:
    """Return after how many seconds something holds; None if it does not within the limit."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if holds():
            return time.monotonic() - began
        time.sleep(0.01)
    return None
