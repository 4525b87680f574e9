"""What stands on a Ray node for each slot: an actor's inside, around the local backend.

Every method may be called twice with the same arguments and then does nothing more: where a
connection broke, nobody knows whether the call arrived.
"""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit, WorkerMessage
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.backends.ray.plan import NodeInfo, Plan, inspect_node
from trytable.orchestrator.backends.ray.scratch import scratch_folder
from trytable.orchestrator.backends.ray.transfer import (
    LOCAL_FILES,
    CheckpointStore,
    data_cache_name,
    pack,
    pack_checkpoints,
    unpack,
    unpack_over,
)
from trytable.trainers.protocol.messages import Checkpoint, Finding, Finished, Job, StopReason

_BREATH_SECONDS = 0.002
"""Words that come within so short a time travel together."""

_TRIES = 3


@dataclass(frozen=True)
class TrialFolder:
    """The folder of an attempt that has ended, to be put in its place."""

    trial_uid: str
    attempt: int
    packed: bytes


@dataclass(frozen=True)
class MessageBatch:
    """Messages and how many there have been in all, so that none is lost or taken twice."""

    count: int
    messages: tuple[WorkerMessage | TrialFolder, ...]


class WorkerActor:
    """One slot, and the worker in it. All methods run in the process's main thread."""

    def __init__(self, slot: Slot, plan: Plan) -> None:
        self._slot, self._plan = slot, plan
        self._backend: LocalBackend | None = None
        self._scratch: Path | None = None
        self._job: Job | None = None
        self._count = 0
        self._unheard: list[WorkerMessage | TrialFolder] = []
        self._mirror = CheckpointStore(plan.checkpoints) if plan.checkpoints else None

    def look(self) -> NodeInfo:
        """Tell where this is, and what is seen of the orchestrator's folders."""
        self._place = inspect_node(self._plan, wants_gpu=self._slot.device != "cpu")
        return self._place

    def open(self, model: bytes | None) -> None:
        """Get ready for jobs; `model` is the model's folder where this node lacks it."""
        if self._backend is not None:
            return
        plan, place = self._plan, self._place
        if place.shares_cwd:
            os.chdir(plan.cwd)  # a model may be named from there
        log, reference = plan.log, plan.model
        if not (place.shares_runs and place.has_model):
            self._scratch = scratch_folder(plan.session)
            log = log if place.shares_runs else self._scratch / log.name
        if self._scratch is not None and model is not None:
            unpack(model, self._scratch / "model")
            reference = str(self._scratch / "model")
        self._slot = replace(self._slot, device=place.device)
        self._backend = LocalBackend(
            [self._slot],
            plan.trainer,
            reference,
            log.with_name(f"{log.stem}.{self._slot.name}{log.suffix}"),
            grace_seconds=plan.grace_seconds,
            silence_seconds=plan.silence_seconds,
        )

    def start(self, job: Job, data: bytes | None, folder: bytes | None) -> None:
        """Start a worker; `data` and `folder` are what a node without our folders needs."""
        if self._job is not None and _key(self._job) == _key(job):
            return
        assert self._backend is not None, "it is open before anything starts"
        self._job = job
        self._finished = self._asked_to_end = False
        try:
            here = job if self._place.shares_runs else self._settle_in(job, data, folder)
            self._backend.start(here, self._slot)
        except Exception as error:
            self._say(WorkerExit(job.trial_uid, job.attempt, f"it could not be started: {error}"))

    def _settle_in(self, job: Job, data: bytes | None, folder: bytes | None) -> Job:
        assert self._scratch is not None, "a node that shares no folder has one of its own"
        trial = self._scratch / f"trial-{self._slot.name}"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        if data is not None:
            unpack(data, self._scratch / "cache" / data_cache_name(job.data_hash))
        if folder is not None:
            unpack_over(folder, trial)
        newer = self._mirror.pull(job.trial_uid) if self._mirror else None
        if newer is not None:
            unpack_over(newer, trial / "checkpoints")
        return job.model_copy(
            update={"folder": str(trial), "cache_folder": str(self._scratch / "cache")}
        )

    def poll(self, timeout_seconds: float, heard: int, stop: StopReason | None) -> MessageBatch:
        """Stop the worker, where that is asked for, and wait for messages, at most so long.

        `heard` counts the messages that have arrived so far. Raises BackendError.
        """
        assert self._backend is not None, "it is open before anything starts"
        if stop is not None and self._job is not None:
            self._asked_to_end = stop != "drain"
            self._backend.stop(self._job.trial_uid, stop)
        first = self._count - len(self._unheard)
        del self._unheard[: max(heard - first, 0)]
        wait, until = 0.0 if self._unheard else timeout_seconds, time.monotonic() + timeout_seconds
        while messages := self._backend.poll(wait):
            for message in messages:
                self._take(message)
            wait = _BREATH_SECONDS
            if time.monotonic() > until:
                break
        return MessageBatch(self._count, tuple(self._unheard))

    def close(self) -> None:
        """Kill what still runs, and leave nothing behind."""
        if self._backend is not None:
            self._backend.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _take(self, message: WorkerMessage) -> None:
        if not self._place.shares_runs:
            self._carry(message)
        self._say(message)

    def _carry(self, message: WorkerMessage) -> None:
        """Send on what would be lost with this node."""
        assert self._scratch is not None, "a node that shares no folder has one of its own"
        trial = self._scratch / f"trial-{self._slot.name}"
        if isinstance(message, WorkerEvent):
            self._finished |= isinstance(message.event, Finished)
            if self._mirror and isinstance(message.event, Checkpoint):
                self._copy_checkpoints(self._mirror, message, trial / "checkpoints")
            return
        with suppress(OSError):  # without its folder an attempt has still ended
            packed = pack(trial, leave_out=LOCAL_FILES)
            self._say(TrialFolder(message.trial_uid, message.attempt, packed))
        if self._mirror and (self._finished or self._asked_to_end):
            with suppress(Exception):  # it is left over there, and nothing worse
                self._mirror.forget(message.trial_uid)

    def _copy_checkpoints(
        self, mirror: CheckpointStore, said: WorkerEvent, checkpoints: Path
    ) -> None:
        """A copy that does not succeed is no reason to stop training, but is not kept a secret."""
        for tries_left in reversed(range(_TRIES)):
            try:
                mirror.push(said.trial_uid, pack_checkpoints(checkpoints))
                return
            except Exception as error:
                # Perhaps the next checkpoint was just taking the place of this one.
                why = f"A checkpoint could not be copied to {mirror.url}: {error}"
            if tries_left:
                time.sleep(0.05)
        finding = Finding(
            attempt=said.attempt, kind="checkpoint_copy", severity="warning", message=why
        )
        self._say(WorkerEvent(said.trial_uid, said.attempt, finding))

    def _say(self, message: WorkerMessage | TrialFolder) -> None:
        self._unheard.append(message)
        self._count += 1


def _key(job: Job) -> tuple[str, int]:
    return job.trial_uid, job.attempt
