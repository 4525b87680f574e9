"""A real lack of memory: a ballast fills the card until too little is left for a trial.

The ballast is one plain allocation of another process, so the trial runs out as it would beside
any other program.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.gpu import trials
from benchmarks.gpu.card import Card
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space
from trytable.trainers.protocol.messages import AnyEvent, Step

ROOM_ALONE, ROOM_SHARED = 8 * 2**30, 11 * 2**30
"""Bytes that the ballast leaves free. BERT-base at 128 tokens in bf16 should need about 13 GiB for
256 sentences and 8 GiB for 128, so 256 do not fit into the first, and 128 fit once, not twice, into
the second; both hold if it is a third more or less."""

BATCH_ALONE, BATCH_SHARED = 256, 128

_BALLAST = """
import sys, torch
ballast = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device=sys.argv[2])
ballast[:1].sum().item()  # a context's own memory is taken now
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def ballast(card: Card | None, room_bytes: int) -> Iterator[None]:
    """Leave only so much of a card's memory free while a block runs; without a card do nothing.

    The process ends with its stdin, so it cannot outlive this one.
    """
    if card is None:
        yield
        return
    size = card.free_bytes() - room_bytes - 600 * 2**20  # its own context
    process = subprocess.Popen(
        [sys.executable, "-c", _BALLAST, str(max(size, 0)), card.torch_device],
        env=_environment(card),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None, "it is a pipe"
    assert process.stdout is not None, "it is a pipe"
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the ballast could not be allocated")
        yield
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def _environment(card: Card) -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": card.uuid}


def alone(space: Space, notes: Notes) -> None:
    """One trial whose batch does not fit."""
    batch = BATCH_ALONE if space.card else space.sizes.batch
    with ballast(space.card, ROOM_ALONE):
        _note_free(space, notes)
        study = trials.run_study(space, "oom-alone", {"lr": [1e-5]}, _baseline(batch, epochs=1))
    for problem in alone_problems(study.events(0), batch, study.trials[0].status):
        notes.require(False, problem)
    halved = trials.findings(study.events(0), "oom_retry")
    notes.figure("micro-batches", [finding.evidence["micro_batch"] for finding in halved])


def alone_problems(events: Sequence[AnyEvent], batch: int, status: str) -> list[str]:
    """Return what is wrong with a trial that ran out of memory alone."""
    problems = [] if status == "completed" else [f"the trial is {status}"]
    if not trials.findings(events, "oom_retry"):
        problems.append("memory did not run out, so nothing was shown")
    start = trials.started(events)
    effective = start.effective.get("batch_size") if start else None
    if effective != batch:
        problems.append(f"the batch is {effective}, not {batch}")
    steps = [event.step for event in events if isinstance(event, Step)]
    if start and steps and max(steps) != start.steps_total:
        problems.append(f"it took {max(steps)} of {start.steps_total} steps")
    return problems


def shared(space: Space, notes: Notes) -> None:
    """Trials of which two do not fit beside each other, but one does."""
    batch = BATCH_SHARED if space.card else space.sizes.batch
    with ballast(space.card, ROOM_SHARED):
        _note_free(space, notes)
        study = trials.run_study(
            space,
            "oom-shared",
            {"lr": [1e-5, 2e-5]},
            _baseline(batch, epochs=8),
            together=2,
        )
    for problem in shared_problems(study):
        notes.require(False, problem)
    notes.figure("said", [line for line in study.printed.splitlines() if "out of GPU" in line])
    notes.figure("attempts", len(study.ledger.attempts))


def shared_problems(study: trials.StudyRun) -> list[str]:
    """Return what is wrong with a study whose trials ran out of memory together."""
    problems = []
    if "ran out of GPU memory while 2 trials shared the GPU" not in study.printed:
        problems.append("memory did not run out while two trials shared the card")
    if not study.all_completed:
        problems.append(f"the trials are {[trial.status for trial in study.trials]}")
    if any(trial.failures for trial in study.trials):
        problems.append("a lack of shared memory counted as a failure")
    if "oom_retry" in study.finding_kinds:
        problems.append("a micro-batch was halved, though fewer trials could have shared")
    return problems


def _baseline(batch: int, epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "batch_size": batch, "log_every_steps": 1}


def _note_free(space: Space, notes: Notes) -> None:
    if space.card:
        notes.figure("free GiB beside the ballast", space.card.free_bytes() / 2**30)
