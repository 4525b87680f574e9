"""Workers as processes of this machine, forked from one warm parent (`entrypoints.forkserver`)."""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from trytable.files import write_atomic
from trytable.orchestrator.backends.base import (
    Backend,
    BackendError,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.trainers.protocol.messages import Job, StopReason, parse_event

_FORK_SERVER = "trytable.trainers.entrypoints.forkserver"

MAX_LINE_BYTES = 64 * 2**20
"""A worker that says a longer line is out of its mind and is killed."""

MAX_FALSE_STARTS = 3
"""A warm parent that is killed so many times before it is ready is not started again."""

_RECEIVE_BYTES = 1 << 18
_PACKET_BYTES = 65536


@dataclass
class _Worker:
    job: Job
    slot: Slot
    connection: socket.socket
    heard: bytearray = field(default_factory=bytearray)
    kill_at: float | None = None
    asked_to_stop: bool = False
    heard_at: float = field(default_factory=time.monotonic)
    hung: bool = False

    @property
    def key(self) -> str:
        return f"{self.job.trial_uid}/{self.job.attempt}"


class LocalBackend(Backend):
    """Forks workers on this machine.

    Args:
        slots: where workers may run.
        trainer: `finetune` has the warm parent load the model; any other needs no torch.
        model: the model that the warm parent reads once.
        log: the file that takes what the warm parent prints.
        grace_seconds: from a stop asked for to the kill.
        silence_seconds: a worker that says nothing for so long is killed; between batches it says
            at least that it lives.

    Must be made in the main thread: the kernel ties the parent's life to the thread's.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        trainer: str,
        model: str,
        log: Path,
        *,
        grace_seconds: float = 30.0,
        silence_seconds: float = 1800.0,
    ) -> None:
        self._slots = tuple(slots)
        self._arguments = (trainer, model)
        self._log = log
        self._grace_seconds = grace_seconds
        self._silence_seconds = silence_seconds
        self._workers: dict[str, _Worker] = {}
        self._ended: list[WorkerMessage] = []
        self._selector = selectors.DefaultSelector()
        self._ready = False
        self._false_starts = 0
        self._closed = False
        self._warm_up()

    def free_slots(self) -> tuple[Slot, ...]:
        taken = {worker.slot.name for worker in self._workers.values()}
        return tuple(slot for slot in self._slots if slot.name not in taken)

    def start(self, job: Job, slot: Slot) -> None:
        if slot not in self.free_slots():
            raise ValueError(f"slot {slot.name} is not free")
        if any(worker.job.trial_uid == job.trial_uid for worker in self._workers.values()):
            raise ValueError(f"trial {job.number} already has a worker")
        path = Path(job.folder) / "job.json"
        # Atomic, because it says whose the folder is: a kill must not leave half of it.
        write_atomic(path, job.model_dump_json(indent=2).encode())
        ours, theirs = socket.socketpair()
        worker = _Worker(job, slot, ours)
        self._workers[worker.key] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        request = json.dumps({"start": worker.key, "job": str(path)}).encode()
        try:
            socket.send_fds(self._control, [request], [theirs.fileno()])
        except OSError:
            self._end(worker, "the warm parent had gone")
        finally:
            theirs.close()

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        messages, self._ended = self._ended, []
        deadlines = [w.kill_at for w in self._workers.values() if w.kill_at is not None]
        wait = min([timeout_seconds, *(at - time.monotonic() for at in deadlines)])
        for key, _ in self._selector.select(0 if messages else max(wait, 0)):
            if key.fileobj is self._control:
                messages.extend(self._hear_warm_parent())
            elif key.data.key in self._workers:
                messages.extend(self._hear(key.data))
        self._kill_overdue()
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        for worker in self._workers.values():
            if worker.job.trial_uid == trial_uid and not worker.asked_to_stop:
                worker.asked_to_stop = True
                worker.kill_at = time.monotonic() + self._grace_seconds
                self._tell(worker, reason)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._control.close()  # the warm parent kills its children and goes
        try:
            if not self._ready:
                self._process.kill()  # still loading: it has no children and would not look
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for worker in self._workers.values():
            worker.connection.close()
        self._workers.clear()
        self._selector.close()

    def _warm_up(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        trainer, model = self._arguments
        command = [sys.executable, "-P", "-m", _FORK_SERVER, str(theirs.fileno()), trainer, model]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*command, str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(trainer, model),
                process_group=0,
            )
        theirs.close()
        self._selector.register(self._control, selectors.EVENT_READ)

    def _hear_warm_parent(self) -> list[WorkerMessage]:
        packet = _receive(self._control, _PACKET_BYTES)
        if not packet:
            return self._warm_parent_gone()
        answer = json.loads(packet)
        if "refused" in answer:
            raise BackendError(answer["refused"])
        if "ready" in answer:
            self._ready = True
            return []
        worker = self._workers.get(answer["exited"])
        return self._drained(worker, answer["status"]) if worker else []

    def _warm_parent_gone(self) -> list[WorkerMessage]:
        """Its workers died with it: they have ended, and a new parent takes its place."""
        self._selector.unregister(self._control)
        self._control.close()
        code = self._process.wait()
        self._false_starts = 0 if self._ready else self._false_starts + 1
        # What ends by itself would do so again; one that was killed may have had bad luck.
        if self._false_starts and (code >= 0 or self._false_starts >= MAX_FALSE_STARTS):
            raise BackendError(f"workers cannot start ({_how(code)}); see {self._log}")
        self._ready = False
        for worker in tuple(self._workers.values()):
            self._end(worker, "the warm parent died")
        self._warm_up()
        messages, self._ended = self._ended, []
        return messages

    def _hear(self, worker: _Worker) -> list[WorkerMessage]:
        """Read what is there. An end of file says nothing yet: the warm parent tells how."""
        heard = _receive(worker.connection)
        if not heard:
            self._selector.unregister(worker.connection)
            return []
        worker.heard += heard
        worker.heard_at = time.monotonic()
        if b"\n" not in heard:
            if len(worker.heard) > MAX_LINE_BYTES:
                self._kill(worker)
            return []
        *lines, rest = worker.heard.split(b"\n")
        worker.heard = bytearray(rest)
        messages: list[WorkerMessage] = []
        for line in filter(None, lines):  # an empty one only says that the worker lives
            try:
                event = parse_event(bytes(line))
            except ValidationError:
                self._kill(worker)
                break
            messages.append(WorkerEvent(worker.job.trial_uid, worker.job.attempt, event))
        return messages

    def _drained(self, worker: _Worker, status: int) -> list[WorkerMessage]:
        """The worker has been reaped: take what it still said, then end it.

        A grandchild may hold the other end open, so this does not wait for the end of file.
        """
        messages: list[WorkerMessage] = []
        worker.connection.setblocking(False)
        while worker.connection in self._selector.get_map():
            try:
                messages.extend(self._hear(worker))
            except BlockingIOError:
                break
        silent = f"said nothing for {self._silence_seconds:g} seconds and was killed"
        self._end(worker, silent if worker.hung else _how(status))
        messages.extend(self._ended)
        self._ended = []
        return messages

    def _end(self, worker: _Worker, how: str) -> None:
        if worker.connection in self._selector.get_map():
            self._selector.unregister(worker.connection)
        worker.connection.close()
        del self._workers[worker.key]
        self._ended.append(WorkerExit(worker.job.trial_uid, worker.job.attempt, how))

    def _tell(self, worker: _Worker, reason: StopReason) -> None:
        with suppress(OSError):  # it is ending already; its end is on its way
            worker.connection.send(json.dumps({"stop": reason}).encode() + b"\n")

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.kill_at is not None and now >= worker.kill_at:
                self._kill(worker)
            if not worker.hung and now - worker.heard_at >= self._silence_seconds:
                worker.hung = True
                self._kill(worker)

    def _kill(self, worker: _Worker) -> None:
        """Have the warm parent kill it: only a parent knows that a pid is still its child's."""
        worker.kill_at = None
        with suppress(OSError):  # the warm parent has gone, and its workers with it
            self._control.send(json.dumps({"kill": worker.key}).encode())


def _receive(connection: socket.socket, most: int = _RECEIVE_BYTES) -> bytes:
    """What there is; nothing at the end, also where the other side died with words unread."""
    try:
        return connection.recv(most)
    except ConnectionError:
        return b""


def _environment(trainer: str, model: str) -> dict[str, str]:
    """One thread until a worker sets its own number; CUDA asked about without a context.
    A script gets the environment that Trytable was started in.

    A model that lies on this machine needs no hub, and a slow network should not be asked.
    """
    if trainer == "script":
        return dict(os.environ)
    offline = {"HF_HUB_OFFLINE": "1"} if model == "minilm" or Path(model).exists() else {}
    return {
        **os.environ,
        **offline,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }


def _how(code: int) -> str:
    """An exit code in words; negative is a signal."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
