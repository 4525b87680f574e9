"""The classifier: a backbone, pooling, dropout and a head, and which of its weights train."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trytable.records import Refused
from trytable.trainers.data.batches import STATES, Collator
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.models import determinism
from trytable.trainers.models.adapters import add_adapters
from trytable.trainers.models.backbone import LoadedModel, checkpoint_activations
from trytable.trainers.models.freezing import frozen_parts
from trytable.trainers.models.heads import make_head
from trytable.trainers.models.precision import Precision, autocast
from trytable.trainers.models.text_classifier import pool
from trytable.trainers.protocol.messages import FinetuneSettings
from trytable.trainers.seeding import draw_seed

_ADAPTER_DROPOUT = "lora_dropout"
"""The attribute of an adapter's own dropout in peft."""


class StateReplay(Protocol):
    """Replaces the output of frozen layers by `states`, if they are set."""

    states: Tensor | None


class Classifier(nn.Module):
    """A backbone whose token states are pooled to one vector, then dropout and a head.

    `frozen_modules` are the modules that do not train in the current epoch. `trained_names` are
    the names of all weights that train in any epoch.
    """

    def __init__(
        self, backbone: PreTrainedModel, head: nn.Module, settings: FinetuneSettings
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = settings.pooling
        self.dropout = nn.Dropout(settings.dropout)
        self.head = head
        self.frozen_modules: Sequence[nn.Module] = ()
        self.replay: StateReplay | None = None
        self._settings = settings
        self._trainable = tuple(name for name, p in self.named_parameters() if p.requires_grad)
        # Epochs only ever unfreeze more, so the last one trains all that any epoch trains.
        self.begin_epoch(settings.epochs)
        self.trained_names = frozenset(
            name for name, p in self.named_parameters() if p.requires_grad
        )
        self.begin_epoch(1)
        # A generic tokenizer returns token types for every model, and GPT-2 would look them up
        # among its words.
        self._has_types = (getattr(backbone.config, "type_vocab_size", None) or 0) > 1

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute logits, shape (sentences, classes).

        The batch has token ids and mask, and may have types, each of shape (sentences, tokens).
        """
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if self._has_types else []))
        inputs = {name: batch[name] for name in names if name in batch}
        if self.replay is not None:
            self.replay.states = batch.get(STATES)
        states = self.backbone(**inputs).last_hidden_state
        pooled = pool(states, batch["attention_mask"], self.pooling)
        dtype = next(self.head.parameters()).dtype
        logits: Tensor = self.head(self.dropout(pooled.to(dtype)))
        return logits

    def begin_epoch(self, epoch: int) -> None:
        """Freeze the weights that do not train in this epoch, counted from 1, and no others."""
        parameters = dict(self.named_parameters())
        for name in self._trainable:
            parameters[name].requires_grad_(True)
        frozen = frozen_parts(self.backbone, self._settings, epoch)
        for module in frozen.modules:
            module.requires_grad_(False)
        for weight in frozen.weights:
            weight.requires_grad_(False)
        self.frozen_modules = frozen.modules

    def train(self, mode: bool = True) -> "Classifier":
        """Switch to training mode, except frozen modules: their output must not change."""
        super().train(mode)
        for module in self.frozen_modules:
            module.eval()
        return self


def build_classifier(
    loaded: LoadedModel, settings: FinetuneSettings, classes: int, seed: int
) -> Classifier:
    """Build a classifier, freeze its weights and check its dropout.

    Raises Refused for a setting that this model does not support.
    """
    changes: dict[str, Any] = (
        _dropouts(loaded, settings.dropout) if settings.dropout_scope == "all" else {}
    )
    if hasattr(loaded.config, "use_cache"):
        changes["use_cache"] = False  # a decoder would store keys and values for generation
    backbone = loaded.build(**changes)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # type: ignore[assignment] # its weights would never get a gradient
    if settings.lora_rank:
        add_adapters(backbone, settings, seed)
    if settings.gradient_checkpointing:
        _checkpoint_gradients(backbone)
    generator = torch.Generator().manual_seed(draw_seed(seed, "init"))
    head = make_head(settings, backbone.config.hidden_size, classes, generator)
    model = Classifier(backbone, head, settings)
    _check_dropout(model, settings)
    return model


def _checkpoint_gradients(backbone: PreTrainedModel) -> None:
    """Recompute activations in the backward pass instead of storing them (Chen et al. 2016)."""
    if not backbone.supports_gradient_checkpointing:
        raise Refused(f"{type(backbone).__name__} does not support gradient_checkpointing.")
    # The reentrant variant gives no gradient if its input needs none, as after frozen layers.
    checkpoint_activations(backbone, {"use_reentrant": False})
    # For that variant, transformers makes even frozen embeddings require gradients: undo that.
    backbone.disable_input_require_grads()  # type: ignore[no-untyped-call] # untyped there


def _dropouts(loaded: LoadedModel, dropout: float) -> dict[str, float]:
    """Return every dropout of a config: numbers with `dropout` or `pdrop` in their names."""
    changes = {
        name: dropout
        for name, value in loaded.config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop"))
        and isinstance(value, int | float)
        and not isinstance(value, bool)  # a switch, not a probability
    }
    if not changes:
        raise Refused(f"MODEL={loaded.reference} has no dropout to set; use dropout_scope: head.")
    return changes


def dropout_probabilities(model: nn.Module) -> list[float]:
    """Return the dropout probabilities of all modules, also those stored as plain numbers."""
    probabilities = []
    for path, module in model.named_modules():
        if _ADAPTER_DROPOUT in path:
            continue  # a separate knob
        if "Dropout" in type(module).__name__:
            probabilities.append(float(module.p))
        probabilities.extend(
            value
            for name, value in vars(module).items()
            if "dropout" in name and isinstance(value, float)
        )
    return probabilities


def _check_dropout(model: Classifier, settings: FinetuneSettings) -> None:
    probabilities = [model.dropout.p, *dropout_probabilities(model.head)]
    if settings.dropout_scope == "all":
        backbone = dropout_probabilities(model.backbone)
        if not backbone and settings.dropout > 0:
            raise Refused("The model has no dropout to set; use dropout_scope: head.")
        probabilities += backbone
    wrong = [p for p in probabilities if not math.isclose(p, settings.dropout)]
    if wrong:
        raise Refused(f"dropout {settings.dropout} was requested, but a module has {wrong[0]}.")


@dataclass(frozen=True)
class Predictor:
    """Runs a classifier in evaluation mode.

    Call `check_stop` before every batch: it raises if the orchestrator requested a stop.
    """

    model: Classifier
    collator: Collator
    precision: Precision
    check_stop: Callable[[], None]

    @torch.no_grad()
    def predict(self, split: TokenSplit, indices: Indices) -> tuple[Tensor, Tensor]:
        """Return logits, shape (sentences, classes), and labels of some sentences of a split."""
        self.model.eval()
        batch, labels = self.collator.collate(split, indices)
        try:
            return self._logits(batch), labels
        except RuntimeError as error:
            if not determinism.relax(error):
                raise
        return self._logits(batch), labels

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        with autocast(self.precision, self.collator.device):
            logits: Tensor = self.model(batch)
        return logits.float()
