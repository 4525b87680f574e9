"""Workers on the nodes of a Ray cluster: an actor a slot, with the local backend in it.

Ray places the actors, counts their cores and shares of GPUs, and says when one is lost. An actor
stays for the whole sweep, so its warm parent is warm and a trial is a fork, not a start of Python.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from trytable.orchestrator.backends.base import (
    Backend,
    BackendError,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.orchestrator.backends.ray.plan import NodeInfo, Plan, node_problems
from trytable.orchestrator.backends.ray.transfer import (
    LOCAL_FILES,
    append_events,
    data_cache_name,
    pack,
    unpack_over,
)
from trytable.orchestrator.backends.ray.worker import MessageBatch, TrialFolder, WorkerActor
from trytable.trainers.protocol.messages import Job, StopReason


@dataclass
class ActorSlot:
    """A slot and its actor. One call at most is under way: `ask` makes it, `then` takes its answer.

    `call_at` is when it is to be made, again perhaps, in monotonic seconds.
    """

    slot: Slot
    actor: Any
    ask: Callable[[], Any]
    then: Callable[[Any], None]
    call: Any = None
    call_at: float = 0.0
    place: NodeInfo | None = None
    ready: bool = False
    job: Job | None = None
    heard: int = 0
    stop: StopReason | None = None

    def next(self, ask: Callable[[], Any], then: Callable[[Any], None], wait: float = 0.0) -> None:
        """Say what is to be called next, and how long from now."""
        self.ask, self.then, self.call = ask, then, None
        self.call_at = time.monotonic() + wait

    def after_call(self, do: Callable[[], None]) -> None:
        """Do something now, or after the answer of a call that is under way."""
        if self.call is None:
            do()
            return
        first = self.then

        def both(answer: Any) -> None:
            first(answer)
            do()

        self.then = both


MAX_FALSE_STARTS = 3
"""So many actors in a row may be lost before one is ready."""

_TURN_SECONDS = 0.2
_IDLE_TURN_SECONDS = 1.0
_AGAIN_SECONDS = 0.5
_CLOSE_SECONDS = 10.0


class RayBackend(Backend):
    """Runs workers on the cluster that this process has joined.

    Args:
        slots: what is asked of the cluster: `threads` are cores, a `device` other than `cpu` is a
            GPU or a share of one.
        plan: what every slot is told.
        gpu_share: the part of a GPU that a slot gets.
        patience_seconds: a cluster without room for a single slot for so long has none.
    """

    def __init__(
        self, slots: Sequence[Slot], plan: Plan, gpu_share: float, patience_seconds: float
    ) -> None:
        self._plan, self._gpu_share, self._patience_seconds = plan, gpu_share, patience_seconds
        self._packed: dict[Path, Any] = {}
        self._ended: list[WorkerMessage] = []
        self._false_starts = 0
        self._some_ready_at = time.monotonic()
        self._seats = [self._seat(slot) for slot in slots]
        self._call_all()

    def free_slots(self) -> tuple[Slot, ...]:
        free = (seat for seat in self._seats if seat.ready and seat.job is None)
        return tuple(
            replace(seat.slot, device=seat.place.device) for seat in free if seat.place is not None
        )

    def start(self, job: Job, slot: Slot) -> None:
        if slot not in self.free_slots():
            raise ValueError(f"slot {slot.name} is not free")
        if self._of(job.trial_uid):
            raise ValueError(f"trial {job.number} already has a worker")
        seat = next(seat for seat in self._seats if seat.slot.name == slot.name)
        seat.job, seat.stop = job, None
        data, folder = self._luggage(seat, job)
        seat.after_call(
            lambda: seat.next(
                lambda: seat.actor.start.remote(job, data, folder), lambda _: self._listen(seat)
            )
        )
        self._call_all()

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        until = time.monotonic() + timeout_seconds
        while True:
            self._call_all()
            self._hear(0.0 if self._ended else max(0.0, until - time.monotonic()))
            self._check_patience()
            if self._ended or time.monotonic() >= until:
                messages, self._ended = self._ended, []
                return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        seat = self._of(trial_uid)
        if seat is not None and seat.stop is None:
            seat.stop = reason  # it goes with the next call, a turn from now at the latest

    def close(self) -> None:
        closing = [seat.actor.close.remote() for seat in self._seats if seat.ready]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for seat in self._seats:
            ray.kill(seat.actor)
        self._seats.clear()
        self._plan.marker.unlink(missing_ok=True)

    def _of(self, trial_uid: str) -> ActorSlot | None:
        held = (seat for seat in self._seats if seat.job and seat.job.trial_uid == trial_uid)
        return next(held, None)

    # From an actor that is asked for to one that is ready.

    def _seat(self, slot: Slot) -> ActorSlot:
        wanted: Any = ray.remote(WorkerActor).options(
            num_cpus=slot.threads,
            num_gpus=0 if slot.device == "cpu" else self._gpu_share,
            max_restarts=0,
            max_concurrency=1,
            scheduling_strategy="SPREAD",  # a lost node then takes as few trials along as can be
        )
        actor: Any = wanted.remote(slot, self._plan)
        seat = ActorSlot(slot, actor, actor.look.remote, lambda place: self._settle(seat, place))
        return seat

    def _settle(self, seat: ActorSlot, place: NodeInfo) -> None:
        for problem in node_problems(self._plan, place):
            raise BackendError(f"The node {place.host} {problem}")
        seat.place = place
        model = None if place.has_model else self._once(Path(self._plan.model).expanduser())
        seat.next(lambda: seat.actor.open.remote(model), lambda _: self._opened(seat))

    def _opened(self, seat: ActorSlot) -> None:
        seat.ready, self._false_starts = True, 0
        self._listen(seat)

    def _luggage(self, seat: ActorSlot, job: Job) -> tuple[Any, bytes | None]:
        """What a node without our folders needs for a job: the data, and the trial's folder."""
        assert seat.place is not None, "a free slot has a place"
        if seat.place.shares_runs:
            return None, None
        home = Path(job.folder)
        home.mkdir(parents=True, exist_ok=True)
        (home / "job.json").write_text(job.model_dump_json(indent=2))
        entry = Path(job.cache_folder) / data_cache_name(job.data_hash)
        return self._once(entry) if job.data_hash else None, pack(home, leave_out=LOCAL_FILES)

    def _once(self, folder: Path) -> Any:
        """A folder in Ray's object store, put there when it is first needed."""
        if folder not in self._packed:
            self._packed[folder] = ray.put(pack(folder, leave_out=("frozen-*", "*.lock")))
        return self._packed[folder]

    # Calls and their answers.

    def _listen(self, seat: ActorSlot) -> None:
        """An idle actor is called now and then, so that it is not found lost only by a trial."""
        busy = seat.job is not None
        seat.next(
            lambda: seat.actor.poll.remote(_TURN_SECONDS if busy else 0.0, seat.heard, seat.stop),
            lambda kept: self._take(seat, kept),
            0.0 if busy else _IDLE_TURN_SECONDS,
        )

    def _call_all(self) -> None:
        """Not as soon as an answer has come: a stop that it leads to goes with the next call."""
        for seat in self._seats:
            if seat.call is None and seat.call_at <= time.monotonic():
                seat.call = seat.ask()

    def _hear(self, timeout_seconds: float) -> None:
        calls = {seat.call: seat for seat in self._seats if seat.call is not None}
        wait = min(timeout_seconds, _TURN_SECONDS)
        if not calls:
            time.sleep(wait)
            return
        ray.wait(list(calls), num_returns=1, timeout=wait)
        for call in ray.wait(list(calls), num_returns=len(calls), timeout=0)[0]:
            self._answered(calls[call], call)

    def _answered(self, seat: ActorSlot, call: Any) -> None:
        try:
            answer = ray.get(call)
        except ActorUnavailableError:  # it may live: only Ray can say, and will
            seat.next(seat.ask, seat.then, _AGAIN_SECONDS)
        except RayActorError as error:
            self._lost(seat, error)
        except RayTaskError as error:
            where = f"The node {seat.place.host}" if seat.place else "A node of the Ray cluster"
            raise BackendError(f"{where} cannot run trials: {error.cause}") from error
        else:
            seat.then(answer)

    def _take(self, seat: ActorSlot, kept: MessageBatch) -> None:
        new = kept.count - seat.heard
        seat.heard = kept.count
        for message in kept.messages[len(kept.messages) - new :]:
            self._hand_on(seat, message)
        self._listen(seat)

    def _hand_on(self, seat: ActorSlot, message: WorkerMessage | TrialFolder) -> None:
        assert seat.job is not None, "only a worker says anything"
        assert seat.place is not None, "it has a place"
        home = Path(seat.job.folder)
        if isinstance(message, TrialFolder):
            unpack_over(message.packed, home)
            return
        if isinstance(message, WorkerEvent) and not seat.place.shares_runs:
            append_events(home / "events.jsonl", [message.event])
        if isinstance(message, WorkerExit):
            seat.job = None
        self._ended.append(message)

    # What goes wrong.

    def _lost(self, seat: ActorSlot, error: RayActorError) -> None:
        """The actor has gone: another takes its place where Ray finds room."""
        if seat.job is not None:
            where = seat.place.host if seat.place else ""
            node = "its node" if "node has died" in str(error) else "its Ray actor"
            how = f"{node} ({where}) was lost"
            self._ended.append(WorkerExit(seat.job.trial_uid, seat.job.attempt, how))
        self._false_starts += not seat.ready
        if self._false_starts >= MAX_FALSE_STARTS:
            raise BackendError(f"Slots cannot be started on the Ray cluster: {error}") from error
        self._seats[self._seats.index(seat)] = self._seat(seat.slot)

    def _check_patience(self) -> None:
        if any(seat.ready for seat in self._seats):
            self._some_ready_at = time.monotonic()
        elif time.monotonic() - self._some_ready_at >= self._patience_seconds and self._seats:
            slot, has = self._seats[0].slot, ray.cluster_resources()  # type: ignore[no-untyped-call]
            gpu = "" if slot.device == "cpu" else f" and {self._gpu_share:g} GPU"
            raise BackendError(
                f"The Ray cluster had no room for a slot of {slot.threads} CPU{gpu} for "
                f"{self._patience_seconds:g} seconds. It has {has.get('CPU', 0):g} CPU and "
                f"{has.get('GPU', 0):g} GPU in all, some of them taken by others perhaps."
            )
