"""What a CUDA context takes, against the product's assumption, and what determinism costs."""

import os
import time
from typing import Any

from benchmarks.gpu import trials
from benchmarks.gpu.card import MIB
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space
from trytable.trainers.finetune.memory import CONTEXT_BYTES, process_memory

STEPS = 20
COSTLY = 1.3


def run(space: Space, notes: Notes) -> None:
    """Train some steps in this process, and subtract what torch reserves from what is used."""
    import torch  # noqa: PLC0415 - so that the memory before is measured without it

    from trytable.trainers.models.backbone import load_model  # noqa: PLC0415 - see above

    assert space.card is not None, "a step for cards"
    before = space.card.used_bytes()
    job = trials.prepared_job(space, "bert", "context", epochs=1000)
    training = trials.training_run(space, job, load_model(job.model))
    seconds_per_step(training, STEPS)
    context = space.card.used_bytes() - before - torch.cuda.memory_reserved()
    notes.figure("context MiB", context / MIB)
    notes.figure("assumed MiB", CONTEXT_BYTES / MIB)
    notes.require(0 < context <= CONTEXT_BYTES, "a context takes more than Trytable assumes")
    figure = process_memory(os.getpid(), space.device)
    notes.figure("the driver's MiB for this process", figure / MIB if figure else "none")
    _note_cost(training, notes)


def _note_cost(training: Any, notes: Notes) -> None:
    import torch  # noqa: PLC0415 - see above

    with_determinism = seconds_per_step(training, STEPS)
    torch.use_deterministic_algorithms(False)
    without = seconds_per_step(training, STEPS)
    notes.figure("ms a step", with_determinism * 1000)
    notes.figure("ms a step without deterministic kernels", without * 1000)
    cost = with_determinism / without
    notes.require(cost < COSTLY, f"deterministic kernels take {cost:.2f} times as long")


def seconds_per_step(training: Any, steps: int) -> float:
    """Return the mean of some steps of a TrainingRun on its first batches."""
    size = training.settings.batch_size
    batches = [list(range(i * size, (i + 1) * size)) for i in range(steps)]
    count = len(training.splits["train"]) // size
    training.model.train()
    began = time.perf_counter()
    for batch in batches:
        training._step([index % (count * size) for index in batch])
    return (time.perf_counter() - began) / steps
