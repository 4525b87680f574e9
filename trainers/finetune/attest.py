"""Reads parameters back from the live objects and compares them with the requested ones."""

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
from trytable.trainers.models.backbone import is_checkpointing, transformer_layers
from trytable.trainers.models.classifier import Classifier, dropout_probabilities
from trytable.trainers.models.freezing import frozen_layer_count, matches, uses_patterns
from trytable.trainers.models.heads import hidden_widths
from trytable.trainers.models.state_dict import trainable_parameters
from trytable.trainers.protocol.messages import FinetuneSettings

Readings = dict[str, Scalar]
"""Parameters by name; the part before the first dot is the knob's name."""

_READ_BACK_AS_SET = (
    *("batch_size", "epochs", "schedule", "label_smoothing", "focal_gamma"),
    *("augment_delete", "augment_swap", "augment_replace"),
    *("pooling", "head", "lora_rank", "gradient_checkpointing"),
)
"""Knobs whose effective value must be the setting itself."""


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


def attest(
    live: LiveObjects, settings: FinetuneSettings
) -> tuple[Readings, dict[str, tuple[Scalar, Scalar]]]:
    """Return the effective parameters, and the requested and effective value where they differ."""
    effective = effective_parameters(live, settings)
    return effective, find_mismatches(requested_parameters(live, settings), effective)


