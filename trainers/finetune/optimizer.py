"""The optimizer: AdamW with parameter groups by learning rate and weight decay."""

from contextlib import suppress
from typing import Any

import torch

from trytable.records import Refused
from trytable.trainers.models.backbone import embedding_modules, transformer_layers
from trytable.trainers.models.classifier import Classifier
from trytable.trainers.protocol.messages import FinetuneSettings

ADAM_EPSILON = 1e-8
ADAM_BETAS = (0.9, 0.999)
"""The defaults of AdamW (Loshchilov and Hutter 2019), which fine-tuning customarily uses."""

BACKBONE, HEAD, EMBEDDINGS = "backbone", "head", "embeddings"


def make_optimizer(model: Classifier, settings: FinetuneSettings, fused: bool) -> torch.optim.AdamW:
    """Build AdamW over the trained parameters; biases and norms (vectors) have no weight decay.

    A group is called `ROLE.matrices` or `ROLE.vectors`, and the schedule scales its `peak_lr`. The
    first group is the uppermost of the backbone, or the head's if nothing else is trained.
    """
    roles = parameter_blocks(model)
    if settings.layer_lr_decay == 1:
        roles = {name: HEAD if role == HEAD else BACKBONE for name, role in roles.items()}
    parameters = {name: p for name, p in model.named_parameters() if name in model.trained_names}
    groups: list[dict[str, Any]] = []
    for role, peak_lr in peak_learning_rates(model, settings).items():
        members = [p for name, p in parameters.items() if roles[name] == role]
        for kind, decay in (("matrices", settings.weight_decay), ("vectors", 0.0)):
            grouped = [p for p in members if (p.ndim > 1) == (kind == "matrices")]
            if grouped:
                name = f"{role}.{kind}"
                groups.append(
                    {"params": grouped, "weight_decay": decay, "name": name, "peak_lr": peak_lr}
                )
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=fused
    )


def peak_learning_rates(model: Classifier, settings: FinetuneSettings) -> dict[str, float]:
    """Return the peak learning rate of each role, uppermost first.

    With layer-wise decay d the uppermost layer has lr, each layer below has d times the rate of
    the one above it, and the embeddings have d times that of the lowest layer (Howard and Ruder
    2018; Sun et al. 2019, equation 3).
    """
    own = settings.head_lr
    head = settings.lr * settings.head_lr_multiplier if own is None else own
    decay = settings.layer_lr_decay
    if decay == 1:
        return {BACKBONE: settings.lr, HEAD: head}
    depth = len(transformer_layers(model.backbone))
    layers = {_layer(k): settings.lr * decay ** (depth - 1 - k) for k in reversed(range(depth))}
    # Modules after the layers, such as a final norm, count as the uppermost.
    return {BACKBONE: settings.lr, **layers, EMBEDDINGS: settings.lr * decay**depth, HEAD: head}


def parameter_blocks(model: Classifier) -> dict[str, str]:
    """Return the block of every parameter: `head`, `layer.K`, `embeddings` or `backbone`.

    Embeddings are the modules before the layers. `backbone` are the modules after them, or the
    whole backbone if it has no single list of layers (as if they share their weights).
    """
    backbone = model.backbone
    blocks: dict[int, str] = {}
    with suppress(Refused):
        layers = enumerate(transformer_layers(backbone))
        blocks = {id(p): _layer(k) for k, layer in layers for p in layer.parameters()}
        blocks |= {
            id(p): EMBEDDINGS for module in embedding_modules(backbone) for p in module.parameters()
        }
    return {
        name: blocks.get(id(p), BACKBONE) if name.startswith("backbone.") else HEAD
        for name, p in model.named_parameters()
    }


def _layer(index: int) -> str:
    return f"layer.{index}"


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to this share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share
