"""What a trial really trains with, read back from live objects; and with which code."""

import hashlib
import math
from pathlib import Path

import torch

from trainers.classifier import Classifier, dropouts_of
from trainers.optimizer import lr_share
from trainers.protocol import FinetuneSettings, Scalar
from trainers.tokens import Indices, batches_by_length


def effective(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    settings: FinetuneSettings,
    lengths: Indices,
) -> dict[str, Scalar]:
    """Parameters as the model, the optimizer, the schedule and the batches have them.

    `lengths`, shape (sentences,), are the training sentences' tokens.
    """
    steps = math.ceil(len(lengths) / settings.batch_size) * settings.epochs
    shares = [lr_share(step, steps, settings) for step in range(steps)]
    decays = {str(group["name"]): group["weight_decay"] for group in optimizer.param_groups}
    peak = max(group["peak_lr"] for group in optimizer.param_groups)
    of_backbone = dropouts_of(model.backbone)
    return {
        "lr.peak": max(shares) * peak,
        "lr.first": shares[0] * peak,
        "lr.last": shares[-1] * peak,
        "weight_decay.matrices": decays.get("matrices"),
        "weight_decay.biases_and_norms": decays.get("biases_and_norms"),
        "batch_size": max(map(len, batches_by_length(lengths, settings.batch_size, 0))),
        "dropout.head": model.dropout.p,
        "dropout.backbone_min": min(of_backbone, default=None),
        "dropout.backbone_max": max(of_backbone, default=None),
        "frozen_modules": len(model.frozen),
        "pooling": model.pooling,
        "classes": model.head.out_features,
        "longest_tokens": int(lengths.max()),
    }


def code_hash() -> str:
    """SHA-256 over this room's sources: what trained."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
