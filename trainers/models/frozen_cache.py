"""Frozen lower layers are computed once: their output is kept on disk and replayed.

Frozen layers are in evaluation mode, so what they make of a sentence never changes: not from epoch
to epoch, and not from trial to trial with the same model, data and cut. Where a batch brings its
states along, the lowest layers hand their input on, and the last of them gives these states.
Nothing is taken out of the model, so its weights, names and per-layer attributes stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trytable.trainers.data.batches import Collator, batches_in_order
from trytable.trainers.data.tokens import TokenSplit, tokens_folder
from trytable.trainers.models.backbone import LoadedModel, transformer_layers
from trytable.trainers.models.cached_states import SentenceStates, StateCache, cache_key
from trytable.trainers.models.classifier import Classifier
from trytable.trainers.models.freezing import frozen_layer_count, uses_patterns
from trytable.trainers.models.precision import Precision, autocast
from trytable.trainers.protocol.messages import FinetuneSettings, Job

_SENTENCES_AT_ONCE = 64
_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 1e-2}
"""Largest difference of a logit between a replay and the whole model: a wrong layer is far off,
and another padding moves fp32 by some 1e-6, bf16 by its rounding of 8e-3."""


class CacheUnusable(Exception):
    """Why a model goes without kept states; for people."""


def cacheable_layers(settings: FinetuneSettings, layers: int) -> int:
    """How many of the lowest layers give the same output for a sentence in every step.

    0 where there is no such layer, and where something changes what comes into or out of them.
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


@dataclass(frozen=True)
class Predictor:
    """A classifier and the way to feed it. `check_stop` is called before every batch."""

    model: Classifier
    collator: Collator
    precision: Precision
    check_stop: Callable[[], None]

    @torch.no_grad()
    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits in evaluation mode."""
        self.model.eval()
        with autocast(self.precision, self.collator.device):
            found: Tensor = self.model(batch).float()
        return found


def with_cached_states(
    splits: dict[str, TokenSplit],
    job: Job,
    settings: FinetuneSettings,
    loaded: LoadedModel,
    predictor: Predictor,
) -> dict[str, TokenSplit]:
    """The splits with the states of the job's frozen layers, where these are always the same.

    Raises CacheUnusable where they could be kept but for the model or the room they take.
    """
    if settings.freeze == "none":
        return splits
    cut = cacheable_layers(settings, len(transformer_layers(predictor.model.backbone)))
    if not cut:
        return splits
    cache, device = Path(job.cache_folder), predictor.collator.device
    tokens = tokens_folder(cache, job.data_hash, loaded.folder, settings.max_length)
    key = cache_key(tokens.name, loaded.fingerprint(), cut, predictor.precision, device)
    store = StateCache(cache, tokens.with_name(key), int(settings.frozen_cache_gb * 1e9))
    return attach_states(splits, cut, predictor, store)


def attach_states(
    splits: dict[str, TokenSplit], cut: int, predictor: Predictor, store: StateCache
) -> dict[str, TokenSplit]:
    """The splits with the states that come out of the lowest `cut` layers, for a model that has
    been told to take them.

    Raises CacheUnusable where the model gives other logits with them, or they take too much room.
    """
    layers = list(transformer_layers(predictor.model.backbone)[:cut])
    width = int(predictor.model.backbone.config.hidden_size)
    seen = _Seen(layers[-1])
    try:
        sample = splits["dev"].take(_first(splits["dev"], 3))
        expected = predictor.logits(predictor.collator.collate(sample, _first(sample, 3))[0])
        kept = store.fetch(splits, width, partial(_compute, predictor, seen), predictor.check_stop)
        kind = seen.kind
    finally:
        seen.close()
    if kept is None:
        raise CacheUnusable(
            f"the states of {cut} layers take more than frozen_cache_gb {store.max_bytes / 1e9:g}"
        )
    found = {name: replace(split, states=kept[name]) for name, split in splits.items()}
    predictor.model.replay = Replay(layers, kind)
    sample = found["dev"].take(_first(found["dev"], 3))
    replayed = predictor.logits(predictor.collator.collate(sample, _first(sample, 3))[0])
    difference = float((replayed - expected).abs().max())
    if not difference <= _TOLERANCES[predictor.precision]:
        predictor.model.replay.undo()
        predictor.model.replay = None
        raise CacheUnusable(f"with kept states its logits differ by {difference:.2g}")
    return found


def _first(split: TokenSplit, count: int) -> Any:
    return torch.arange(min(count, len(split))).numpy()


def _compute(predictor: Predictor, seen: "_Seen", split: TokenSplit) -> SentenceStates:
    """Every sentence's states, shortest first."""
    lengths = split.lengths
    for indices in batches_in_order(lengths, _SENTENCES_AT_ONCE):
        predictor.check_stop()
        seen.ends_here = True
        try:
            predictor.logits(predictor.collator.collate(split, indices)[0])
        except _Enough:
            pass
        finally:
            seen.ends_here = False
        states = seen.states.float().cpu().numpy()
        for row, index in enumerate(indices):
            yield int(index), states[row, : lengths[index]]


@dataclass(frozen=True)
class OutputFormat:
    """What a layer gives: a tensor of this type, alone or as the first of a tuple so long."""

    dtype: torch.dtype
    tuple_length: int


class _Enough(Exception):
    """The forward pass has come as far as it needs to."""


class _Seen:
    """Looks at what comes out of a layer."""

    states: Tensor
    kind: OutputFormat

    def __init__(self, layer: nn.Module) -> None:
        self.ends_here = False
        self._handle = layer.register_forward_hook(self._look)

    def _look(self, _: nn.Module, __: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        if not isinstance(parts[0], Tensor) or any(one is not None for one in parts[1:]):
            raise CacheUnusable("its layers give more than hidden states")
        self.states = parts[0]
        self.kind = OutputFormat(parts[0].dtype, len(output) if isinstance(output, tuple) else 0)
        if self.ends_here:
            raise _Enough

    def close(self) -> None:
        self._handle.remove()


class Replay:
    """Has layers stand aside while `states`, shape (sentences, tokens, width), are set."""

    def __init__(self, layers: Sequence[nn.Module], kind: OutputFormat) -> None:
        self.states: Tensor | None = None
        self._kind = kind
        self._layers = layers
        for layer in layers:
            is_last = layer is layers[-1]
            # Set on the object, it is what the module's call finds in the place of its class's.
            layer.__dict__["forward"] = partial(self._stand_in, layer.forward, is_last)

    def _stand_in(
        self, forward: Callable[..., Any], is_last: bool, *given: Any, **named: Any
    ) -> Any:
        if self.states is None:
            return forward(*given, **named)
        states = given[0] if given else named["hidden_states"]
        if is_last:
            states = self.states.to(self._kind.dtype)
        rest = self._kind.tuple_length - 1
        return (states, *[None] * rest) if rest >= 0 else states

    def undo(self) -> None:
        """Have the layers compute again."""
        for layer in self._layers:
            del layer.__dict__["forward"]
