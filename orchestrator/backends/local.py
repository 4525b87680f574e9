"""Workers as processes of this machine, forked from a fork server.

A worker needs torch and a model, which take seconds to import and read. So one process, the fork
server (`trainers.entrypoints.forkserver`), does both once and forks every worker. What a fork
cannot inherit, the fork server must never do: after a forward pass with more than one thread every
forked worker hung in its first parallel region, and a CUDA context does not survive a fork.

Every worker has a socket of its own: events as JSON lines come out, requests to stop go in. Only
the fork server signals workers, since only a parent knows that a process id is still its child's:
for anybody else the id may already belong to another process. The kernel kills the fork server
with the orchestrator, and the workers with the fork server (PR_SET_PDEATHSIG).
"""

import json
import logging
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

_LOGGER = logging.getLogger(__name__)
_FORK_SERVER = "trytable.trainers.entrypoints.forkserver"

MAX_LINE_BYTES = 64 * 2**20
"""A worker that sends a longer line is broken and is killed."""

MAX_FAILED_STARTS = 3
"""A fork server that is killed this many times before it is ready is not started again."""

_RECEIVE_BYTES = 1 << 18
_PACKET_BYTES = 65536


@dataclass
class _Worker:
    job: Job
    slot: Slot
    connection: socket.socket
    buffer: bytearray = field(default_factory=bytearray)
    is_stopping: bool = False
    kill_at: float | None = None
    last_heard: float = field(default_factory=time.monotonic)
    is_silent: bool = False

    @property
    def key(self) -> str:
        return f"{self.job.trial_uid}/{self.job.attempt}"


