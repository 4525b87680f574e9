"""Computes frozen lower layers once: caches their output on disk and replays it in training.

Frozen layers are in evaluation mode, so their output for a sentence never changes: neither between
epochs, nor between trials with the same model, data and cut. If a batch has cached states, the
frozen layers pass their input through, and the last of them returns the cached states. The layers
stay in the model, so its weights, names and per-layer attributes do not change.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trytable.trainers.data.batches import batches_in_order
from trytable.trainers.data.tokens import TokenSplit, tokens_folder
from trytable.trainers.models.backbone import LoadedModel, transformer_layers
from trytable.trainers.models.cached_states import SentenceStates, StateCache, cache_key
from trytable.trainers.models.classifier import Predictor
from trytable.trainers.models.freezing import frozen_layer_count, uses_patterns
from trytable.trainers.models.precision import Precision
from trytable.trainers.protocol.messages import FinetuneSettings, Job

_SENTENCES_AT_ONCE = 64
_SAMPLE_SIZE = 3
_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 1e-2}
"""Largest accepted difference of a logit between replay and full model. A wrong layer differs by
much more; other padding alone changes fp32 by about 1e-6, and bf16 by its rounding of 8e-3."""


class CacheUnusable(Exception):
    """The cached states cannot be used with this model; the message gives the reason."""


def with_cached_states(
    splits: dict[str, TokenSplit],
    job: Job,
    settings: FinetuneSettings,
    loaded: LoadedModel,
    predictor: Predictor,
) -> dict[str, TokenSplit]:
    """Return the splits with the states of the job's frozen layers, if these never change.

    Raises CacheUnusable if the model does not allow it or the states take too much space.
    """
    if settings.freeze == "none":
        return splits
    cut = cacheable_layers(settings, len(transformer_layers(predictor.model.backbone)))
    if not cut:
        return splits
    cache, device = Path(job.cache_folder), predictor.collator.device
    tokens = tokens_folder(cache, job.data_hash, loaded.folder, settings.max_length)
    key = cache_key(tokens.name, loaded.fingerprint(), cut, predictor.precision, device)
    states = StateCache(cache, tokens.with_name(key), int(settings.frozen_cache_gb * 1e9))
    return attach_states(splits, cut, predictor, states)


def cacheable_layers(settings: FinetuneSettings, layers: int) -> int:
    """Return how many of the lowest layers have the same output for a sentence in every step.

    0 if there is no such layer, or if a setting changes the input or output of the layers.
    """
    changing = (
        settings.frozen_cache_gb == 0
        or settings.freeze == "none"
        or uses_patterns(settings.freeze)
        or settings.unfreeze_layers_per_epoch > 0
        or settings.lora_rank > 0
        or settings.augment_delete + settings.augment_swap + settings.augment_replace > 0
    )
    return 0 if changing else frozen_layer_count(settings.freeze, layers) or 0


def attach_states(
    splits: dict[str, TokenSplit], cut: int, predictor: Predictor, states: StateCache
) -> dict[str, TokenSplit]:
    """Return the splits with the output of the lowest `cut` layers; makes the model replay it.

    Raises CacheUnusable if the replay changes the model's logits, or if the states take too much
    space.
    """
    model = predictor.model
    layers = list(transformer_layers(model.backbone)[:cut])
    hook = _OutputHook(layers[-1])
    try:
        expected = _sample_logits(predictor, splits["dev"])
        width = int(model.backbone.config.hidden_size)
        cached = states.fetch(
            splits, width, partial(_compute, predictor, hook), predictor.check_stop
        )
    finally:
        hook.close()
    if cached is None:
        raise CacheUnusable(
            f"the states of {cut} layers take more than frozen_cache_gb {states.max_bytes / 1e9:g}"
        )
    splits = {name: replace(split, states=cached[name]) for name, split in splits.items()}
    model.replay = Replay(layers, hook.states.dtype, hook.tuple_length)
    difference = float((_sample_logits(predictor, splits["dev"]) - expected).abs().max())
    if not difference <= _TOLERANCES[predictor.precision]:
        model.replay.remove()
        model.replay = None
        raise CacheUnusable(f"with cached states its logits differ by {difference:.2g}")
    return splits


def _sample_logits(predictor: Predictor, split: TokenSplit) -> Tensor:
    return predictor.predict(split, np.arange(min(_SAMPLE_SIZE, len(split))))[0]


def _compute(predictor: Predictor, hook: "_OutputHook", split: TokenSplit) -> SentenceStates:
    """Yield the states of every sentence, shortest first."""
    lengths = split.lengths
    for indices in batches_in_order(lengths, _SENTENCES_AT_ONCE):
        predictor.check_stop()
        hook.ends_forward = True
        try:
            predictor.predict(split, indices)
        except _ForwardEnded:
            pass
        finally:
            hook.ends_forward = False
        states = hook.states.float().cpu().numpy()
        for row, index in enumerate(indices):
            yield int(index), states[row, : lengths[index]]


class _ForwardEnded(Exception):
    """Ends a forward pass after the last layer that is needed."""


class _OutputHook:
    """Records the output of a layer, and ends the forward pass there if `ends_forward` is set.

    `states` is the output, or its first tensor; `tuple_length` is 0 if it is not a tuple.
    """

    states: Tensor
    tuple_length: int

    def __init__(self, layer: nn.Module) -> None:
        self.ends_forward = False
        self._handle = layer.register_forward_hook(self._record)

    def _record(self, _: nn.Module, __: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        if not isinstance(parts[0], Tensor) or any(part is not None for part in parts[1:]):
            raise CacheUnusable("its layers return more than hidden states")
        self.states = parts[0]
        self.tuple_length = len(output) if isinstance(output, tuple) else 0
        if self.ends_forward:
            raise _ForwardEnded

    def close(self) -> None:
        self._handle.remove()


class Replay:
    """Makes layers return `states`, shape (sentences, tokens, width), while these are set."""

    def __init__(self, layers: Sequence[nn.Module], dtype: torch.dtype, tuple_length: int) -> None:
        self.states: Tensor | None = None
        self._layers, self._dtype, self._tuple_length = layers, dtype, tuple_length
        for layer in layers:
            is_last = layer is layers[-1]
            # An attribute of the instance shadows the class's `forward`, and wraps no module.
            layer.__dict__["forward"] = partial(self._forward, layer.forward, is_last)

    def _forward(
        self, forward: Callable[..., Any], is_last: bool, *args: Any, **kwargs: Any
    ) -> Any:
        if self.states is None:
            return forward(*args, **kwargs)
        states = args[0] if args else kwargs["hidden_states"]
        if is_last:
            states = self.states.to(self._dtype)
        extra = self._tuple_length - 1
        return (states, *[None] * extra) if extra >= 0 else states

    def remove(self) -> None:
        """Make the layers compute again."""
        for layer in self._layers:
            del layer.__dict__["forward"]
