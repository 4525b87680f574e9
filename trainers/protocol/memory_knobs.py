"""Which knobs of the built-in trainer decide how much memory a trial takes.

Trials with equal values of these knobs have the same memory shape: if one of them was measured, the
others need as much. Every knob is in exactly one of the three sets.
"""

import json
from collections.abc import Mapping
from typing import Any

BY_VALUE = frozenset(
    {
        "batch_size",
        "micro_batch_size",
        "max_length",
        "precision",
        "dropout_scope",
        "freeze",
        "frozen_cache_gb",
        "unfreeze_layers_per_epoch",
        "lora_rank",
        "gradient_checkpointing",
        "head",
        "head_widths",
        "head_batch_norm",
        "pooling",
    }
)
"""Each value needs its own amount of memory."""

BY_USE = frozenset({"dropout", "lora_dropout", "augment_delete", "augment_swap", "augment_replace"})
"""Only 0 or not 0 matters: dropout stores a mask whatever its probability, and the states of frozen
layers are cached only if no text is augmented."""

NO_EFFECT = frozenset(
    {
        "lr",
        "weight_decay",
        "epochs",
        "schedule",
        "schedule_floor",
        "schedule_cycles",
        "decay_factor",
        "decay_every_epochs",
        "warmup",
        "warmup_unit",
        "head_lr_multiplier",
        "head_lr",
        "layer_lr_decay",
        "lora_alpha",
        "class_weights",
        "label_smoothing",
        "focal_gamma",
        "max_gradient_norm",
        "patience_epochs",
        "min_epochs",
        "probe_size",
        "log_every_steps",
        "checkpoint_seconds",
        "allow_mismatch",
    }
)
"""These change memory by a few numbers at most."""


def memory_shape(requested: Mapping[str, Any]) -> str:
    """The memory shape of a trial, from all its settings; an unlisted knob counts by its value."""
    decisive = {
        name: value != 0 if name in BY_USE else value
        for name, value in requested.items()
        if name not in NO_EFFECT
    }
    return json.dumps(decisive, sort_keys=True)
