"""`python -m tests.trainers.walking FOLDER STRIDE`: a worker that trains a small real model and is
killed before each of its writes in turn (or every second, third ... one), then tried again.

Prints a JSON line a failpoint. A program of its own, since it forks: torch is imported once.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch

from tests.failpoints import Failpoints, Walked, forked
from tests.trainers.small import job_for, save_model
from trytable.trainers.entrypoints import worker
from trytable.trainers.finetune import trainer  # noqa: F401 - each child would import the first
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.protocol.messages import Job, parse_event

KNOBS: dict[str, Any] = {
    "epochs": 3,
    "dropout": 0.3,
    "dropout_scope": "all",
    "batch_size": 16,
    "checkpoint_seconds": 0,  # after every epoch
}
KEPT_AFTER_THE_END = ["best"]


class CountedSocket:
    """The worker's socket; what it sends is a write like any other."""

    def __init__(self, connection: socket.socket, pass_by: Callable[[str], None]) -> None:
        self._connection = connection
        self._pass_by = pass_by

    def sendall(self, line: bytes) -> None:
        self._pass_by("send")
        self._connection.sendall(line)
        self._pass_by("sent")

    def recv(self, size: int, flags: int) -> bytes:
        return self._connection.recv(size, flags)


def attempt(job: Job, loaded: LoadedModel, failpoints: Failpoints | None = None) -> None:
    """One attempt of a worker, in this process."""
    torch.set_num_threads(1)
    parent_end, worker_end = socket.socketpair()
    parent_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
    worker_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**22)  # nobody reads: all must fit
    connection: Any = worker_end
    if failpoints is not None:
        failpoints.install()
        connection = CountedSocket(worker_end, failpoints.pass_by)
    worker.run(job, connection, loaded)


def walk(folder: Path, stride: int) -> Iterator[Walked]:
    """Kill before one write after another, until an attempt ends by itself."""
    loaded = load_model(str(save_model(folder / "model")))
    whole = _job(folder / "whole", loaded)
    forked(lambda: attempt(whole, loaded))
    expected = _outcome(whole)
    for number in count(1, stride):
        job = _job(folder / str(number), loaded)
        log = folder / "failpoints.log"

        def killed(job: Job = job, number: int = number, log: Path = log) -> None:
            attempt(job, loaded, Failpoints(Path(job.folder), number, log))

        first = forked(killed)
        failpoint = log.read_text().splitlines()[-1]
        retry = job.model_copy(update={"attempt": 2})
        second = forked(lambda retry=retry: attempt(retry, loaded))  # type: ignore[misc] # it takes none
        yield Walked(number, failpoint, first, second, tuple(_problems(job, expected)))
        if first != -signal.SIGKILL:
            return


def _job(folder: Path, loaded: LoadedModel) -> Job:
    folder.mkdir()
    return job_for(folder, loaded.folder, **KNOBS)[0]


def _problems(job: Job, expected: dict[str, Any]) -> Iterator[str]:
    outcome = _outcome(job)
    for key, value in expected.items():
        if outcome.get(key) != value:
            yield f"{key}: {outcome.get(key)} instead of {value}"[:300]
    names = sorted(os.listdir(Path(job.folder) / "checkpoints"))  # noqa: PTH208 - names alone
    if names != KEPT_AFTER_THE_END:
        yield f"checkpoints: {names}"


def _outcome(job: Job) -> dict[str, Any]:
    """What was measured, by epoch, and the result; of what was said twice, the last."""
    outcome: dict[str, Any] = {}
    for line in (Path(job.folder) / "events.jsonl").read_bytes().splitlines():
        event = parse_event(line)
        if event.event == "epoch":
            outcome[f"epoch {event.epoch}"] = [event.train_loss, event.dev_loss, event.value]
        elif event.event == "finished":
            outcome["finished"] = event.model_dump(exclude={"attempt", "at"})
    return outcome


if __name__ == "__main__":
    for walked in walk(Path(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(asdict(walked)), flush=True)  # noqa: T201 - its answer
