"""The Ray actor of one slot, on its node: it holds a local backend with that slot.

An actor stays for the whole sweep. One for each trial would cost ten times as much, since its fork
server would import torch and read the model again for every trial.

Every method may be called twice with the same arguments and then does nothing the second time: if
a connection breaks, the orchestrator cannot know whether its call arrived.
"""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trytable.orchestrator.backends.base import CPU, Slot, WorkerEvent, WorkerExit, WorkerMessage
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.backends.ray import transfer
from trytable.orchestrator.backends.ray.plan import NodeInfo, Plan, inspect_node
from trytable.orchestrator.backends.ray.scratch import scratch_folder
from trytable.orchestrator.backends.slots import gpu_uuids
from trytable.trainers.protocol.messages import Checkpoint, Finding, Finished, Job, StopReason

_BATCH_SECONDS = 0.002
"""Messages that come within this time of each other are sent together."""

_COPY_TRIES = 3


@dataclass(frozen=True)
class TrialFolder:
    """The folder of an attempt that has ended, as an archive for the orchestrator's machine."""

    trial_uid: str
    attempt: int
    archive: bytes


@dataclass(frozen=True)
class MessageBatch:
    """The newest messages, and how many there have been in all.

    The count lets the orchestrator take every message once, even if an answer was lost.
    """

    count: int
    messages: tuple[WorkerMessage | TrialFolder, ...]


class WorkerActor:
    """One slot and the worker in it. All methods run in the process's main thread."""

    def __init__(self, slot: Slot, plan: Plan) -> None:
        self._slot, self._plan = slot, plan
        self._backend: LocalBackend | None = None
        self._scratch: Path | None = None
        self._job: Job | None = None
        self._count = 0
        self._unconfirmed: list[WorkerMessage | TrialFolder] = []
        self._store = transfer.CheckpointStore(plan.checkpoints) if plan.checkpoints else None

    def inspect(self) -> NodeInfo:
        """Return what this node is and which of the orchestrator's folders it shares."""
        self._node = inspect_node(self._plan, [CPU] if self._slot.device == CPU else gpu_uuids())
        return self._node

    def open(self, model: bytes | None) -> None:
        """Get ready for jobs; `model` is an archive of the model for a node without it."""
        if self._backend is not None:
            return
        plan, node = self._plan, self._node
        if node.shares_cwd:
            os.chdir(plan.cwd)  # the model's path may be relative to it
        log, model_name = plan.log, plan.model
        if not (node.shares_runs and node.has_model):
            self._scratch = scratch_folder(plan.session)
            log = log if node.shares_runs else self._scratch / log.name
        if self._scratch is not None and model is not None:
            transfer.unpack(model, self._scratch / "model")
            model_name = str(self._scratch / "model")
        self._slot = replace(self._slot, device=node.device)
        self._backend = LocalBackend(
            [self._slot],
            plan.trainer,
            model_name,
            log.with_name(f"{log.stem}.{self._slot.name}{log.suffix}"),
            grace_seconds=plan.grace_seconds,
            silence_seconds=plan.silence_seconds,
        )

    def start(self, job: Job, data: bytes | None, folder: bytes | None) -> None:
        """Start a worker; `data` and `folder` are archives for a node that shares no folders."""
        if self._job is not None and _key(self._job) == _key(job):
            return
        assert self._backend is not None, "a job starts after open()"
        self._job = job
        self._has_result = self._ends_for_good = False
        try:
            local_job = job if self._node.shares_runs else self._unpack_job(job, data, folder)
            self._backend.start(local_job, self._slot)
        except Exception as error:
            self._add(WorkerExit(job.trial_uid, job.attempt, f"could not be started: {error}"))

    def _unpack_job(self, job: Job, data: bytes | None, folder: bytes | None) -> Job:
        """Unpack what a job needs into the scratch folder, and return the job with paths there."""
        trial, cache = self._trial_folder(), self._scratch_folder() / "cache"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        if data is not None:
            transfer.unpack(data, cache / transfer.data_cache_name(job.data_hash))
        if folder is not None:
            transfer.unpack_over(folder, trial)
        newer = self._store.pull(job.trial_uid) if self._store else None
        if newer is not None:
            transfer.unpack_over(newer, trial / "checkpoints")
        return job.model_copy(update={"folder": str(trial), "cache_folder": str(cache)})

    def _scratch_folder(self) -> Path:
        assert self._scratch is not None, "a node that shares no folder has a scratch folder"
        return self._scratch

    def _trial_folder(self) -> Path:
        return self._scratch_folder() / f"trial-{self._slot.name}"

    def poll(self, timeout_seconds: float, received: int, stop: StopReason | None) -> MessageBatch:
        """Stop the worker if `stop` is given, and wait for messages up to the timeout.

        `received` counts the messages that have arrived so far. Raises BackendError.
        """
        assert self._backend is not None, "poll() comes after open()"
        if stop is not None and self._job is not None:
            self._ends_for_good = stop != "drain"
            self._backend.stop(self._job.trial_uid, stop)
        first = self._count - len(self._unconfirmed)
        del self._unconfirmed[: max(received - first, 0)]
        wait = 0.0 if self._unconfirmed else timeout_seconds
        until = time.monotonic() + timeout_seconds
        while messages := self._backend.poll(wait):
            for message in messages:
                self._take(message)
            wait = _BATCH_SECONDS
            if time.monotonic() > until:
                break
        return MessageBatch(self._count, tuple(self._unconfirmed))

    def close(self) -> None:
        """Kill the worker and delete the scratch folder."""
        if self._backend is not None:
            self._backend.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _take(self, message: WorkerMessage) -> None:
        if not self._node.shares_runs:
            self._save_files(message)
        self._add(message)

    def _save_files(self, message: WorkerMessage) -> None:
        """Send on the files of a trial that would be lost with this node."""
        if isinstance(message, WorkerEvent):
            self._has_result |= isinstance(message.event, Finished)
            if self._store and isinstance(message.event, Checkpoint):
                self._copy_checkpoints(self._store, message)
            return
        with suppress(OSError):  # the exit counts even if the folder cannot be read
            archive = transfer.pack(self._trial_folder(), exclude=transfer.LOCAL_FILES)
            self._add(TrialFolder(message.trial_uid, message.attempt, archive))
        if self._store and (self._has_result or self._ends_for_good):
            with suppress(Exception):  # a leftover in the store does no harm
                self._store.delete(message.trial_uid)

    def _copy_checkpoints(self, store: transfer.CheckpointStore, message: WorkerEvent) -> None:
        """Copy the checkpoints to the store. A failed copy is a finding, training goes on."""
        checkpoints = self._trial_folder() / "checkpoints"
        for tries_left in reversed(range(_COPY_TRIES)):
            try:
                store.push(message.trial_uid, transfer.pack_checkpoints(checkpoints))
                return
            except Exception as error:
                # The worker may have been replacing this checkpoint by the next one just now.
                problem = f"A checkpoint could not be copied to {store.url}: {error}"
            if tries_left:
                time.sleep(0.05)
        finding = Finding(
            attempt=message.attempt, kind="checkpoint_copy", severity="warning", message=problem
        )
        self._add(WorkerEvent(message.trial_uid, message.attempt, finding))

    def _add(self, message: WorkerMessage | TrialFolder) -> None:
        self._unconfirmed.append(message)
        self._count += 1


def _key(job: Job) -> tuple[str, int]:
    return job.trial_uid, job.attempt