def effective_parameters(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    """Read the parameters back from model, optimizer, schedule, criterion and batches."""
    batches = batches_by_length(live.lengths, settings.batch_size, 0)
    largest = max(map(len, batches))
    return {
        **_learning_rates(live),
        **_weight_decays(live),
        **_dropouts(live.model),
        **_trained_blocks(live.model),
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
        "gradient_checkpointing": is_checkpointing(live.model.backbone),
        "precision": live.precision,
        "seed": live.seed,
        "max_length.longest_text": int(live.lengths.max()),
    }


def _learning_rates(live: LiveObjects) -> Readings:
    """Set the rates of the first, the peak and the last step, and read them back each time."""
    steps = {"first": 0, "peak": live.schedule.peak_step, "last": live.schedule.steps_total - 1}
    rates: Readings = {}
    for label, step in steps.items():
        set_learning_rates(live.optimizer, live.schedule.share(step))
        for group in live.optimizer.param_groups:
            rates[f"lr.{label}.{_role(group)}"] = group["lr"]
    set_learning_rates(live.optimizer, live.schedule.share(0))
    return rates


def _role(group: Mapping[str, object]) -> str:
    return str(group["name"]).rpartition(".")[0]


def _weight_decays(live: LiveObjects) -> Readings:
    decays = {id(p): g["weight_decay"] for g in live.optimizer.param_groups for p in g["params"]}
    trained = trainable_parameters(live.model).values()
    kinds = {
        "weight_decay.matrices": {decays.get(id(p)) for p in trained if p.ndim > 1},
        "weight_decay.vectors": {decays.get(id(p)) for p in trained if p.ndim <= 1},
    }
    readings: Readings = {name: _join(values) for name, values in kinds.items() if values}
    readings["lr.without"] = sum(p.numel() for p in trained if id(p) not in decays)
    return readings


def _join(values: set[Any]) -> Scalar:
    """Return the value if there is only one, else a list of them as text."""
    value: Scalar = next(iter(values)) if len(values) == 1 else ", ".join(sorted(map(str, values)))
    return value


def _dropouts(model: Classifier) -> Readings:
    backbone = dropout_probabilities(model.backbone)
    return {
        "dropout.head": _join({model.dropout.p, *dropout_probabilities(model.head)}),
        "dropout.backbone_min": min(backbone, default=None),
        "dropout.backbone_max": max(backbone, default=None),
    }


def _trained_blocks(model: Classifier) -> Readings:
    """Count the trainable parameters of each block, and the layers that have none."""
    counts: dict[str, int] = {}
    blocks = parameter_blocks(model)
    for name, parameter in model.named_parameters():
        counts.setdefault(blocks[name], 0)
        counts[blocks[name]] += parameter.numel() if parameter.requires_grad else 0
    layers = {block for block in counts if block.startswith("layer.")}
    unfrozen_at_end = {blocks[name] for name in model.trained_names}
    return {
        "freeze.embeddings": counts.get("embeddings") == 0,
        "freeze.layers": sum(not counts[block] for block in layers),
        "freeze.layers_at_end": len(layers - unfrozen_at_end),
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
    """Read the head's kind and its widths, from the input of the first layer to the output."""
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    widths = [str(layer.in_features) for layer in linear]
    readings: Readings = {
        "head": "mlp" if len(linear) > 1 else "linear",
        "head.shape": "-".join([*widths, str(linear[-1].out_features)]),
    }
    if len(linear) > 1:
        norms = sum(isinstance(module, nn.BatchNorm1d) for module in head.modules())
        readings["head_widths"] = "-".join(widths[1:])
        readings["head_batch_norm"] = norms == len(widths) - 1
    return readings


def _adapters(model: Classifier) -> Readings:
    """Read LoRA's adapters. With a dropout of 0, peft has no dropout module to read."""
    adapters: list[Any] = [m for m in model.backbone.modules() if hasattr(m, "lora_A")]
    if not adapters:
        return {"lora_rank": 0}
    ranks = [adapter.lora_A["default"].out_features for adapter in adapters]
    scales = [adapter.scaling["default"] for adapter in adapters]
    dropouts = {getattr(adapter.lora_dropout["default"], "p", 0.0) for adapter in adapters}
    return {
        "lora_rank": _join(set(ranks)),
        "lora_alpha": _join({r * scale for r, scale in zip(ranks, scales, strict=True)}),
        "lora_dropout": _join(dropouts),
    }


def requested_parameters(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    """Return what `effective_parameters` must read, as far as the settings decide it.

    The rates of the first and the last step are computed here independently of the schedule: a
    schedule cannot attest itself.
    """
    readings: Readings = {
        "lr.without": 0,
        "weight_decay.matrices": settings.weight_decay,
        "weight_decay.vectors": 0.0,
        "dropout.head": settings.dropout,
        **{name: getattr(settings, name) for name in _READ_BACK_AS_SET},
    }
    if settings.head == "mlp":
        widths = "-".join(map(str, hidden_widths(settings)))
        readings |= {"head_widths": widths, "head_batch_norm": settings.head_batch_norm}
    if settings.lora_rank:
        readings |= {"lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
    if settings.dropout_scope == "all":
        readings |= {f"dropout.backbone_{end}": settings.dropout for end in ("min", "max")}
    if settings.precision != "auto":
        readings["precision"] = settings.precision
    return readings | _requested_rates(live, settings) | _requested_freeze(live, settings)


def _requested_rates(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    shares = {"peak": 1.0, "first": _first_share(live.schedule)}
    if settings.schedule in ("constant", "linear"):
        last = 1 / (live.schedule.steps_total - live.schedule.warmup_steps)
        decay = last if settings.schedule == "linear" else 1.0
        shares["last"] = settings.schedule_floor + (1 - settings.schedule_floor) * decay
    return {
        f"lr.{label}.{role}": rate * share
        for role, rate in peak_learning_rates(live.model, settings).items()
        for label, share in shares.items()
    }


def _first_share(schedule: Schedule) -> float:
    return 1 / schedule.warmup_steps if schedule.warmup_steps else 1.0


def _requested_freeze(live: LiveObjects, settings: FinetuneSettings) -> Readings:
    if settings.lora_rank:
        return {}  # adapters freeze the whole backbone
    if uses_patterns(settings.freeze):
        patterns = str(settings.freeze).split()
        parameters = live.model.backbone.named_parameters()
        frozen = [p for name, p in parameters if matches(name, patterns)]
        return {"freeze.parameters": sum(p.numel() for p in frozen)}
    if settings.freeze == "none":
        return {"freeze.parameters": 0}
    depth = len(transformer_layers(live.model.backbone))
    layers = frozen_layer_count(settings.freeze, depth) or 0
    unfrozen = settings.unfreeze_layers_per_epoch * (settings.epochs - 1)
    return {
        "freeze.embeddings": True,
        "freeze.layers": layers,
        "freeze.layers_at_end": max(0, layers - unfrozen),
    }


def find_mismatches(requested: Readings, effective: Readings) -> dict[str, tuple[Scalar, Scalar]]:
    """Return the requested and the effective value of every parameter for which they differ.

    A requested parameter without an effective value is a mismatch. A requested 0 is not: a
    dropout of 0 may leave no module to read.
    """
    return {
        name: (value, effective.get(name))
        for name, value in requested.items()
        if not _agree(value, effective.get(name)) and not _is_untrained_role(name, effective)
    }


def _is_untrained_role(name: str, effective: Readings) -> bool:
    """Whether a parameter is the learning rate of a role without trained parameters."""
    return name.startswith("lr.") and name not in effective


def _agree(requested: Scalar, effective: Scalar) -> bool:
    numbers = all(isinstance(value, int | float) for value in (requested, effective))
    if numbers and not isinstance(requested, bool):
        return math.isclose(
            float(requested or 0), float(effective or 0), rel_tol=1e-6, abs_tol=1e-12
        )
    return requested == effective or (requested == 0 and effective is None)


def code_hash() -> str:
    """Return the SHA-256 of the sources of all trainers: the code that trains."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
