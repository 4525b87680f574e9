"""The scripted trainer: says what a real trial would say, without training."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trytable.records import EpochMetrics
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Checkpoint,
    Epoch,
    Failed,
    Finding,
    Finished,
    Job,
    Line,
    SimulatedSettings,
    Started,
    Step,
)

STEPS_PER_EPOCH = 10


@dataclass(frozen=True)
class Crash:
    """The attempt ends here, in the way named."""

    how: str


def events(
    job: Job, settings: SimulatedSettings, first_epoch: int = 1
) -> Iterator[AnyEvent | Crash]:
    """What one attempt says from an epoch on."""
    yield _started(job, settings, first_epoch)
    for epoch in range(first_epoch, settings.epochs + 1):
        if _crashes(job, settings, epoch):
            yield Crash(settings.crash)
            return
        yield Step(
            attempt=job.attempt,
            step=epoch * STEPS_PER_EPOCH,
            epoch=epoch,
            loss=1 / epoch,
            lr=1e-3,
            gradient_norm=1.0,
        )
        yield _epoch(job, settings, epoch)
    yield _finished(job, settings)


def accuracy(settings: SimulatedSettings, epoch: int) -> float:
    """Dev accuracy at the end of an epoch: it closes half of what is missing in each."""
    return settings.value * (1 - 0.5**epoch)


def _crashes(job: Job, settings: SimulatedSettings, epoch: int) -> bool:
    due = settings.crash != "none" and epoch == settings.crash_at_epoch
    return due and job.attempt <= settings.crash_attempts


def _started(job: Job, settings: SimulatedSettings, first_epoch: int) -> Started:
    return Started(
        attempt=job.attempt,
        effective={"value": settings.value, "epochs": settings.epochs},
        parameters=0,
        trainable_parameters=0,
        data_hash="",
        code_hash="",
        device=job.device,
        threads=job.threads,
        precision="none",
        steps_per_epoch=STEPS_PER_EPOCH,
        steps_total=STEPS_PER_EPOCH * settings.epochs,
        resumed_from_step=(first_epoch - 1) * STEPS_PER_EPOCH,
        pid=os.getpid(),
    )


def _epoch(job: Job, settings: SimulatedSettings, epoch: int) -> Epoch:
    reached = accuracy(settings, epoch)
    return Epoch(
        attempt=job.attempt,
        epoch=epoch,
        step=epoch * STEPS_PER_EPOCH,
        **vars(
            EpochMetrics(
                value=_measured(job, settings, epoch),
                train_loss=1 / epoch,
                running_accuracy=reached,
                probe_accuracy=reached,
                dev_loss=1 / epoch,
                dev_accuracy=reached,
                dev_macro_f1=reached,
                seconds=settings.epoch_seconds,
            )
        ),
    )


def _measured(job: Job, settings: SimulatedSettings, epoch: int) -> float:
    return 1 / epoch if job.objective.name == "dev_loss" else accuracy(settings, epoch)


def _finished(job: Job, settings: SimulatedSettings) -> Finished:
    epochs = range(1, settings.epochs + 1)
    best = job.objective.best(epochs, lambda epoch: _measured(job, settings, epoch))
    return Finished(
        attempt=job.attempt,
        best_epoch=best,
        best_value=_measured(job, settings, best),
        best_dev_accuracy=accuracy(settings, best),
        test_accuracy=None,
        dev_predictions=(),
        test_predictions=(),
    )


def train(job: Job, settings: SimulatedSettings, line: Line) -> None:
    """Play the script in real time; a drained attempt remembers its epoch for the next one."""
    memory = Path(job.folder) / "checkpoints" / "epoch.txt"
    first_epoch = int(memory.read_text()) if memory.exists() else 1
    for said in events(job, settings, first_epoch):
        if isinstance(said, Crash):
            _crash(said.how, job, line)
            return
        if isinstance(said, Step) and _stopped_while_waiting(settings, line):
            if line.stop_reason() == "drain":
                memory.parent.mkdir(parents=True, exist_ok=True)
                memory.write_text(str(said.epoch))
                line.say(Checkpoint(attempt=job.attempt, step=said.step, epoch=said.epoch))
            return
        line.say(said)


def _stopped_while_waiting(settings: SimulatedSettings, line: Line) -> bool:
    until = time.monotonic() + settings.epoch_seconds
    while line.stop_reason() is None:
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, 0.01))
    return True


def _crash(how: str, job: Job, line: Line) -> None:
    match how:
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "user":
            line.say(Failed(attempt=job.attempt, kind="user", message="a value of no use"))
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(60)
        case "flood":
            endless = "x" * 2**22
            line.say(Finding(attempt=job.attempt, kind="flood", severity="info", message=endless))
        case "garbage":
            print("neither JSON nor an event", flush=True)  # noqa: T201 - what it is for
        case _:
            raise RuntimeError("the script says: crash")
