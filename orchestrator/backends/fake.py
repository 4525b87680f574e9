"""Workers that are only scripted, on a simulated clock: a thousand trials in a second.

It is for trying out sweeps, schedulers and budgets, and for tests of what is above a backend.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from trytable.orchestrator.backends.base import (
    Backend,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.trainers.protocol.messages import AnyEvent, Job, StopReason


@dataclass(frozen=True)
class ScriptedExit:
    """The scripted worker ends without another word; `how` as in `Exited`."""

    cause: str = "exit code 0"


Script = Callable[[Job], Iterable[tuple[float, AnyEvent | ScriptedExit]]]
"""What an attempt says: pairs of simulated seconds since its last word, and the word."""


@dataclass
class _Worker:
    job: Job
    slot: Slot
    words: Iterator[tuple[float, AnyEvent | ScriptedExit]]
    stopped: bool = False


_Due = tuple[float, int, _Worker, AnyEvent | ScriptedExit]
"""When a worker says what; the second number keeps those of the same time in order."""


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
        self._places = {slot: place for place, slot in enumerate(self._slots)}
        self._free = list(range(len(self._slots)))  # places, in order
        self._workers: dict[str, _Worker] = {}
        self._due: list[_Due] = []
        self._order = count()
        self._now = 0.0

    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    def free_slots(self) -> tuple[Slot, ...]:
        return tuple(self._slots[place] for place in self._free)

    def start(self, job: Job, slot: Slot) -> None:
        if self._places.get(slot) not in self._free:
            raise ValueError(f"slot {slot.name} is not free")
        if job.trial_uid in self._workers:
            raise ValueError(f"trial {job.number} already has a worker")
        self._free.remove(self._places[slot])
        words = iter(self._script(job))
        worker = self._workers[job.trial_uid] = _Worker(job, slot, words)
        self._schedule_next(self._now, worker)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        until = self._now + timeout_seconds
        messages: list[WorkerMessage] = []
        while self._due and self._due[0][0] <= (self._now if messages else until):
            at, _, worker, word = heapq.heappop(self._due)
            self._now = max(self._now, at)
            messages.extend(self._say(at, worker, word))
        if not messages:
            self._now = until
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        worker = self._workers.get(trial_uid)
        if worker is None or worker.stopped:
            return
        worker.stopped = True
        self._schedule(self._now + self._stop_seconds, worker, ScriptedExit(f"stopped to {reason}"))

    def close(self) -> None:
        self._due.clear()
        self._workers.clear()
        self._free = list(range(len(self._slots)))

    def _schedule(self, at: float, worker: _Worker, word: AnyEvent | ScriptedExit) -> None:
        heapq.heappush(self._due, (at, next(self._order), worker, word))

    def _schedule_next(self, at: float, worker: _Worker) -> None:
        seconds, word = next(worker.words, (0.0, ScriptedExit()))
        self._schedule(at + seconds, worker, word)

    def _say(
        self, at: float, worker: _Worker, word: AnyEvent | ScriptedExit
    ) -> list[WorkerMessage]:
        job = worker.job
        if self._workers.get(job.trial_uid) is not worker:
            return []  # it has ended before this word
        if not isinstance(word, ScriptedExit):
            self._schedule_next(at, worker)
            return [WorkerEvent(job.trial_uid, job.attempt, word)]
        del self._workers[job.trial_uid]
        insort(self._free, self._places[worker.slot])
        return [WorkerExit(job.trial_uid, job.attempt, word.cause)]
