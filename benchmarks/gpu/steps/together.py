"""Steps a second with 1, 2, 4 and 8 trials at once on the device, with and without MPS."""

import os
import time
from collections.abc import Sequence

from benchmarks.gpu import mps, trials
from benchmarks.gpu.card import Meter
from benchmarks.gpu.records import Notes, read_notes
from benchmarks.gpu.space import ON_CARD, Space
from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.trainers.protocol.messages import Job, Step

READY_STEPS = 5
_START_SECONDS = 60.0


def run(space: Space, notes: Notes) -> None:
    """Measure without MPS."""
    left_out = sorted(set(ON_CARD.together) - set(space.sizes.together))
    if left_out:
        notes.skip(f"{left_out} at once", "a CPU has too few cores")
    rates = _measure(space, notes)
    first = rates.get(1)
    if space.card and first:
        notes.require(max(rates.values()) > first, "more trials at once made no more steps")


def run_with_mps(space: Space, notes: Notes) -> None:
    """Measure under MPS, and compare with what the step `together` measured."""
    reason = mps.missing()
    if reason:
        notes.skip("MPS", reason)
        return
    try:
        os.environ.update(mps.start(space.folder))
        rates = _measure(space, notes)
    finally:
        mps.stop(space.folder)
    plain = read_notes(notes.path.with_name("together.json")).figures
    for count, rate in rates.items():
        other = plain.get(_label(count), {}).get("steps a second")
        if other:
            notes.figure(f"{count} at once, in multiples of without MPS", rate / other)


def _label(count: int) -> str:
    return f"{count} at once"


def _measure(space: Space, notes: Notes) -> dict[int, float]:
    """Return the steps a second of all trials together, by their number."""
    most = max(space.sizes.together)
    jobs = [
        trials.prepared_job(
            space, "bert", f"together-{i}", shared=True, epochs=1000, log_every_steps=1
        )
        for i in range(most)
    ]
    backend = LocalBackend(
        trials.slots(space, most), "finetune", jobs[0].model, space.folder / "together.log"
    )
    rates: dict[int, float] = {}
    try:
        for attempt, count in enumerate(space.sizes.together, 1):
            threads = trials.slots(space, count)[0].threads
            batch = [_for(job, attempt, threads) for job in jobs[:count]]
            with Meter(space.card) as meter:
                rates[count] = _rate(backend, batch, space.sizes.window_seconds)
            notes.figure(
                _label(count),
                {
                    "steps a second": rates[count],
                    "busy percent": meter.mean_busy,
                    "peak GiB": meter.peak_bytes / 2**30,
                },
            )
    finally:
        backend.close()
    return rates


def _for(job: Job, attempt: int, threads: int) -> Job:
    return job.model_copy(update={"attempt": attempt, "threads": threads})


def _rate(backend: LocalBackend, jobs: Sequence[Job], window: float) -> float:
    """Start the jobs, wait until all train, count their steps in a window, and stop them.

    Raises RuntimeError if one of them ends by itself or does not start in time.
    """
    free: list[Slot] = list(backend.free_slots())
    for job, slot in zip(jobs, free, strict=False):
        backend.start(job, slot)
    steps: dict[str, list[float]] = {job.trial_uid: [] for job in jobs}
    deadline = time.monotonic() + _START_SECONDS
    while min(map(len, steps.values())) < READY_STEPS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all trials train: {[len(s) for s in steps.values()]} steps")
        _collect(backend, steps)
    begins = time.time()
    while time.time() < begins + window:
        _collect(backend, steps)
    for job in jobs:
        backend.stop(job.trial_uid, "prune")
    ended = 0
    while ended < len(jobs):
        ended += sum(isinstance(message, WorkerExit) for message in backend.poll(0.2))
    counted = [at for times in steps.values() for at in times if begins <= at < begins + window]
    return len(counted) / window


def _collect(backend: LocalBackend, steps: dict[str, list[float]]) -> None:
    for message in backend.poll(0.05):
        if isinstance(message, WorkerExit):
            raise RuntimeError(f"a trial ended while it was measured: {message.cause}")
        if isinstance(message, WorkerEvent) and isinstance(message.event, Step):
            steps[message.trial_uid].append(message.event.at)
