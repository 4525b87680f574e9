"""The interface of a backend: it starts workers, delivers their messages, and decides nothing.

The scheduler decides what a message means. No caller asks for a backend's type, so a new way to
run workers needs one subclass and the contract tests alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass

from trytable.trainers.protocol.messages import AnyEvent, Job, StopReason

CPU = "cpu"
"""The device of a slot without a GPU."""

GPU = "gpu"
"""The device of a cluster's slot whose GPU has not been chosen yet."""


@dataclass(frozen=True)
class Slot:
    """A place where one worker runs: `device` is `cpu` or a GPU's UUID, `threads` its CPU share."""

    name: str
    device: str = CPU
    threads: int = 1


@dataclass(frozen=True)
class WorkerEvent:
    """An event that a worker sent."""

    trial_uid: str
    attempt: int
    event: AnyEvent


@dataclass(frozen=True)
class WorkerExit:
    """A worker has exited: the last message of its attempt.

    `cause` is for the user, such as `exit code 1` or `killed by SIGKILL`.
    """

    trial_uid: str
    attempt: int
    cause: str


WorkerMessage = WorkerEvent | WorkerExit


class BackendError(Exception):
    """No worker can be started at all; the message gives the reason."""


class Backend(ABC):
    """Runs workers in slots. Not safe to call from two threads."""

    def check_start(self, job: Job, slot: Slot, running: Container[str]) -> None:
        """Raise ValueError if the slot is not free or the trial is among those running."""
        if slot not in self.free_slots():
            raise ValueError(f"slot {slot.name} is not free")
        if job.trial_uid in running:
            raise ValueError(f"trial {job.number} already has a worker")

    @abstractmethod
    def free_slots(self) -> tuple[Slot, ...]:
        """Return the slots in which a worker could be started now, in a fixed order."""

    @abstractmethod
    def start(self, job: Job, slot: Slot) -> None:
        """Start a worker and return at once.

        If the worker cannot be started, its `WorkerExit` follows. Raises ValueError if the slot
        is not free or the trial already has a worker.
        """

    @abstractmethod
    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        """Wait for messages up to the timeout and return them; empty if none came.

        The messages of a worker come in the order in which it sent them, each once. Every started
        attempt ends with exactly one `WorkerExit`, after which its slot is free. Raises
        BackendError.
        """

    @abstractmethod
    def stop(self, trial_uid: str, reason: StopReason) -> None:
        """Ask a worker to exit, and kill it if it has not done so within its grace period.

        Returns at once. Does nothing if the trial has no worker or was already asked to stop.
        """

    @abstractmethod
    def close(self) -> None:
        """Kill all workers and release everything; no `WorkerExit` follows. Idempotent."""
