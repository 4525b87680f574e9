"""The simulated trainer, `scripted` in a sweep file: sends a real trial's events without training.

It shows the orchestrator at work, and its crashes test what the orchestrator survives.
"""

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
    """The end of an attempt that crashes; `kind` is the `crash` knob's value."""

    kind: str


def events(
    job: Job, settings: SimulatedSettings, first_epoch: int = 1
) -> Iterator[AnyEvent | Crash]:
    """Yield the events of one attempt, from an epoch on, and its crash if it has one."""
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
    """Return the dev accuracy after an epoch: each halves the distance to `settings.value`."""
    return settings.value * (1 - 0.5**epoch)


def _crashes(job: Job, settings: SimulatedSettings, epoch: int) -> bool:
    is_due = settings.crash != "none" and epoch == settings.crash_at_epoch
    return is_due and job.attempt <= settings.crash_attempts


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
    dev_accuracy = accuracy(settings, epoch)
    return Epoch(
        attempt=job.attempt,
        epoch=epoch,
        step=epoch * STEPS_PER_EPOCH,
        **vars(
            EpochMetrics(
                value=_objective_value(job, settings, epoch),
                train_loss=1 / epoch,
                running_accuracy=dev_accuracy,
                probe_accuracy=dev_accuracy,
                dev_loss=1 / epoch,
                dev_accuracy=dev_accuracy,
                dev_macro_f1=dev_accuracy,
                seconds=settings.epoch_seconds,
            )
        ),
    )


def _objective_value(job: Job, settings: SimulatedSettings, epoch: int) -> float:
    return 1 / epoch if job.objective.name == "dev_loss" else accuracy(settings, epoch)


def _finished(job: Job, settings: SimulatedSettings) -> Finished:
    epochs = range(1, settings.epochs + 1)
    best = job.objective.best(epochs, lambda epoch: _objective_value(job, settings, epoch))
    return Finished(
        attempt=job.attempt,
        best_epoch=best,
        best_value=_objective_value(job, settings, best),
        best_dev_accuracy=accuracy(settings, best),
        test_accuracy=None,
        dev_predictions=(),
        test_predictions=(),
    )


def train(job: Job, settings: SimulatedSettings, line: Line) -> None:
    """Send the events in real time. A drained attempt stores its epoch for the next attempt."""
    checkpoint = Path(job.folder) / "checkpoints" / "epoch.txt"
    first_epoch = int(checkpoint.read_text()) if checkpoint.exists() else 1
    for event in events(job, settings, first_epoch):
        if isinstance(event, Crash):
            _crash(event.kind, job, line)
            return
        if isinstance(event, Step) and _is_stopped_within_epoch(settings, line):
            if line.stop_reason() == "drain":
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text(str(event.epoch))
                line.send(Checkpoint(attempt=job.attempt, step=event.step, epoch=event.epoch))
            return
        line.send(event)


def _is_stopped_within_epoch(settings: SimulatedSettings, line: Line) -> bool:
    epoch_ends_at = time.monotonic() + settings.epoch_seconds
    while line.stop_reason() is None:
        remaining = epoch_ends_at - time.monotonic()
        if remaining <= 0:
            return False
        time.sleep(min(remaining, 0.01))
    return True


def _crash(kind: str, job: Job, line: Line) -> None:
    match kind:
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "user":
            line.send(Failed(attempt=job.attempt, kind="user", message="a value of no use"))
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(60)
        case "flood":
            endless = "x" * 2**22
            line.send(Finding(attempt=job.attempt, kind="flood", severity="info", message=endless))
        case "garbage":
            print("neither JSON nor an event", flush=True)  # noqa: T201 - what this crash does
        case _:
            raise RuntimeError("crash: error")
