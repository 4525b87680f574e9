"""A backbone with a head: pooling, dropout and a linear layer, and what of it is trained."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trytable.trainers.data.batches import STATES
from trytable.trainers.models.adapters import add_adapters
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.freezing import frozen_parts
from trytable.trainers.models.heads import make_head
from trytable.trainers.models.text_classifier import pool
from trytable.trainers.protocol.messages import FinetuneSettings, Refused
from trytable.trainers.seeding import draw_seed

_OF_ADAPTERS = "lora_dropout"


class StateReplay(Protocol):
    """What stands in for frozen layers, while it has their states."""

    states: Tensor | None


class Classifier(nn.Module):
    """Token states of a backbone, pooled to one vector, then dropout and a head.

    `frozen_modules` are the modules that the current epoch leaves as pretrained. `trained_names`
    are the names of all weights that some epoch trains.
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
        self.begin_epoch(settings.epochs)
        self.trained_names = frozenset(
            name for name, p in self.named_parameters() if p.requires_grad
        )
        self.begin_epoch(1)
        # A generic tokenizer tells pairs apart by types for models that have none, too; GPT-2
        # would take them for words.
        self._has_types = (getattr(backbone.config, "type_vocab_size", None) or 0) > 1

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits, shape (sentences, classes), of token ids and mask, shape (sentences, tokens)."""
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if self._has_types else []))
        known = {name: batch[name] for name in names if name in batch}
        if self.replay is not None:
            self.replay.states = batch.get(STATES)
        states = self.backbone(**known).last_hidden_state
        pooled = pool(states, batch["attention_mask"], self.pooling)
        dtype = next(self.head.parameters()).dtype
        logits: Tensor = self.head(self.dropout(pooled.to(dtype)))
        return logits

    def begin_epoch(self, epoch: int) -> None:
        """Freeze what is frozen in this epoch, counted from 1, and nothing else."""
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
        """Switch to training; frozen modules stay in evaluation, so their output is fixed."""
        super().train(mode)
        for module in self.frozen_modules:
            module.eval()
        return self


def build_classifier(
    loaded: LoadedModel, settings: FinetuneSettings, classes: int, seed: int
) -> Classifier:
    """Build, freeze and check a classifier. Raises Refused for what the model cannot do."""
    changes: dict[str, Any] = (
        _dropouts(loaded, settings.dropout) if settings.dropout_scope == "all" else {}
    )
    if hasattr(loaded.config, "use_cache"):
        changes["use_cache"] = False  # a decoder would keep keys and values for a next token
    backbone = loaded.build(**changes)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # type: ignore[assignment] # it would have weights that no gradient ever reaches
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
    """Have activations computed again in the backward pass instead of kept (Chen et al. 2016)."""
    if not backbone.supports_gradient_checkpointing:
        raise Refused(f"{type(backbone).__name__} cannot do gradient_checkpointing.")
    # The reentrant kind gives no gradient where what comes in needs none, as from frozen layers.
    backbone.activation_checkpointing_enable({"use_reentrant": False})
    # For that kind's sake it would have even frozen embeddings take part in the backward pass.
    backbone.disable_input_require_grads()  # type: ignore[no-untyped-call] # untyped there


def _dropouts(loaded: LoadedModel, dropout: float) -> dict[str, float]:
    """Every dropout of a config: probabilities with `dropout` or `pdrop` in their names."""
    found = {
        name: dropout
        for name, value in loaded.config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop"))
        and isinstance(value, int | float)
        and not isinstance(value, bool)  # a switch is no probability
    }
    if not found:
        raise Refused(f"MODEL={loaded.reference} has no dropout to set; use dropout_scope: head.")
    return found


def dropout_probabilities(model: nn.Module) -> list[float]:
    """Every dropout probability of the live modules, those kept as plain numbers too."""
    found = []
    for path, module in model.named_modules():
        if _OF_ADAPTERS in path:
            continue  # they have a knob of their own
        if "Dropout" in type(module).__name__:
            found.append(float(module.p))
        found.extend(
            value
            for name, value in vars(module).items()
            if "dropout" in name and isinstance(value, float)
        )
    return found


def _check_dropout(model: Classifier, settings: FinetuneSettings) -> None:
    found = [model.dropout.p, *dropout_probabilities(model.head)]
    if settings.dropout_scope == "all":
        of_backbone = dropout_probabilities(model.backbone)
        if not of_backbone and settings.dropout > 0:
            raise Refused("The model has no dropout to set; use dropout_scope: head.")
        found += of_backbone
    wrong = [p for p in found if not math.isclose(p, settings.dropout)]
    if wrong:
        raise Refused(f"dropout {settings.dropout} was asked for, but a module has {wrong[0]}.")
