"""Workers that are only scripted, on a simulated clock: a thousand trials in a second.

It is for trying out sweeps, schedulers and budgets, and for tests of what is above a backend.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from orchestrator.backends.base import Backend, Exited, Message, Said, Slot
from trainers.protocol import AnyEvent, Job, StopReason


@dataclass(frozen=True)
class Ends:
    """The scripted worker ends without another word; `how` as in `Exited`."""

    how: str = "exit code 0"


Script = Callable[[Job], Iterable[tuple[float, AnyEvent | Ends]]]
"""What an attempt says: pairs of simulated seconds since its last word, and the word."""


@dataclass
class _Worker:
    job: Job
    slot: Slot
    stopped: bool = False


@dataclass(order=True)
class _Due:
    at: float
    order: int
    worker: _Worker = field(compare=False)
    word: AnyEvent | Ends = field(compare=False)


class FakeBackend(Backend):
    """Plays scripts. `now()` is its clock, which only `poll` moves on.

    Args:
        slots: where workers may run.
        script: what each attempt says and when; where it ends, the worker exits with code 0.
        stop_seconds: simulated seconds from a stop asked for to the worker's end.
    """

    def __init__(self, slots: Sequence[Slot], script: Script, stop_seconds: float = 0.1) -> None:
        self._script = script
        self._stop_seconds = stop_seconds
        self._slots = tuple(slots)
        self._free = set(slots)
        self._workers: dict[str, _Worker] = {}
        self._due: list[_Due] = []
        self._order = count()
        self._now = 0.0

    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    def free_slots(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self._slots if slot in self._free)

    def start(self, job: Job, slot: Slot) -> None:
        if slot not in self._free:
            raise ValueError(f"slot {slot.name} is not free")
        if job.trial_uid in self._workers:
            raise ValueError(f"trial {job.number} already has a worker")
        self._free.remove(slot)
        worker = self._workers[job.trial_uid] = _Worker(job, slot)
        at = self._now
        for seconds, word in self._script(job):
            at += seconds
            self._schedule(at, worker, word)
        self._schedule(at, worker, Ends())

    def poll(self, timeout_seconds: float) -> Sequence[Message]:
        until = self._now + timeout_seconds
        messages: list[Message] = []
        while self._due and self._due[0].at <= (self._now if messages else until):
            due = heapq.heappop(self._due)
            self._now = max(self._now, due.at)
            messages.extend(self._say(due.worker, due.word))
        if not messages:
            self._now = until
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        worker = self._workers.get(trial_uid)
        if worker is None or worker.stopped:
            return
        worker.stopped = True
        self._schedule(self._now + self._stop_seconds, worker, Ends(f"stopped to {reason}"))

    def close(self) -> None:
        self._due.clear()
        self._free.update(worker.slot for worker in self._workers.values())
        self._workers.clear()

    def _schedule(self, at: float, worker: _Worker, word: AnyEvent | Ends) -> None:
        heapq.heappush(self._due, _Due(at, next(self._order), worker, word))

    def _say(self, worker: _Worker, word: AnyEvent | Ends) -> list[Message]:
        job = worker.job
        if self._workers.get(job.trial_uid) is not worker:
            return []  # it has ended before this word
        if not isinstance(word, Ends):
            return [Said(job.trial_uid, job.attempt, word)]
        del self._workers[job.trial_uid]
        self._free.add(worker.slot)
        return [Exited(job.trial_uid, job.attempt, word.how)]
