"""Where a trial may run now: on GPUs that are sound, beside trials that leave it room."""

from collections.abc import Iterable, Sequence

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.gpu_sharing import Packing
from trytable.orchestrator.scheduler.trial import TrialState
from trytable.results.storage.rows import TERMINAL


class Places:
    """The free slots of a moment, as the trials that run leave them.

    Args:
        trials: those that have not ended.
        health: which GPUs go on failing.
        packing: what is known of memory.

    Attributes:
        idle: the trials that have not ended and do not run, by their UUID. They stand apart, since
            most of a thousand run, and each tick asks for those that do not.
    """

    def __init__(
        self, trials: Iterable[TrialState], health: DeviceHealth, packing: Packing
    ) -> None:
        self.idle: dict[str, TrialState] = {}
        self._on: dict[str, dict[str, TrialState]] = {}  # those that run, by device and UUID
        self._health = health
        self._packing = packing
        for trial in trials:
            known = (
                self._on.setdefault(trial.device, {}) if trial.status == "running" else self.idle
            )
            known[trial.uid] = trial

    def started(self, trial: TrialState) -> None:
        """A trial runs now, beside those that ran there before."""
        self.idle.pop(trial.uid, None)
        there = self._on.setdefault(trial.device, {})
        there[trial.uid] = trial
        trial.crowd = 0
        for one in there.values() if self._packing.is_measured(trial.device) else ():
            one.crowd = max(one.crowd, len(there))

    def stopped(self, trial: TrialState) -> None:
        """A trial runs no longer; one that has not ended waits."""
        self._on.get(trial.device, {}).pop(trial.uid, None)
        if trial.status not in TERMINAL:
            self.idle[trial.uid] = trial

    def usable(self, free: Iterable[Slot]) -> list[Slot]:
        """The free slots whose GPU is not set aside."""
        slots = list(free)
        self._packing.saw(slots)
        return self._health.usable(slots)

    def there(self, device: str) -> list[TrialState]:
        """The trials that run on a GPU, or on the CPU, now."""
        return list(self._on.get(device, {}).values())

    def fits(self, trial: TrialState, slot: Slot) -> bool:
        """Whether there is room for a trial."""
        if not self._packing.is_measured(slot.device):
            return True
        there = [one.shape for one in self.there(slot.device)]
        return self._packing.has_room(slot.device, there, trial.shape)

    def find(self, trial: TrialState, free: Iterable[Slot]) -> Slot | None:
        """A slot for a trial, on the emptiest GPU that has room; not where it failed before."""
        choices = self._emptiest(self._health.choices(free, trial.avoided))
        return next((slot for slot in choices if self.fits(trial, slot)), None)

    def is_kept_out(self, trial: TrialState, free: Iterable[Slot]) -> bool:
        """Whether a trial finds no room in slots that it could have."""
        return bool(self._health.choices(free, trial.avoided)) and self.find(trial, free) is None

    def to_ask_for(self, free: Iterable[Slot]) -> Sequence[Slot]:
        """The slots for which a trial is worth asking: those that take any, and one at most where
        it may turn out to have no room, so that no two wait for it.
        """
        found: list[Slot] = []
        asked: set[str] = set()
        risked = False
        for slot in self._emptiest(free):
            if self._packing.is_measured(slot.device):
                there = [one.shape for one in self.there(slot.device)]
                if slot.device in asked or (there and risked):
                    continue  # what is asked for first may leave no room
                if not self._packing.has_room_for_any(slot.device, there):
                    continue
                risked |= bool(there)
                asked.add(slot.device)
            found.append(slot)
        return found

    def _emptiest(self, slots: Iterable[Slot]) -> list[Slot]:
        return sorted(slots, key=lambda slot: len(self._on.get(slot.device, ())))
