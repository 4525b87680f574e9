"""A training epoch by length, against shuffled batches, each padded to its longest sentence."""

import os
import statistics
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Result, median_ratio, seconds, spread
from benchmarks.work import Silent, prepared_job
from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.tokens import Indices
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models.backbone import load_model
from trytable.trainers.protocol.messages import FinetuneSettings

REPEATS = 3
BATCH = 80
SAMPLED_BATCHES = 12
"""Train only this many batches of an epoch, evenly over their lengths: a whole epoch of a real data
set would take minutes, and its cost is the average cost of its batches."""


def run(folder: Path, data: str) -> Result:
    """Train the same sentences both ways, in turn."""
    (folder / "trial").mkdir(exist_ok=True)
    job = prepared_job(folder, data, batch_size=BATCH, epochs=1000)
    settings = job.settings
    if not isinstance(settings, FinetuneSettings):
        raise TypeError(type(settings))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    trainer = TrainingRun(job, settings, Silent(), load_model("minilm"))
    split = trainer.splits["train"]
    pairs, padding = [], []
    for repeat in range(REPEATS):
        by_length = batches_by_length(split.lengths, BATCH, repeat)
        order = np.random.default_rng(repeat).permutation(len(split))
        shuffled = np.split(order, range(BATCH, len(order), BATCH))
        padding.append(_padding(split.lengths, by_length))
        pairs.append((_epoch_seconds(trainer, shuffled), _epoch_seconds(trainer, by_length)))
    ratio = median_ratio(pairs)
    figures = (
        f"{spread([fast for _, fast in pairs])} by length, {spread([slow for slow, _ in pairs])} "
        f"shuffled, for {len(split)} sentences at batch {BATCH} ({data}); padding "
        f"{statistics.median(padding):.1%}: {ratio:.2f} times faster"
    )
    return Result("one training epoch", figures, "at least 1.8 times on SST-5", ratio >= 1.8)  # noqa: PLR2004


def _epoch_seconds(trainer: TrainingRun, batches: list[Indices]) -> float:
    """Estimate the seconds of the whole epoch from a sample of its batches."""
    split = trainer.splits["train"]
    by_length = sorted(batches, key=lambda batch: int(split.lengths[batch].max()))
    size = min(SAMPLED_BATCHES, len(batches))
    sample = [by_length[int((i + 0.5) * len(batches) / size)] for i in range(size)]

    def train() -> None:
        trainer.model.train()
        for indices in sample:
            trainer._step(indices)

    return seconds(train) * len(batches) / size


def _padding(lengths: Indices, batches: list[Indices]) -> float:
    area = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - lengths.sum() / area)
