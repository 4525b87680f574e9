"""The optimizer: AdamW, in groups that have a learning rate and a weight decay of their own."""

from contextlib import suppress
from typing import Any

import torch

from trytable.trainers.models.backbone import embedding_modules, transformer_layers
from trytable.trainers.models.classifier import Classifier
from trytable.trainers.protocol.messages import FinetuneSettings, Refused

ADAM_EPSILON = 1e-8
ADAM_BETAS = (0.9, 0.999)
"""Loshchilov and Hutter 2019, as fine-tuning has it by custom."""

BACKBONE, HEAD, EMBEDDINGS = "backbone", "head", "embeddings"


def make_optimizer(model: Classifier, settings: FinetuneSettings, fused: bool) -> torch.optim.AdamW:
    """AdamW over what is trained; biases and norms (vectors) are not decayed.

    A group's name is `ROLE.matrices` or `ROLE.vectors`; its `peak_lr` is what the schedule scales.
    The first group is the backbone's uppermost, or the head's where nothing else is trained.
    """
    roles = parameter_blocks(model)
    if settings.layer_lr_decay == 1:
        roles = {name: HEAD if role == HEAD else BACKBONE for name, role in roles.items()}
    parameters = {name: p for name, p in model.named_parameters() if name in model.trained_names}
    groups: list[dict[str, Any]] = []
    for role, peak_lr in peak_learning_rates(model, settings).items():
        mine = [p for name, p in parameters.items() if roles[name] == role]
        for kind, decay in (("matrices", settings.weight_decay), ("vectors", 0.0)):
            grouped = [p for p in mine if (p.ndim > 1) == (kind == "matrices")]
            if grouped:
                name = f"{role}.{kind}"
                groups.append(
                    {"params": grouped, "weight_decay": decay, "name": name, "peak_lr": peak_lr}
                )
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=fused
    )


def peak_learning_rates(model: Classifier, settings: FinetuneSettings) -> dict[str, float]:
    """The peak learning rate of each role, uppermost first.

    With layer-wise decay d the uppermost layer has lr, each one below d times as much, and the
    embeddings d times the lowest layer's (Howard and Ruder 2018; Sun et al. 2019, equation 3).
    """
    own = settings.head_lr
    head = settings.lr * settings.head_lr_multiplier if own is None else own
    decay = settings.layer_lr_decay
    if decay == 1:
        return {BACKBONE: settings.lr, HEAD: head}
    depth = len(transformer_layers(model.backbone))
    layers = {_layer(k): settings.lr * decay ** (depth - 1 - k) for k in reversed(range(depth))}
    # What stands behind the layers, such as a last norm, is as high as the uppermost.
    return {BACKBONE: settings.lr, **layers, EMBEDDINGS: settings.lr * decay**depth, HEAD: head}


def parameter_blocks(model: Classifier) -> dict[str, str]:
    """The block of every parameter: `head`, `layer.K`, `embeddings`, or `backbone`.

    Embeddings come before the layers; `backbone` is what stands behind them, or all of a backbone
    that has no one list of layers (as where they share their weights).
    """
    backbone = model.backbone
    blocks: dict[int, str] = {}
    with suppress(Refused):
        layers = enumerate(transformer_layers(backbone))
        blocks = {id(p): _layer(k) for k, layer in layers for p in layer.parameters()}
        blocks |= {
            id(p): EMBEDDINGS for one in embedding_modules(backbone) for p in one.parameters()
        }
    return {
        name: blocks.get(id(p), BACKBONE) if name.startswith("backbone.") else HEAD
        for name, p in model.named_parameters()
    }


def _layer(index: int) -> str:
    return f"layer.{index}"


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give every group its share of its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share
