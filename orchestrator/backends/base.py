"""A backend starts workers, and nothing else.

What a worker said and that it ended come out of `poll`; what to make of it is decided elsewhere.
Nobody asks a backend for its type.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from trytable.trainers.protocol.messages import AnyEvent, Job, StopReason

CPU = "cpu"


GPU = "gpu"
"""The device of a cluster's slot whose GPU is not chosen yet."""


@dataclass(frozen=True)
class Slot:
    """A place where one worker runs: `device` is `cpu` or a GPU's UUID, `threads` its share."""

    name: str
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Said:
    """A worker said a line."""

    trial_uid: str
    attempt: int
    event: AnyEvent


@dataclass(frozen=True)
class Exited:
    """A worker has ended; `how` says in words how. It is the last message of its attempt."""

    trial_uid: str
    attempt: int
    how: str


Message = Said | Exited


class BackendError(Exception):
    """Workers cannot be started here at all; the message says why."""


class Backend(ABC):
    """Runs workers in slots. Not safe to call from two threads."""

    @abstractmethod
    def free_slots(self) -> tuple[Slot, ...]:
        """The slots in which a worker could be started now, in a fixed order."""

    @abstractmethod
    def start(self, job: Job, slot: Slot) -> None:
        """Start a worker and return at once.

        A worker that cannot be started is one that `Exited`. Raises ValueError where the slot is
        not free or the trial already has a worker.
        """

    @abstractmethod
    def poll(self, timeout_seconds: float) -> Sequence[Message]:
        """Wait for messages, at most so long; empty if none came.

        A worker's messages come in the order in which it said them, each once. Every started
        attempt ends in exactly one `Exited`, after which its slot is free. Raises BackendError.
        """

    @abstractmethod
    def stop(self, trial_uid: str, reason: StopReason) -> None:
        """Ask a worker to end itself; one that does not within its grace period is killed.

        Returns at once. A trial without a worker, or already asked, is left as it is.
        """

    @abstractmethod
    def close(self) -> None:
        """Kill what still runs and release everything. No `Exited` comes of it. Idempotent."""
