"""The worker's side of its line to the orchestrator, and the choice of the trainer."""

import json
import os
import socket
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from trytable.trainers.entrypoints import simulated
from trytable.trainers.finetune import memory
from trytable.trainers.protocol.messages import (
    Event,
    Failed,
    FailureKind,
    FinetuneSettings,
    Job,
    Refused,
    SimulatedSettings,
    StopReason,
)

if TYPE_CHECKING:
    from trytable.trainers.models.backbone import LoadedModel

ORCHESTRATOR_GONE = 75
"""Exit code of a worker whose orchestrator has gone (sysexits.h: EX_TEMPFAIL)."""

ALIVE_SECONDS = 5.0
"""A worker that has nothing to say for so long says between two batches that it lives."""


class SocketLine:
    """A Line over a stream socket; every event goes to the trial's events.jsonl first."""

    def __init__(self, job: Job, connection: socket.socket) -> None:
        self._connection = connection
        self._events = (Path(job.folder) / "events.jsonl").open("ab+")
        _end_last_line(self._events)
        self._said_at = time.monotonic()
        self._heard = b""
        self._reason: StopReason | None = None

    def say(self, event: Event) -> None:
        """Write the event down, then send it. Ends the process where nobody listens any more."""
        line = event.model_dump_json().encode() + b"\n"
        self._events.write(line)
        self._events.flush()
        self._send(line)

    def stop_reason(self) -> StopReason | None:
        """Look, without waiting, whether a stop has come."""
        if time.monotonic() - self._said_at >= ALIVE_SECONDS:
            self._send(b"\n")
        try:
            heard = self._connection.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._reason
        except OSError:
            heard = b""
        if not heard:
            os._exit(ORCHESTRATOR_GONE)
        *lines, self._heard = (self._heard + heard).split(b"\n")
        for line in lines:
            self._reason = json.loads(line)["stop"]
        return self._reason

    def close(self) -> None:
        """Close the file; the socket is whose it was before."""
        self._events.close()

    def _send(self, line: bytes) -> None:
        self._said_at = time.monotonic()
        try:
            self._connection.sendall(line)
        except OSError:
            os._exit(ORCHESTRATOR_GONE)


def _end_last_line(file: BinaryIO) -> None:
    """Part what comes from a line that a killed attempt did not finish."""
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def run(job: Job, connection: socket.socket, loaded: "LoadedModel | None") -> None:
    """Train, and say `failed` with its kind where that raises."""
    line = SocketLine(job, connection)
    try:
        _train(job, line, loaded)
    except Exception as error:
        line.say(_failed(job, error))
    finally:
        line.close()


def _train(job: Job, line: SocketLine, loaded: "LoadedModel | None") -> None:
    if isinstance(job.settings, FinetuneSettings):
        # Here, not at the top: a scripted worker needs no torch.
        from trytable.trainers.finetune import trainer  # noqa: PLC0415 - see above
        from trytable.trainers.models import backbone  # noqa: PLC0415 - see above

        trainer.train(job, job.settings, line, loaded or backbone.load_model(job.model))
    elif isinstance(job.settings, SimulatedSettings):
        simulated.train(job, job.settings, line)
    else:
        from trytable.trainers.script import trainer as script  # noqa: PLC0415 - what scripts need, no other worker imports

        script.train(job, job.settings, line)


def _failed(job: Job, error: Exception) -> Failed:
    crowded = job.shared_device and memory.is_device_oom(error)
    return Failed(
        attempt=job.attempt,
        kind="oom" if crowded else _kind(error),
        shared_device=crowded,
        message=str(error) or type(error).__name__,
        traceback=traceback.format_exc(),
    )


def _kind(error: Exception) -> FailureKind:
    """The kind of a failure, by the exception's name, so that torch need not be imported."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, Refused):
        return "user"
    if "OutOfMemoryError" in names:
        return "oom"
    known: dict[str, FailureKind] = {"NonFinite": "non_finite", "Mismatch": "mismatch"}
    return next((kind for name, kind in known.items() if name in names), "error")
