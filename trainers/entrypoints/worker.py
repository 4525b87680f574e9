"""A worker: runs one attempt with its trainer, and sends its events to the orchestrator."""

import json
import os
import socket
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from trytable.records import Refused
from trytable.trainers.entrypoints import simulated
from trytable.trainers.finetune import memory
from trytable.trainers.protocol.messages import (
    Event,
    Failed,
    FailureKind,
    FinetuneSettings,
    Job,
    SimulatedSettings,
    StopReason,
)

if TYPE_CHECKING:
    from trytable.trainers.models.backbone import LoadedModel

ORCHESTRATOR_GONE = 75
"""Exit code of a worker whose orchestrator has ended (EX_TEMPFAIL of sysexits.h)."""

HEARTBEAT_SECONDS = 5.0
"""After so long without an event a worker sends an empty line, between two batches.

The orchestrator kills a worker that stays silent, since one that hangs would hold its slot forever.
"""


class SocketChannel:
    """A Line over a stream socket. Every event is written to the trial's events.jsonl first.

    So no event is lost if the orchestrator ends: the next one reads what the ledger lacks.
    """

    def __init__(self, job: Job, connection: socket.socket) -> None:
        self._connection = connection
        self._events = (Path(job.folder) / "events.jsonl").open("ab+")
        _terminate_last_line(self._events)
        self._sent_at = time.monotonic()
        self._buffer = b""
        self._reason: StopReason | None = None

    def send(self, event: Event) -> None:
        """Write the event to the file, then send it. Exits if the orchestrator has ended."""
        line = event.model_dump_json().encode() + b"\n"
        self._events.write(line)
        self._events.flush()
        self._send(line)

    def stop_reason(self) -> StopReason | None:
        """Return why the attempt should stop, or None, without waiting."""
        if time.monotonic() - self._sent_at >= HEARTBEAT_SECONDS:
            self._send(b"\n")
        try:
            data = self._connection.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._reason
        except OSError:
            data = b""
        if not data:
            os._exit(ORCHESTRATOR_GONE)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._reason = json.loads(line)["stop"]
        return self._reason

    def close(self) -> None:
        """Close the file. The socket belongs to the caller."""
        self._events.close()

    def _send(self, line: bytes) -> None:
        self._sent_at = time.monotonic()
        try:
            self._connection.sendall(line)
        except OSError:
            os._exit(ORCHESTRATOR_GONE)


def _terminate_last_line(file: BinaryIO) -> None:
    """End a line that a killed attempt left unfinished, so that the next event has its own."""
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def run(job: Job, connection: socket.socket, loaded: "LoadedModel | None") -> None:
    """Run the job's trainer, and send `failed` if it raises."""
    line = SocketChannel(job, connection)
    try:
        _train(job, line, loaded)
    except Exception as error:
        line.send(_failed(job, error))
    finally:
        line.close()


def _train(job: Job, line: SocketChannel, loaded: "LoadedModel | None") -> None:
    if isinstance(job.settings, FinetuneSettings):
        # Not at the top of the module: a simulated worker needs no torch.
        from trytable.trainers.finetune import trainer  # noqa: PLC0415 - see above
        from trytable.trainers.models import backbone  # noqa: PLC0415 - see above

        trainer.train(job, job.settings, line, loaded or backbone.load_model(job.model))
    elif isinstance(job.settings, SimulatedSettings):
        simulated.train(job, job.settings, line)
    else:
        from trytable.trainers.script import trainer as script  # noqa: PLC0415 - only these workers need it

        script.train(job, job.settings, line)


def _failed(job: Job, error: Exception) -> Failed:
    lacked_shared_memory = job.shared_device and memory.is_device_oom(error)
    return Failed(
        attempt=job.attempt,
        kind="oom" if lacked_shared_memory else _kind(error),
        shared_device=lacked_shared_memory,
        message=str(error) or type(error).__name__,
        traceback=traceback.format_exc(),
    )


def _kind(error: Exception) -> FailureKind:
    """Return a failure's kind, by the names of the exception's classes: this needs no torch."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, Refused):
        return "user"
    if "OutOfMemoryError" in names:
        return "oom"
    kinds: dict[str, FailureKind] = {"NonFinite": "non_finite", "Mismatch": "mismatch"}
    return next((kind for name, kind in kinds.items() if name in names), "error")