class LocalBackend(Backend):
    """Forks workers on this machine. Must be made in the main thread.

    The kernel ties the life of the fork server to the thread that started it, so a thread that
    ended would take all workers with it.

    Args:
        slots: where workers may run.
        trainer: with `finetune` the fork server loads the model; the others need no torch.
        model: the model that the fork server reads once.
        log: the file for the output of the fork server.
        grace_seconds: kill a worker this long after it was asked to stop.
        silence_seconds: kill a worker that sends nothing for this long; a worker that has no
            event to send sends an empty line between batches.
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
        self._exits: list[WorkerMessage] = []
        self._selector = selectors.DefaultSelector()
        self._is_ready = False
        self._failed_starts = 0
        self._is_closed = False
        self._start_fork_server()

    def free_slots(self) -> tuple[Slot, ...]:
        occupied = {worker.slot.name for worker in self._workers.values()}
        return tuple(slot for slot in self._slots if slot.name not in occupied)

    def start(self, job: Job, slot: Slot) -> None:
        self.check_start(job, slot, {w.job.trial_uid for w in self._workers.values()})
        path = Path(job.folder) / "job.json"
        # Atomic, because job.json says whose the folder is: a kill must not leave half of it.
        write_atomic(path, job.model_dump_json(indent=2).encode())
        connection, worker_end = socket.socketpair()
        worker = _Worker(job, slot, connection)
        self._workers[worker.key] = worker
        self._selector.register(connection, selectors.EVENT_READ, worker)
        request = json.dumps({"start": worker.key, "job": str(path)}).encode()
        try:
            socket.send_fds(self._control, [request], [worker_end.fileno()])
        except OSError:
            self._remove(worker, "the fork server had died")
        finally:
            worker_end.close()

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        messages = self._take_exits()
        deadlines = [w.kill_at for w in self._workers.values() if w.kill_at is not None]
        wait = min([timeout_seconds, *(at - time.monotonic() for at in deadlines)])
        for key, _ in self._selector.select(0 if messages else max(wait, 0)):
            if key.fileobj is self._control:
                messages.extend(self._read_fork_server())
            elif key.data.key in self._workers:
                messages.extend(self._read(key.data))
        self._kill_overdue()
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        for worker in self._workers.values():
            if worker.job.trial_uid == trial_uid and not worker.is_stopping:
                worker.is_stopping = True
                worker.kill_at = time.monotonic() + self._grace_seconds
                with suppress(OSError):  # it is exiting already, and its exit will be reported
                    worker.connection.send(json.dumps({"stop": reason}).encode() + b"\n")

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._control.close()  # the fork server then kills its workers and exits
        try:
            if not self._is_ready:
                self._process.kill()  # it has no workers, and does not read the socket yet
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for worker in self._workers.values():
            worker.connection.close()
        self._workers.clear()
        self._selector.close()

    def _start_fork_server(self) -> None:
        self._control, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        arguments = [str(server_end.fileno()), *self._arguments, str(os.getpid())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", _FORK_SERVER, *arguments],
                pass_fds=[server_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(*self._arguments),
                process_group=0,
            )
        server_end.close()
        _LOGGER.info("Started fork server %d; its output: %s", self._process.pid, self._log)
        self._selector.register(self._control, selectors.EVENT_READ)

    def _read_fork_server(self) -> list[WorkerMessage]:
        packet = _receive(self._control, _PACKET_BYTES)
        if not packet:
            return self._replace_fork_server()
        answer = json.loads(packet)
        if "refused" in answer:
            raise BackendError(answer["refused"])
        if "ready" in answer:
            self._is_ready = True
            _LOGGER.info("Fork server %d is ready", self._process.pid)
            return []
        worker = self._workers.get(answer["exited"])
        return self._finish(worker, answer["status"]) if worker else []

    def _replace_fork_server(self) -> list[WorkerMessage]:
        """Start a new fork server; the workers died with the old one."""
        self._selector.unregister(self._control)
        self._control.close()
        code = self._process.wait()
        worker_count = len(self._workers)
        _LOGGER.error(
            "Fork server %d died (%s) with %d workers",
            self._process.pid,
            _exit_cause(code),
            worker_count,
        )
        self._failed_starts = 0 if self._is_ready else self._failed_starts + 1
        # A fork server that exits by itself would do so again. One that was killed, by the kernel
        # for want of memory for example, may start the next time.
        if self._failed_starts and (code >= 0 or self._failed_starts >= MAX_FAILED_STARTS):
            raise BackendError(f"workers cannot start ({_exit_cause(code)}); see {self._log}")
        self._is_ready = False
        for worker in tuple(self._workers.values()):
            self._remove(worker, "the fork server died")
        self._start_fork_server()
        return self._take_exits()

    def _read(self, worker: _Worker) -> list[WorkerMessage]:
        """Read what has arrived. End of file is no exit yet: the fork server reports its status."""
        data = _receive(worker.connection)
        if not data:
            self._selector.unregister(worker.connection)
            return []
        worker.buffer += data
        worker.last_heard = time.monotonic()
        if b"\n" not in data:
            if len(worker.buffer) > MAX_LINE_BYTES:
                self._kill(worker, f"it sent a line of more than {MAX_LINE_BYTES} bytes")
            return []
        *lines, rest = worker.buffer.split(b"\n")
        worker.buffer = bytearray(rest)
        messages: list[WorkerMessage] = []
        for line in filter(None, lines):  # an empty line only shows that the worker is alive
            try:
                event = parse_event(bytes(line))
            except ValidationError:
                self._kill(worker, "it sent a line that is no event")
                break
            messages.append(WorkerEvent(worker.job.trial_uid, worker.job.attempt, event))
        return messages

    def _finish(self, worker: _Worker, status: int) -> list[WorkerMessage]:
        """Read the last events of a worker that has been reaped, then report its exit.

        Does not wait for the end of file, since a grandchild may hold the other end open.
        """
        messages: list[WorkerMessage] = []
        worker.connection.setblocking(False)
        while worker.connection in self._selector.get_map():
            try:
                messages.extend(self._read(worker))
            except BlockingIOError:
                break
        silence = f"killed after {self._silence_seconds:g} seconds without a message"
        self._remove(worker, silence if worker.is_silent else _exit_cause(status))
        return messages + self._take_exits()

    def _remove(self, worker: _Worker, cause: str) -> None:
        if worker.connection in self._selector.get_map():
            self._selector.unregister(worker.connection)
        worker.connection.close()
        del self._workers[worker.key]
        self._exits.append(WorkerExit(worker.job.trial_uid, worker.job.attempt, cause))

    def _take_exits(self) -> list[WorkerMessage]:
        exits, self._exits = self._exits, []
        return exits

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.kill_at is not None and now >= worker.kill_at:
                self._kill(worker, "it did not stop in time")
            if not worker.is_silent and now - worker.last_heard >= self._silence_seconds:
                worker.is_silent = True
                self._kill(worker, f"it sent nothing for {self._silence_seconds:g} s")

    def _kill(self, worker: _Worker, cause: str) -> None:
        """Have the fork server kill a worker (see the top of this module)."""
        _LOGGER.warning("Killing the worker of try %d: %s", worker.job.number + 1, cause)
        worker.kill_at = None
        with suppress(OSError):  # the fork server has died, and its workers with it
            self._control.send(json.dumps({"kill": worker.key}).encode())


def _receive(connection: socket.socket, limit: int = _RECEIVE_BYTES) -> bytes:
    """Receive what has arrived; empty at the end of file.

    A peer that dies with unread data resets the connection, which is an end of file, too.
    """
    try:
        return connection.recv(limit)
    except ConnectionError:
        return b""


def _environment(trainer: str, model: str) -> dict[str, str]:
    """Return the environment of the fork server; a script gets the orchestrator's unchanged.

    One thread, since a child that is forked after a parallel region hangs; a worker sets its own
    number. torch asks NVML whether there is a GPU, since asking CUDA would make a context. A model
    on this machine needs no hub, and a slow network should not delay the start.
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


def _exit_cause(code: int) -> str:
    """Return an exit code in words; a negative one is a signal."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
