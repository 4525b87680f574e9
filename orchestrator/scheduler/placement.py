"""Finds a slot for a trial: on a GPU that works, beside trials that leave it enough memory."""

from collections.abc import Iterable, Sequence

from trytable.orchestrator.backends.base import CPU, Slot
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.gpu_sharing import GpuSharing
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.results.storage.rows import TERMINAL


class Placement:
    """Knows which trials run where, and which slots another trial may have.

    Args:
        trials: the trials that have not ended.
        health: which GPUs are excluded.
        sharing: how much memory trials take.
        memory_reported: whether workers report their peak memory. If not, a trial may start in
            any free slot, since the user chose the number of slots; the same holds on the CPU.

    Attributes:
        idle: the trials that have not ended and do not run, by their UUID. They are kept apart
            because nearly all of a thousand trials run, and each tick looks at the others only.
    """

    def __init__(
        self,
        trials: Iterable[LiveTrial],
        health: DeviceHealth,
        sharing: GpuSharing,
        *,
        memory_reported: bool,
    ) -> None:
        self.idle: dict[str, LiveTrial] = {}
        self._running: dict[str, dict[str, LiveTrial]] = {}  # by device, then by UUID
        self._health = health
        self._sharing = sharing
        self._memory_reported = memory_reported
        for trial in trials:
            group = self._on(trial.device) if trial.status == "running" else self.idle
            group[trial.uid] = trial

    def is_by_memory(self, device: str) -> bool:
        """Whether memory decides who may run on a device, and not its slots alone."""
        return self._memory_reported and device != CPU

    def is_shared(self, slot: Slot, trial: LiveTrial) -> bool:
        """Whether other trials may run on the slot's GPU beside this one."""
        return self.is_by_memory(slot.device) and self._sharing.is_shared(slot.device, trial.shape)

    def add_running(self, trial: LiveTrial) -> None:
        """Enter a trial that has started on `trial.device`."""
        self.idle.pop(trial.uid, None)
        neighbours = self._on(trial.device)
        neighbours[trial.uid] = trial
        trial.peak_sharing = 0
        if self.is_by_memory(trial.device):
            for neighbour in neighbours.values():
                neighbour.peak_sharing = max(neighbour.peak_sharing, len(neighbours))

    def remove_running(self, trial: LiveTrial) -> None:
        """Take out a trial whose attempt has ended; it becomes idle unless it has ended itself."""
        self._on(trial.device).pop(trial.uid, None)
        if trial.status not in TERMINAL:
            self.idle[trial.uid] = trial

    def usable_slots(self, free: Iterable[Slot]) -> list[Slot]:
        """The free slots whose GPU is not excluded."""
        slots = list(free)
        for slot in slots:
            self._sharing.add_slot(slot.device, slot.name)
        self._health.add_gpus(slot.device for slot in slots if slot.device != CPU)
        return [slot for slot in slots if slot.device not in self._health.excluded]

    def has_room(self, slot: Slot, trial: LiveTrial) -> bool:
        """Whether the memory of the slot's GPU suffices for one more trial."""
        return not self.is_by_memory(slot.device) or self._sharing.has_room(
            slot.device, self._shapes_on(slot.device), trial.shape
        )

    def find_slot(self, trial: LiveTrial, free: Iterable[Slot]) -> Slot | None:
        """A slot on the emptiest GPU that has room, but not on the GPU where the trial failed."""
        candidates = self._emptiest_first(self._candidates(trial, free))
        return next((slot for slot in candidates if self.has_room(slot, trial)), None)

    def is_blocked(self, trial: LiveTrial, free: Iterable[Slot]) -> bool:
        """Whether slots are free that the trial could have, but none of them has room."""
        return bool(self._candidates(trial, free)) and self.find_slot(trial, free) is None

    def slots_for_new_trials(self, free: Iterable[Slot]) -> Sequence[Slot]:
        """The slots for which the sampler should be asked for a trial.

        A trial's shape is known only after it was asked for. So at most one trial is asked for
        that may turn out to have no room beside others: two would have to wait for each other.
        """
        slots: list[Slot] = []
        devices: set[str] = set()
        may_not_fit = False
        for slot in self._emptiest_first(free):
            if self.is_by_memory(slot.device):
                running = self._shapes_on(slot.device)
                if slot.device in devices or (running and may_not_fit):
                    continue  # the trial for an earlier slot may leave no room here
                if not self._sharing.has_room_for_any(slot.device, running):
                    continue
                may_not_fit |= bool(running)
                devices.add(slot.device)
            slots.append(slot)
        return slots

    def _on(self, device: str) -> dict[str, LiveTrial]:
        return self._running.setdefault(device, {})

    def _shapes_on(self, device: str) -> list[str]:
        return [trial.shape for trial in self._on(device).values()]

    def _candidates(self, trial: LiveTrial, free: Iterable[Slot]) -> list[Slot]:
        """The free slots on other GPUs than the one where the trial failed.

        If all other GPUs are merely occupied, there is none: the trial waits for one of them. If
        there is no other GPU, every free slot is a candidate.
        """
        if not self._health.has_alternative(trial.failed_device):
            return list(free)
        return [slot for slot in free if slot.device != trial.failed_device]

    def _emptiest_first(self, slots: Iterable[Slot]) -> list[Slot]:
        return sorted(slots, key=lambda slot: len(self._on(slot.device)))
