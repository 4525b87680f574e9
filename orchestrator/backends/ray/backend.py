"""Workers on the nodes of a Ray cluster: one actor for each slot, with a local backend in it.

Ray places the actors, counts their cores and shares of GPUs, and reports when one is lost. There
is an actor for each slot and not for each trial, since an actor is a new Python process that would
start its own fork server and read the model for every trial: a trial then costs ten times as much.
Inside a lasting actor it costs a fork, and it still has clean memory and an exit code of its own.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from trytable.orchestrator.backends.base import (
    CPU,
    Backend,
    BackendError,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.orchestrator.backends.ray import transfer
from trytable.orchestrator.backends.ray.plan import NodeInfo, Plan, node_problems
from trytable.orchestrator.backends.ray.worker import MessageBatch, TrialFolder, WorkerActor
from trytable.trainers.protocol.messages import Job, StopReason

_LOGGER = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3
"""The most actors in a row that may be lost before one of them is ready."""

_POLL_SECONDS = 0.2
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 10.0


@dataclass
class ActorSlot:
    """A slot and its actor. At most one call to the actor is under way.

    Attributes:
        handle: Ray's handle of the actor.
        request: makes the next call.
        on_answer: takes the answer of that call.
        call: the call that is under way, if one is.
        call_at: when the next call is made, in monotonic seconds.
        received: how many messages have arrived from the actor.
        stop: the reason to stop the worker, sent with every call until the worker has exited.
    """

    slot: Slot
    handle: Any
    request: Callable[[], Any]
    on_answer: Callable[[Any], None]
    call: Any = None
    call_at: float = 0.0
    node: NodeInfo | None = None
    is_ready: bool = False
    job: Job | None = None
    received: int = 0
    stop: StopReason | None = None

    def call_next(
        self, request: Callable[[], Any], on_answer: Callable[[Any], None], wait: float = 0.0
    ) -> None:
        """Set the next call and how many seconds from now it is made."""
        self.request, self.on_answer, self.call = request, on_answer, None
        self.call_at = time.monotonic() + wait

    def after_call(self, action: Callable[[], None]) -> None:
        """Do something now, or after the answer to the call that is under way."""
        if self.call is None:
            action()
            return
        on_answer = self.on_answer

        def answer_then_act(answer: Any) -> None:
            on_answer(answer)
            action()

        self.on_answer = answer_then_act


class RayBackend(Backend):
    """Runs workers on the cluster that this process has joined.

    Args:
        slots: what to request from the cluster: `threads` are cores, a `device` other than `cpu`
            is a GPU or a share of one.
        plan: what every slot needs to know.
        gpu_share: the share of a GPU for each slot.
        room_seconds: give up if the cluster has no room for a single slot for this long.
    """

    def __init__(
        self, slots: Sequence[Slot], plan: Plan, gpu_share: float, room_seconds: float
    ) -> None:
        self._plan, self._gpu_share, self._room_seconds = plan, gpu_share, room_seconds
        self._stored_archives: dict[Path, Any] = {}
        self._messages: list[WorkerMessage] = []
        self._failed_starts = 0
        self._last_ready = time.monotonic()
        self._actors = [self._new_actor(slot) for slot in slots]
        self._make_calls()

    def free_slots(self) -> tuple[Slot, ...]:
        return tuple(
            replace(actor.slot, device=actor.node.device)
            for actor in self._actors
            if actor.is_ready and actor.job is None and actor.node is not None
        )

    def start(self, job: Job, slot: Slot) -> None:
        self.check_start(job, slot, {actor.job.trial_uid for actor in self._actors if actor.job})
        actor = next(actor for actor in self._actors if actor.slot.name == slot.name)
        actor.job, actor.stop = job, None
        data, folder = self._job_files(actor, job)
        actor.after_call(
            lambda: actor.call_next(
                lambda: actor.handle.start.remote(job, data, folder),
                lambda _: self._poll_actor(actor),
            )
        )
        self._make_calls()

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        until = time.monotonic() + timeout_seconds
        while True:
            self._make_calls()
            self._take_answers(0.0 if self._messages else max(0.0, until - time.monotonic()))
            self._check_room()
            if self._messages or time.monotonic() >= until:
                messages, self._messages = self._messages, []
                return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        actor = self._actor_of(trial_uid)
        if actor is not None and actor.stop is None:
            actor.stop = reason  # sent with the next call, at most _POLL_SECONDS from now

    def close(self) -> None:
        calls = [actor.handle.close.remote() for actor in self._actors if actor.is_ready]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_SECONDS)
        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors.clear()
        self._plan.marker.unlink(missing_ok=True)

    def _actor_of(self, trial_uid: str) -> ActorSlot | None:
        busy = (actor for actor in self._actors if actor.job and actor.job.trial_uid == trial_uid)
        return next(busy, None)

    # Starting an actor: request it, inspect its node, open it.

    def _new_actor(self, slot: Slot) -> ActorSlot:
        options: Any = ray.remote(WorkerActor).options(
            num_cpus=slot.threads,
            num_gpus=0 if slot.device == CPU else self._gpu_share,
            max_restarts=0,
            max_concurrency=1,
            scheduling_strategy="SPREAD",  # so that a lost node takes few trials with it
        )
        handle: Any = options.remote(slot, self._plan)
        actor = ActorSlot(
            slot, handle, handle.inspect.remote, lambda node: self._open_on(actor, node)
        )
        return actor

    def _open_on(self, actor: ActorSlot, node: NodeInfo) -> None:
        for problem in node_problems(self._plan, node):
            raise BackendError(f"The node {node.host} {problem}")
        actor.node = node
        model = None if node.has_model else self._stored(Path(self._plan.model).expanduser())
        actor.call_next(lambda: actor.handle.open.remote(model), lambda _: self._mark_ready(actor))

    def _mark_ready(self, actor: ActorSlot) -> None:
        actor.is_ready, self._failed_starts = True, 0
        host = actor.node.host if actor.node else "?"
        _LOGGER.info("Ray actor of slot %s is ready on node %s", actor.slot.name, host)
        self._poll_actor(actor)

    def _job_files(self, actor: ActorSlot, job: Job) -> tuple[Any, bytes | None]:
        """Return archives of the data and the trial's folder for a node that shares no runs."""
        assert actor.node is not None, "a free slot has a node"
        if actor.node.shares_runs:
            return None, None
        home = Path(job.folder)
        home.mkdir(parents=True, exist_ok=True)
        (home / "job.json").write_text(job.model_dump_json(indent=2))
        data = Path(job.cache_folder) / transfer.data_cache_name(job.data_hash)
        archive = transfer.pack(home, exclude=transfer.LOCAL_FILES)
        return self._stored(data) if job.data_hash else None, archive

    def _stored(self, folder: Path) -> Any:
        """Return a folder's archive in Ray's object store, where it is put once."""
        if folder not in self._stored_archives:
            archive = transfer.pack(folder, exclude=("frozen-*", "*.lock"))
            self._stored_archives[folder] = ray.put(archive)
        return self._stored_archives[folder]

    # Calls and their answers.

    def _poll_actor(self, actor: ActorSlot) -> None:
        """Poll an actor next; an idle one, too, so that its loss is noticed before a trial."""
        is_busy = actor.job is not None
        seconds = _POLL_SECONDS if is_busy else 0.0
        actor.call_next(
            lambda: actor.handle.poll.remote(seconds, actor.received, actor.stop),
            lambda batch: self._take_batch(actor, batch),
            0.0 if is_busy else _IDLE_SECONDS,
        )

    def _make_calls(self) -> None:
        """Make the calls that are due.

        This is not done as soon as an answer has come, so that a stop that the answer leads to
        goes with the next call.
        """
        for actor in self._actors:
            if actor.call is None and actor.call_at <= time.monotonic():
                actor.call = actor.request()

    def _take_answers(self, timeout_seconds: float) -> None:
        calls = {actor.call: actor for actor in self._actors if actor.call is not None}
        wait = min(timeout_seconds, _POLL_SECONDS)
        if not calls:
            time.sleep(wait)
            return
        ray.wait(list(calls), num_returns=1, timeout=wait)
        for call in ray.wait(list(calls), num_returns=len(calls), timeout=0)[0]:
            self._take_answer(calls[call], call)

    def _take_answer(self, actor: ActorSlot, call: Any) -> None:
        try:
            answer = ray.get(call)
        except ActorUnavailableError:  # it may be alive: retry until Ray has decided
            actor.call_next(actor.request, actor.on_answer, _RETRY_SECONDS)
        except RayActorError as error:
            self._replace_actor(actor, error)
        except RayTaskError as error:
            node = f"The node {actor.node.host}" if actor.node else "A node of the Ray cluster"
            raise BackendError(f"{node} cannot run trials: {error.cause}") from error
        else:
            actor.on_answer(answer)

    def _take_batch(self, actor: ActorSlot, batch: MessageBatch) -> None:
        new = batch.count - actor.received
        actor.received = batch.count
        for message in batch.messages[len(batch.messages) - new :]:
            self._take_message(actor, message)
        self._poll_actor(actor)

    def _take_message(self, actor: ActorSlot, message: WorkerMessage | TrialFolder) -> None:
        assert actor.job is not None, "messages come from a worker"
        assert actor.node is not None, "a worker runs on a node"
        home = Path(actor.job.folder)
        if isinstance(message, TrialFolder):
            transfer.unpack_over(message.archive, home)
            return
        if isinstance(message, WorkerEvent) and not actor.node.shares_runs:
            transfer.append_events(home / "events.jsonl", [message.event])
        if isinstance(message, WorkerExit):
            actor.job = None
        self._messages.append(message)

    # Failures.

    def _replace_actor(self, actor: ActorSlot, error: RayActorError) -> None:
        """End the attempt of an actor that was lost, and request another actor for its slot."""
        _LOGGER.error("Lost the Ray actor of slot %s: %s", actor.slot.name, error)
        if actor.job is not None:
            place = "node" if "node has died" in str(error) else "Ray actor"
            host = actor.node.host if actor.node else ""
            cause = f"its {place} ({host}) was lost"
            self._messages.append(WorkerExit(actor.job.trial_uid, actor.job.attempt, cause))
        self._failed_starts += not actor.is_ready
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise BackendError(f"Slots cannot be started on the Ray cluster: {error}") from error
        self._actors[self._actors.index(actor)] = self._new_actor(actor.slot)

    def _check_room(self) -> None:
        if any(actor.is_ready for actor in self._actors):
            self._last_ready = time.monotonic()
        elif time.monotonic() - self._last_ready >= self._room_seconds and self._actors:
            slot = self._actors[0].slot
            total = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray's is untyped
            gpu = "" if slot.device == CPU else f" and {self._gpu_share:g} GPU"
            raise BackendError(
                f"The Ray cluster had no room for a slot of {slot.threads} CPU{gpu} for "
                f"{self._room_seconds:g} seconds. It has {total.get('CPU', 0):g} CPU and "
                f"{total.get('GPU', 0):g} GPU in all, some of which others may be using."
            )
