"""The optimizer and its learning rate."""

import math
from typing import Any

import torch

from trainers.classifier import Classifier
from trainers.protocol import FinetuneSettings

ADAM_EPSILON = 1e-8
ADAM_BETAS = (0.9, 0.999)
"""Loshchilov and Hutter 2019, as fine-tuning has it by custom."""


def make_optimizer(model: Classifier, settings: FinetuneSettings, fused: bool) -> torch.optim.AdamW:
    """AdamW over what is trained; biases and norms (vectors) are not decayed.

    Every group's `peak_lr` is what the schedule scales.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": settings.weight_decay, "name": "matrices"},
        {"params": vectors, "weight_decay": 0.0, "name": "biases_and_norms"},
    ]
    for group in groups:
        group["peak_lr"] = settings.lr
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=fused
    )


def lr_share(step: int, steps_total: int, settings: FinetuneSettings) -> float:
    """Share of the peak learning rate at a step, counted from 0: a pure function of the step.

    Warm-up rises linearly and reaches the peak at its last step. Then constant, linear to 0, or
    half a cosine to 0 (Loshchilov and Hutter 2017, equation 5, without restarts).
    """
    warmup = round(steps_total * settings.warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    left = (steps_total - step) / (steps_total - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return left if settings.schedule == "linear" else 1.0
