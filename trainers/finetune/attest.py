"""What a trial really trains with, read back from live objects and held against what was asked."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trytable.records import Scalar
from trytable.trainers.data.augment import Augmenter
from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.tokens import Indices
from trytable.trainers.finetune.losses import Criterion
from trytable.trainers.finetune.optimizer import (
    parameter_blocks,
    peak_learning_rates,
    set_learning_rates,
)
from trytable.trainers.finetune.schedule import Schedule
from trytable.trainers.models.backbone import transformer_layers
from trytable.trainers.models.classifier import Classifier, dropout_probabilities
from trytable.trainers.models.freezing import frozen_layer_count, matches, uses_patterns
from trytable.trainers.models.heads import hidden_widths
from trytable.trainers.models.state_dict import trainable_parameters
from trytable.trainers.protocol.messages import FinetuneSettings

Readings = dict[str, Scalar]
"""Parameters by name; the part before the first dot is the knob's."""


@dataclass(frozen=True)
class LiveObjects:
    """The objects that train; `lengths`, shape (sentences,), are the training texts' tokens."""

    model: Classifier
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    criterion: Criterion
    lengths: Indices
    augmenter: Augmenter | None
    micro_batch: int
    precision: str
    seed: int


def effective_parameters(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    """Parameters as the model, the optimizer, the schedule, the loss and the batches have them."""
    batches = batches_by_length(live.lengths, settings.batch_size, 0)
    largest = max(map(len, batches))
    return {
        **_rates(live),
        **_decays(live),
        **_dropouts(live.model),
        **_trained(live.model),
        "batch_size": largest,
        "batch_size.micro": min(live.micro_batch, largest),
        "batch_size.rest": min(map(len, batches)),
        "epochs": live.schedule.steps_total / len(batches),
        "steps": live.schedule.steps_total,
        "warmup.steps": live.schedule.warmup_steps,
        "schedule": live.schedule.settings.schedule,
        "label_smoothing": live.criterion.label_smoothing,
        "focal_gamma": live.criterion.focal_gamma,
        **_class_weights(live.criterion),
        **_augmentation(live.augmenter),
        "pooling": live.model.pooling,
        **_head(live.model.head),
        **_adapters(live.model),
        "gradient_checkpointing": live.model.backbone.is_activation_checkpointing,
        "precision": live.precision,
        "seed": live.seed,
        "max_length.longest_text": int(live.lengths.max()),
    }


def _rates(live: LiveObjects) -> Readings:
    """What the groups hold at the first step, the peak and the last, once these are set."""
    steps = {"first": 0, "peak": live.schedule.peak_step, "last": live.schedule.steps_total - 1}
    found: Readings = {}
    for word, step in steps.items():
        set_learning_rates(live.optimizer, live.schedule.share(step))
        for group in live.optimizer.param_groups:
            found[f"lr.{word}.{_role(group)}"] = group["lr"]
    set_learning_rates(live.optimizer, live.schedule.share(0))
    return found


def _role(group: Mapping[str, object]) -> str:
    return str(group["name"]).rpartition(".")[0]


def _decays(live: LiveObjects) -> Readings:
    decays = {id(p): g["weight_decay"] for g in live.optimizer.param_groups for p in g["params"]}
    trained = trainable_parameters(live.model).values()
    kinds = {
        "weight_decay.matrices": {decays.get(id(p)) for p in trained if p.ndim > 1},
        "weight_decay.vectors": {decays.get(id(p)) for p in trained if p.ndim <= 1},
    }
    found: Readings = {name: _one_of(values) for name, values in kinds.items() if values}
    found["lr.without"] = sum(p.numel() for p in trained if id(p) not in decays)
    return found


def _one_of(values: set[Any]) -> Scalar:
    """The one value that all have, or a list of them."""
    found: Scalar = next(iter(values)) if len(values) == 1 else ", ".join(sorted(map(str, values)))
    return found


def _dropouts(model: Classifier) -> Readings:
    of_backbone = dropout_probabilities(model.backbone)
    return {
        "dropout.head": _one_of({model.dropout.p, *dropout_probabilities(model.head)}),
        "dropout.backbone_min": min(of_backbone, default=None),
        "dropout.backbone_max": max(of_backbone, default=None),
    }


def _trained(model: Classifier) -> Readings:
    """Trainable parameters of each block, and how many blocks have none from below."""
    counts: dict[str, int] = {}
    blocks = parameter_blocks(model)
    for name, parameter in model.named_parameters():
        counts.setdefault(blocks[name], 0)
        counts[blocks[name]] += parameter.numel() if parameter.requires_grad else 0
    layers = {block for block in counts if block.startswith("layer.")}
    freed = {blocks[name] for name in model.trained_names}
    return {
        "freeze.embeddings": counts.get("embeddings") == 0,
        "freeze.layers": sum(not counts[block] for block in layers),
        "freeze.layers_at_end": len(layers - freed),
        "freeze.parameters": sum(
            p.numel() for p in model.backbone.parameters() if not p.requires_grad
        ),
        **{f"trainable.{block}": count for block, count in counts.items()},
    }


def _class_weights(criterion: Criterion) -> Readings:
    if criterion.weights is None:
        return {"class_weights": "none"}
    weights = criterion.weights.tolist()
    return {"class_weights.min": min(weights), "class_weights.max": max(weights)}


def _augmentation(augmenter: Augmenter | None) -> Readings:
    if augmenter is None:
        return {"augment_delete": 0.0, "augment_swap": 0.0, "augment_replace": 0.0}
    return {
        "augment_delete": augmenter.delete,
        "augment_swap": augmenter.swap,
        "augment_replace": augmenter.replace if augmenter.neighbours is not None else 0.0,
    }


def _head(head: nn.Module) -> Readings:
    """Kind and shape: widths from the first linear layer's input to the last one's output."""
    linear = [m for m in head.modules() if isinstance(m, nn.Linear)]
    widths = [str(one.in_features) for one in linear]
    found: Readings = {
        "head": "mlp" if len(linear) > 1 else "linear",
        "head.shape": "-".join([*widths, str(linear[-1].out_features)]),
    }
    if len(linear) > 1:
        norms = sum(isinstance(one, nn.BatchNorm1d) for one in head.modules())
        found |= {"head_widths": "-".join(widths[1:]), "head_batch_norm": norms == len(widths) - 1}
    return found


def _adapters(model: Classifier) -> Readings:
    """What LoRA's adapters have; where they drop nothing, peft has no dropout to be read."""
    found: list[Any] = [one for one in model.backbone.modules() if hasattr(one, "lora_A")]
    if not found:
        return {"lora_rank": 0}
    ranks = [one.lora_A["default"].out_features for one in found]
    scales = [one.scaling["default"] for one in found]
    return {
        "lora_rank": _one_of(set(ranks)),
        "lora_alpha": _one_of({r * scale for r, scale in zip(ranks, scales, strict=True)}),
        "lora_dropout": _one_of({getattr(one.lora_dropout["default"], "p", 0.0) for one in found}),
    }


def requested_parameters(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    """What `effective` must find, from the settings alone, wherever they decide it.

    The rates of the first and the last step are worked out anew here, on purpose: a schedule
    cannot be its own witness.
    """
    asked: Readings = {
        "lr.without": 0,
        "weight_decay.matrices": settings.weight_decay,
        "weight_decay.vectors": 0.0,
        "dropout.head": settings.dropout,
        "batch_size": settings.batch_size,
        "epochs": settings.epochs,
        "schedule": settings.schedule,
        "label_smoothing": settings.label_smoothing,
        "focal_gamma": settings.focal_gamma,
        "augment_delete": settings.augment_delete,
        "augment_swap": settings.augment_swap,
        "augment_replace": settings.augment_replace,
        "pooling": settings.pooling,
        "head": settings.head,
        "lora_rank": settings.lora_rank,
        "gradient_checkpointing": settings.gradient_checkpointing,
    }
    if settings.head == "mlp":
        widths = "-".join(map(str, hidden_widths(settings)))
        asked |= {"head_widths": widths, "head_batch_norm": settings.head_batch_norm}
    if settings.lora_rank:
        asked |= {"lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
    if settings.dropout_scope == "all":
        asked |= {f"dropout.backbone_{end}": settings.dropout for end in ("min", "max")}
    if settings.precision != "auto":
        asked["precision"] = settings.precision
    return asked | _requested_rates(live, settings) | _requested_freeze(live, settings)


def _requested_rates(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    shares = {"peak": 1.0, "first": _first_share(live.schedule)}
    if settings.schedule in ("constant", "linear"):
        left = 1 / (live.schedule.steps_total - live.schedule.warmup_steps)
        fallen = left if settings.schedule == "linear" else 1.0
        shares["last"] = settings.schedule_floor + (1 - settings.schedule_floor) * fallen
    return {
        f"lr.{word}.{role}": rate * share
        for role, rate in peak_learning_rates(live.model, settings).items()
        for word, share in shares.items()
    }


def _first_share(schedule: Schedule) -> float:
    return 1 / schedule.warmup_steps if schedule.warmup_steps else 1.0


def _requested_freeze(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    if settings.lora_rank:
        return {}  # adapters stand for all else
    if uses_patterns(settings.freeze):
        patterns = str(settings.freeze).split()
        named = live.model.backbone.named_parameters()
        frozen = [p for name, p in named if matches(name, patterns)]
        return {"freeze.parameters": sum(p.numel() for p in frozen)}
    if settings.freeze == "none":
        return {"freeze.parameters": 0}
    layers = frozen_layer_count(settings.freeze, len(transformer_layers(live.model.backbone))) or 0
    freed = settings.unfreeze_layers_per_epoch * (settings.epochs - 1)
    return {
        "freeze.embeddings": True,
        "freeze.layers": layers,
        "freeze.layers_at_end": max(0, layers - freed),
    }


def find_mismatches(asked: Readings, found: Readings) -> dict[str, tuple[Scalar, Scalar]]:
    """What was asked for and what was found, where they differ; what was not found is no match.

    A dropout of 0 may leave no dropout to be found.
    """
    return {
        name: (value, found.get(name))
        for name, value in asked.items()
        if not _same(value, found.get(name)) and not _is_absent_role(name, found)
    }


def _is_absent_role(name: str, found: Readings) -> bool:
    """Whether a rate is that of a role of which nothing is trained."""
    return name.startswith("lr.") and name not in found


def _same(asked: Scalar, found: Scalar) -> bool:
    numbers = all(isinstance(one, int | float) for one in (asked, found))
    if numbers and not isinstance(asked, bool):
        return math.isclose(float(asked or 0), float(found or 0), rel_tol=1e-6, abs_tol=1e-12)
    return asked == found or (asked == 0 and found is None)


def code_hash() -> str:
    """SHA-256 over this room's sources: what trained."""
    digest = hashlib.sha256()
    room = Path(__file__).parents[1]
    for path in sorted(room.rglob("*.py")):
        digest.update(path.relative_to(room).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
