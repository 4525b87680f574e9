"""kill -9 of a training worker: its memory is free at once, and its exit is reported."""

import os
import signal
import time
from collections.abc import Callable

import psutil

from benchmarks.gpu import trials
from benchmarks.gpu.card import MIB, seconds_until
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space
from trytable.orchestrator.backends.base import WorkerExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.trainers.protocol.messages import Started, Step

LIMIT_SECONDS = 2.0
TRAINED_STEPS = 3
"""After so many steps a worker holds all that it will: the optimizer's moments, too."""

_SLACK_BYTES = 64 * MIB
_START_SECONDS = 60.0


def run(space: Space, notes: Notes) -> None:
    """Kill a worker while it trains; the driver says when its memory is free."""
    job = trials.prepared_job(space, "bert", "killed", epochs=1000, log_every_steps=1)
    before = space.card.used_bytes() if space.card else 0
    backend = LocalBackend(trials.slots(space, 1), "finetune", job.model, space.folder / "kill.log")
    try:
        backend.start(job, trials.slots(space, 1)[0])
        pid = _wait_for_step(backend)
        held = (space.card.used_bytes() - before) if space.card else _resident_bytes(pid)
        notes.figure("held GiB", held / 2**30)
        notes.require(held > _SLACK_BYTES, "the worker held no memory")
        os.kill(pid, signal.SIGKILL)
        took = seconds_until(_is_free(space, before, pid), LIMIT_SECONDS * 5)
        notes.figure("seconds until free", took)
        notes.require(
            took is not None and took <= LIMIT_SECONDS, f"the memory was not free: {took} s"
        )
        cause = _wait_for_exit(backend)
        notes.figure("reported", cause)
        notes.require(cause == "killed by SIGKILL", f"the exit was reported as {cause}")
    finally:
        backend.close()
    if space.card is None:
        notes.skip("the card's memory", "a CPU has none; the worker's own memory was measured")


def _is_free(space: Space, before: int, pid: int) -> Callable[[], bool]:
    card = space.card
    if card is None:
        return lambda: not psutil.pid_exists(pid) or _resident_bytes(pid) == 0
    return lambda: card.used_bytes() <= before + _SLACK_BYTES


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _wait_for_step(backend: LocalBackend) -> int:
    """Return the worker's process id once it has taken some steps. Raises RuntimeError."""
    pid, deadline = 0, time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for message in backend.poll(0.2):
            if isinstance(message, WorkerExit):
                raise RuntimeError(f"the worker ended before it trained: {message.cause}")
            event = message.event
            if isinstance(event, Started):
                pid = event.pid
            if isinstance(event, Step) and event.step >= TRAINED_STEPS:
                return pid
    raise RuntimeError("the worker took no step in time")


def _wait_for_exit(backend: LocalBackend) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for message in backend.poll(0.2):
            if isinstance(message, WorkerExit):
                return message.cause
    return "nothing"
