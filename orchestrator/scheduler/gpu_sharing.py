"""Decides which trials fit on one GPU together, from the memory that earlier trials reported.

A shape names the settings that decide a trial's memory (`trainers.protocol.memory_knobs`), so the
peak of one trial predicts the next of its shape. The first trial of a shape has a GPU to itself
until its first epoch reports a peak. If memory runs out all the same, fewer trials share a GPU
from then on.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

USABLE_SHARE = 0.90
"""The share of a GPU's memory that the peaks of its trials may add up to. The rest is for what a
reported peak does not cover: fragmentation, a longer batch, other programs."""


@dataclass(frozen=True)
class GpuFit:
    """How many trials of a shape fit on one GPU, the peak of one, and the GPU's memory in bytes."""

    trials: int
    peak_bytes: int
    device_bytes: int

    @property
    def description(self) -> str:
        """The fit in words: `3 such trials fit on one GPU (7.1 of 80.0 GiB each)`."""
        trials = "1 such trial fits" if self.trials == 1 else f"{self.trials} such trials fit"
        memory = f"{self.peak_bytes / 2**30:.1f} of {self.device_bytes / 2**30:.1f} GiB"
        return f"{trials} on one GPU ({memory}{' each' if self.trials > 1 else ''})"


class GpuSharing:
    """The peak memory of every shape, the memory of every GPU, and the room that follows.

    `running` is always the list of shapes that run on a GPU now, one entry a trial.
    """

    def __init__(self) -> None:
        self._slots: dict[str, set[str]] = {}  # slot names by GPU
        self._device_bytes: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._announced: set[str] = set()

    def add_slot(self, device: str, name: str) -> None:
        """Take note of a slot that exists on a GPU."""
        self._slots.setdefault(device, set()).add(name)

    def is_shared(self, device: str, shape: str) -> bool:
        """Whether other trials may run on this GPU beside a trial of this shape."""
        return min(len(self._slots.get(device, ())), self._limit(shape)) > 1

    def has_room(self, device: str, running: Sequence[str], shape: str) -> bool:
        """Whether a trial of this shape may start beside those running.

        An empty GPU takes any trial. Otherwise every peak and the GPU's memory must be known.
        """
        if not running:
            return True
        shapes = [*running, shape]
        if not self._peaks.keys() >= set(shapes) or device not in self._device_bytes:
            return False
        if len(shapes) > min(map(self._limit, shapes)):
            return False
        peak_sum = sum(self._peaks[name] for name in shapes)
        return peak_sum <= USABLE_SHARE * self._device_bytes[device]

    def has_room_for_any(self, device: str, running: Sequence[str]) -> bool:
        """Whether a trial of at least one measured shape may start beside those running."""
        return not running or any(self.has_room(device, running, shape) for shape in self._peaks)

    def record_peak(
        self, device: str, shape: str, peak_bytes: int, device_bytes: int
    ) -> GpuFit | None:
        """Store the peak memory that a trial reported.

        Returns how many trials of the shape fit on the GPU, once for each shape; None later, and
        if the shape has a GPU to itself anyway.
        """
        self._device_bytes[device] = device_bytes
        self._peaks[shape] = max(peak_bytes, self._peaks.get(shape, 0))
        if shape in self._announced or not self.is_shared(device, shape):
            return None
        self._announced.add(shape)
        by_memory = int(USABLE_SHARE * device_bytes) // max(peak_bytes, 1)
        by_slots = min(len(self._slots[device]), self._limit(shape))
        return GpuFit(max(1, min(by_memory, by_slots)), peak_bytes, device_bytes)

    def record_out_of_memory(self, device: str, shape: str, sharing: int) -> int | None:
        """Lower the limit of a shape after memory ran out while `sharing` trials shared the GPU.

        The trial is assumed to need more than an equal share. Returns the new limit, or None if
        the limit was as low already.
        """
        device_bytes = self._device_bytes.get(device)
        if device_bytes is not None and shape in self._peaks:
            equal_share = int(USABLE_SHARE * device_bytes / sharing) + 1
            self._peaks[shape] = max(equal_share, self._peaks[shape])
        limit = max(1, sharing - 1)
        if limit >= self._limit(shape):
            return None
        self._limits[shape] = limit
        return limit

    def _limit(self, shape: str) -> int:
        """The most trials that may share a GPU if one of them has this shape."""
        return self._limits.get(shape, sys.maxsize)
