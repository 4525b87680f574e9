"""One training epoch by length, against shuffled batches padded each to its longest sentence."""

import statistics
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Result, median_ratio, seconds, spread
from benchmarks.work import prepared_job
from trainers.backbone import load_model
from trainers.finetune import Run
from trainers.protocol import Event, FinetuneSettings, StopReason
from trainers.tokens import Indices, batches_by_length

REPEATS = 3
BATCH = 80
MOST_SENTENCES = 2000
"""An epoch of more would take minutes; the ratio is the same."""


class _Silent:
    def say(self, event: Event) -> None:
        pass

    def stop_reason(self) -> StopReason | None:
        return None


def run(folder: Path, data: str) -> Result:
    """Train the same sentences both ways, in turn."""
    (folder / "trial").mkdir(exist_ok=True)
    job = prepared_job(folder, data, batch_size=BATCH, epochs=1000)
    settings = job.settings
    if not isinstance(settings, FinetuneSettings):
        raise TypeError(type(settings))
    torch.set_num_threads(1)
    trainer = Run(job, settings, _Silent(), load_model("minilm"))
    split = trainer.splits["train"]
    kept = np.random.default_rng(0).permutation(len(split))[:MOST_SENTENCES]
    trainer.splits["train"] = split = split.take(np.sort(kept))
    pairs, padding = [], []
    for repeat in range(REPEATS):
        by_length = batches_by_length(split.lengths, BATCH, repeat)
        order = np.random.default_rng(repeat).permutation(len(split))
        shuffled = np.split(order, range(BATCH, len(order), BATCH))
        padding.append(_padding(split.lengths, by_length))
        fast = seconds(lambda: _train(trainer, by_length))  # noqa: B023
        pairs.append((seconds(lambda: _train(trainer, shuffled)), fast))  # noqa: B023
    ratio = median_ratio(pairs)
    figures = (
        f"{spread([fast for _, fast in pairs])} by length, {spread([slow for slow, _ in pairs])} "
        f"shuffled, for {len(split)} sentences at batch {BATCH} ({data}); padding "
        f"{statistics.median(padding):.1%}: {ratio:.2f} times faster"
    )
    return Result("one training epoch", figures, "at least 1.8 times on SST-5", ratio >= 1.8)  # noqa: PLR2004


def _train(trainer: Run, batches: list[Indices]) -> None:
    trainer.model.train()
    for indices in batches:
        trainer._step(trainer.splits["train"], indices)


def _padding(lengths: Indices, batches: list[Indices]) -> float:
    area = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - lengths.sum() / area)
