"""Finds GPUs on which trial after trial fails while other GPUs work."""

from collections.abc import Iterable


class DeviceHealth:
    """Counts the trials that fail in a row on each GPU and excludes a GPU after too many.

    The last GPU is never excluded: if every GPU fails, the cause is probably not the GPU, and a
    sweep without any GPU could not go on.

    Args:
        limit: exclude a GPU after this many different trials failed on it in a row.

    Attributes:
        excluded: the UUIDs of the GPUs on which nothing more is started.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures: dict[str, set[str]] = {}  # UUIDs of trials by GPU, since its last success
        self._gpus: set[str] = set()
        self.excluded: set[str] = set()

    def add_gpus(self, gpus: Iterable[str]) -> None:
        """Take note of GPUs that exist. A device that was never added is never excluded."""
        self._gpus.update(gpus)

    def record_success(self, device: str) -> None:
        """An attempt ended without a failure that the GPU could have caused."""
        self._failures.pop(device, None)

    def record_failure(self, device: str, trial_uid: str) -> None:
        """An attempt failed in a way that another GPU might have avoided."""
        trials = self._failures.setdefault(device, set())
        trials.add(trial_uid)
        if len(trials) >= self._limit and self.has_alternative(device):
            self.excluded.add(device)

    def has_alternative(self, device: str) -> bool:
        """Whether a GPU other than this one is still in use. False for what is not a GPU."""
        return device in self._gpus and bool(self._gpus - self.excluded - {device})
