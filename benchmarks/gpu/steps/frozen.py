"""An epoch with frozen layers: their states cached, against computed in every epoch."""

import math
import time
from typing import Any

from benchmarks.gpu import trials
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space

CACHE_GB = 8.0
CLOSE = 0.02
"""Relative difference of the epoch's mean loss that bf16 may cause."""


def run(space: Space, notes: Notes) -> None:
    """Train an epoch with nothing frozen, and with half and full each way."""
    from trytable.trainers.models.backbone import load_model  # noqa: PLC0415 - imports torch

    loaded = load_model(str(space.model("bert")))
    seconds, _, _ = _epoch(space, loaded, "none", 0.0)
    notes.figure("none frozen, s an epoch", seconds)
    for freeze in ("half", "full"):
        plain, plain_loss, _ = _epoch(space, loaded, freeze, 0.0)
        cached, loss, filling = _epoch(space, loaded, freeze, CACHE_GB)
        notes.figure(f"{freeze} frozen, s an epoch", plain)
        notes.figure(f"{freeze} with cached states, s an epoch", cached)
        notes.figure(f"{freeze}: s to fill the cache and build", filling)
        same = math.isclose(loss, plain_loss, rel_tol=CLOSE)
        notes.require(same, f"{freeze}: the loss is {loss}, without cached states {plain_loss}")
        if space.card:  # in little, an epoch takes no time
            notes.require(cached < plain, f"{freeze}: cached states made no epoch faster")


def _epoch(space: Space, loaded: Any, freeze: str, cache_gb: float) -> tuple[float, float, float]:
    """Return the seconds of a training epoch, its mean loss, and the seconds of the building."""
    job = trials.prepared_job(
        space, "bert", f"frozen-{freeze}-{cache_gb:g}", epochs=1000, freeze=freeze,
        frozen_cache_gb=cache_gb,
    )  # fmt: skip
    began = time.perf_counter()
    training = trials.training_run(space, job, loaded)
    built = time.perf_counter()
    if cache_gb and training.splits["train"].states is None:
        raise RuntimeError(f"freeze: {freeze} did not cache any states")
    training._train_epoch()
    _synchronize(space)
    ended = time.perf_counter()
    progress = training.progress
    return ended - built, progress.loss_sum / progress.seen, built - began


def _synchronize(space: Space) -> None:
    if space.card:
        import torch  # noqa: PLC0415 - imports CUDA

        torch.cuda.synchronize()
