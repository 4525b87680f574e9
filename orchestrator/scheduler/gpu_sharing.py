"""Which trials may share a GPU: as many as fit, by what trials of their shape took before.

A shape is what decides a trial's memory (`memory_knobs`). The first trial of a shape has
a GPU to itself until it has told what it takes. Where memory runs out all the same, fewer trials
share a GPU from then on. Pure: what is known goes in, where there is room comes out.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trytable.orchestrator.backends.base import CPU, Slot

FULL = 0.90
"""Share of a GPU's memory that the known peaks of its trials may add up to. The rest is for what
peaks do not tell: fragments, a longer batch, other programs."""


@dataclass(frozen=True)
class Fit:
    """So many trials of a shape fit on one GPU; what one takes and what the GPU has, in bytes."""

    trials: int
    peak_bytes: int
    device_bytes: int

    @property
    def words(self) -> str:
        """As `3 trials like it fit on one GPU (7.1 of 80.0 GiB each)`."""
        fit = "1 trial like it fits" if self.trials == 1 else f"{self.trials} trials like it fit"
        of = f"{self.peak_bytes / 2**30:.1f} of {self.device_bytes / 2**30:.1f} GiB"
        return f"{fit} on one GPU ({of}{' each' if self.trials > 1 else ''})"


class Packing:
    """What is known of shapes and GPUs, and the room that follows from it.

    `there` are the shapes of the trials that run on a GPU now, each as often as it runs.

    Args:
        measured: whether trials tell what they take. If not, every slot is taken as it is given,
            as the person asked for it; so is the CPU's.
    """

    def __init__(self, measured: bool = False) -> None:
        self._measured = measured
        self._slots: dict[str, set[str]] = {}
        self._device_bytes: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._fits: set[str] = set()

    def saw(self, slots: Iterable[Slot]) -> None:
        """There are these slots, perhaps among others."""
        for slot in slots:
            self._slots.setdefault(slot.device, set()).add(slot.name)

    def is_measured(self, device: str) -> bool:
        """Whether memory decides who runs there."""
        return self._measured and device != CPU

    def is_shared(self, device: str, shape: str) -> bool:
        """Whether others may run beside a trial of this shape there."""
        slots = len(self._slots.get(device, ()))
        return self.is_measured(device) and min(slots, self._limit(shape)) > 1

    def has_room(self, device: str, there: Sequence[str], shape: str) -> bool:
        """Whether a trial of this shape may start beside these. An empty GPU takes any."""
        if not there or not self.is_measured(device):
            return True
        together = [*there, shape]
        if not self._peaks.keys() >= set(together) or device not in self._device_bytes:
            return False
        if len(together) > min(self._limit(one) for one in together):
            return False
        taken = sum(self._peaks[one] for one in together)
        return taken <= FULL * self._device_bytes[device]

    def has_room_for_any(self, device: str, there: Sequence[str]) -> bool:
        """Whether a trial of some known shape may start beside these."""
        return not there or any(self.has_room(device, there, shape) for shape in self._peaks)

    def told(self, device: str, shape: str, peak_bytes: int, device_bytes: int) -> Fit | None:
        """A trial has told the most that it has held. Says how many fit, the first time."""
        self._device_bytes[device] = device_bytes
        self._peaks[shape] = max(peak_bytes, self._peaks.get(shape, 0))
        if shape in self._fits or not self.is_shared(device, shape):
            return None
        self._fits.add(shape)
        room = int(FULL * device_bytes) // max(peak_bytes, 1)
        most = min(len(self._slots[device]), self._limit(shape))
        return Fit(max(1, min(room, most)), peak_bytes, device_bytes)

    def ran_out(self, device: str, shape: str, together: int) -> int | None:
        """Memory ran out for a trial where so many shared a GPU; the new limit if it is lower.

        The trial is taken to need more than an equal share.
        """
        device_bytes = self._device_bytes.get(device)
        if device_bytes is not None and shape in self._peaks:
            share = int(FULL * device_bytes / together) + 1
            self._peaks[shape] = max(share, self._peaks[shape])
        limit = max(1, together - 1)
        if limit >= self._limit(shape):
            return None
        self._limits[shape] = limit
        return limit

    def _limit(self, shape: str) -> int:
        """How many trials may share a GPU where one of this shape is among them."""
        return self._limits.get(shape, sys.maxsize)
