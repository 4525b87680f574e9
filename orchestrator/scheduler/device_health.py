"""Which GPUs go on failing while others work: their trials are better off elsewhere."""

from collections.abc import Iterable

from trytable.orchestrator.backends.base import CPU, Slot


class DeviceHealth:
    """Counts the trials that failed on a GPU in a row, and sets it aside after too many.

    The last GPU is never set aside: then the fault may as well lie elsewhere. Nor is the CPU,
    which all slots share.

    Args:
        limit: so many trials in a row, each another one, take a GPU out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failed: dict[str, set[str]] = {}
        self._seen: set[str] = set()
        self.set_aside: set[str] = set()

    def usable(self, free: Iterable[Slot]) -> list[Slot]:
        """The free slots whose GPU is not set aside."""
        slots = list(free)
        self._seen |= {slot.device for slot in slots}
        return [slot for slot in slots if slot.device not in self.set_aside]

    def worked(self, device: str) -> None:
        """An attempt ended there for reasons of its own."""
        self._failed.pop(device, None)

    def failed(self, device: str, uid: str) -> None:
        """An attempt of a trial failed there in a way that another GPU might have spared it."""
        failed = self._failed.setdefault(device, set())
        failed.add(uid)
        others = self._seen - self.set_aside - {device}
        if device != CPU and others and len(failed) >= self._limit:
            self.set_aside.add(device)

    def choices(self, free: Iterable[Slot], avoided: str) -> list[Slot]:
        """The free slots on another GPU than the one where the trial failed, if there is any other.

        None of them where the others are merely taken: they will be free.
        """
        if avoided in ("", CPU) or not self._seen - self.set_aside - {avoided}:
            return list(free)
        return [slot for slot in free if slot.device != avoided]
