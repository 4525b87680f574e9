"""An epoch of training with frozen layers: their output cached, against computed anew."""

import os
import shutil
from pathlib import Path

import torch

from benchmarks.measure import Result, median_ratio, seconds, spread
from benchmarks.work import Silent, prepared_job
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.protocol.messages import FinetuneSettings

REPEATS = 3


def run(folder: Path, freeze: str) -> Result:
    """Train an epoch both ways, in turn: the first, which fills the cache, and a later one."""
    (folder / "trial").mkdir(exist_ok=True)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    loaded = load_model("minilm")
    plain = _trainer(folder, loaded, freeze, cache_gb=0.0)
    firsts, laters = [], []
    for _ in range(REPEATS):
        for cache in (folder / "cache").glob("*/frozen-*/"):
            shutil.rmtree(cache)
        slow = seconds(plain._train_epoch)
        plain.progress.step_in_epoch = 0
        runs: list[TrainingRun] = []
        filling = seconds(lambda: runs.append(_trainer(folder, loaded, freeze, cache_gb=4.0)))  # noqa: B023 - called at once
        fast = seconds(runs[0]._train_epoch)
        firsts.append((slow, filling + fast))
        laters.append((slow, fast))
    later = median_ratio(laters)
    figures = (
        f"{spread([fast for _, fast in laters])} with cached states, "
        f"{spread([slow for slow, _ in laters])} without: {later:.2f} times faster; the first "
        f"epoch, which computes them, {median_ratio(firsts):.2f} times (minilm, freeze: {freeze})"
    )
    return Result(f"an epoch with freeze: {freeze}", figures, "faster than without", later > 1)


def _trainer(folder: Path, loaded: LoadedModel, freeze: str, cache_gb: float) -> TrainingRun:
    job = prepared_job(folder, "docstrings", freeze=freeze, epochs=1000, frozen_cache_gb=cache_gb)
    assert isinstance(job.settings, FinetuneSettings), "the settings are ours"
    return TrainingRun(job, job.settings, Silent(), loaded)
