"""Which knobs of the built-in trainer decide how much memory a trial takes.

Trials that are alike in these are of one shape: what one of them took, the others will take. Every
knob stands in one of the three sets.
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
"""Another value, other memory."""

BY_USE = frozenset({"dropout", "lora_dropout", "augment_delete", "augment_swap", "augment_replace"})
"""Only whether they are 0 counts: a dropout keeps a mask whatever its probability, and states of
frozen layers are kept only where no text is changed."""

ALIKE = frozenset(
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
"""Whatever they hold, memory stays as it is, but for a few numbers."""


def memory_shape(requested: Mapping[str, Any]) -> str:
    """The name of a trial's shape, from all its settings. A knob in no set counts by its value."""
    decisive = {
        name: value != 0 if name in BY_USE else value
        for name, value in requested.items()
        if name not in ALIKE
    }
    return json.dumps(decisive, sort_keys=True)
