"""The cost of observing a script's optimizer, for training steps of at least 5 ms.

The time inside the observer is measured separately from the steps around it, because on a busy
machine two runs differ by more than the observer costs. A block contains one measurement of the
gradient norm, like any 100 steps.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Result, median_ratio
from trytable.trainers.script.observer import GRADIENT_NORM_INTERVAL, TrainingObserver

REPEATS = 21
LEAST_STEP_SECONDS = 0.005
AIM = 1.01
_WIDTH = 512
_ROWS = 64


def run(folder: Path) -> Result:
    """Train a small network, observed and not, by turns."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(_WIDTH, 2 * _WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(2 * _WIDTH, _WIDTH)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rows = torch.randn(_rows_for(model, optimizer), _WIDTH)
    with (folder / "events").open("wb", buffering=0) as file:
        watch = _Timed(file)
        watch.torch_imported(torch)
        pairs = []
        for _ in range(REPEATS):
            watch.inside = 0.0
            whole = _seconds(model, optimizer, rows)
            pairs.append((whole, whole - watch.inside))
        watch.detach()
    ratio = median_ratio(pairs)
    step = min(plain for _, plain in pairs) / GRADIENT_NORM_INTERVAL
    figures = (
        f"{ratio - 1:+.2%} for steps of {step * 1000:.1f} ms, median of {REPEATS} blocks of "
        f"{GRADIENT_NORM_INTERVAL} steps"
    )
    return Result("observe", figures, "at most +1 %", ratio <= AIM)


class _Timed(TrainingObserver):
    """An observer that counts its own seconds."""

    inside = 0.0

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        began = time.perf_counter()
        super()._after_step(optimizer, args, kwargs)
        self.inside += time.perf_counter() - began


def _rows_for(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return a number of rows for which a step takes at least 5 ms on this machine."""
    rows = _ROWS
    while True:
        batch = torch.randn(rows, _WIDTH)
        _seconds(model, optimizer, batch, 3)
        took = min(_seconds(model, optimizer, batch, 1) for _ in range(5))
        if took >= LEAST_STEP_SECONDS:
            return rows
        rows *= 2


def _seconds(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: torch.Tensor,
    steps: int = GRADIENT_NORM_INTERVAL,
) -> float:
    """Return the seconds of some steps."""
    began = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        model(rows).square().mean().backward()
        optimizer.step()
    return time.perf_counter() - began
