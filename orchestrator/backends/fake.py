"""Scripted workers on a simulated clock: a thousand trials in a second.

Use it to try out sweeps, schedulers and budgets, and to test what is built on a backend.
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
    """The scripted worker exits; `cause` as in `WorkerExit`."""

    cause: str = "exit code 0"


ScriptStep = AnyEvent | ScriptedExit

Script = Callable[[Job], Iterable[tuple[float, ScriptStep]]]
"""Returns what an attempt does: pairs of simulated seconds since the step before, and the step."""


@dataclass
class _Worker:
    job: Job
    slot: Slot
    steps: Iterator[tuple[float, ScriptStep]]
    is_stopping: bool = False


_ScheduledStep = tuple[float, int, _Worker, ScriptStep]
"""The time of a step; the second number keeps steps of the same time in order."""


class FakeBackend(Backend):
    """Plays scripts. `now()` is its clock, which only `poll` moves on.

    Args:
        slots: where workers may run.
        script: what each attempt does and when; after its last step the worker exits with code 0.
        stop_seconds: simulated seconds from a request to stop to the worker's exit.
    """

    def __init__(self, slots: Sequence[Slot], script: Script, stop_seconds: float = 0.1) -> None:
        self._script = script
        self._stop_seconds = stop_seconds
        self._slots = tuple(slots)
        self._indices = {slot: index for index, slot in enumerate(self._slots)}
        self._free = list(range(len(self._slots)))  # indices of free slots, in order
        self._workers: dict[str, _Worker] = {}
        self._schedule: list[_ScheduledStep] = []
        self._order = count()
        self._now = 0.0

    def now(self) -> float:
        """Return the simulated seconds since the start."""
        return self._now

    def free_slots(self) -> tuple[Slot, ...]:
        return tuple(self._slots[index] for index in self._free)

    def start(self, job: Job, slot: Slot) -> None:
        self.check_start(job, slot, self._workers)
        self._free.remove(self._indices[slot])
        worker = self._workers[job.trial_uid] = _Worker(job, slot, iter(self._script(job)))
        self._add_next_step(self._now, worker)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        until = self._now + timeout_seconds
        messages: list[WorkerMessage] = []
        while self._schedule and self._schedule[0][0] <= (self._now if messages else until):
            at, _, worker, step = heapq.heappop(self._schedule)
            self._now = max(self._now, at)
            messages.extend(self._play(at, worker, step))
        if not messages:
            self._now = until
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        worker = self._workers.get(trial_uid)
        if worker is None or worker.is_stopping:
            return
        worker.is_stopping = True
        self._add_step(self._now + self._stop_seconds, worker, ScriptedExit(f"stopped to {reason}"))

    def close(self) -> None:
        self._schedule.clear()
        self._workers.clear()
        self._free = list(range(len(self._slots)))

    def _add_step(self, at: float, worker: _Worker, step: ScriptStep) -> None:
        heapq.heappush(self._schedule, (at, next(self._order), worker, step))

    def _add_next_step(self, at: float, worker: _Worker) -> None:
        seconds, step = next(worker.steps, (0.0, ScriptedExit()))
        self._add_step(at + seconds, worker, step)

    def _play(self, at: float, worker: _Worker, step: ScriptStep) -> list[WorkerMessage]:
        job = worker.job
        if self._workers.get(job.trial_uid) is not worker:
            return []  # the worker has exited before this step
        if not isinstance(step, ScriptedExit):
            self._add_next_step(at, worker)
            return [WorkerEvent(job.trial_uid, job.attempt, step)]
        del self._workers[job.trial_uid]
        insort(self._free, self._indices[worker.slot])
        return [WorkerExit(job.trial_uid, job.attempt, step.cause)]
