"""A backbone with a head: pooling, dropout and a linear layer, and what of it is trained."""

import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainers.backbone import LoadedModel, embeddings_of, layers_of
from trainers.draws import draw_seed
from trainers.protocol import FinetuneSettings, Refused
from trainers.text_classifier import pool

_HEAD_STD = 0.02
"""Standard deviation of the head's first weights, as BERT's (Devlin et al. 2018) initialisation."""


class Classifier(nn.Module):
    """Token states of a backbone, pooled to one vector, then dropout and a linear layer."""

    def __init__(
        self, backbone: PreTrainedModel, pooling: str, dropout: float, classes: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.config.hidden_size, classes)
        self.frozen: list[nn.Module] = []
        # A generic tokenizer tells pairs apart by types for models that have none, too; GPT-2
        # would take them for words.
        self._has_types = (getattr(backbone.config, "type_vocab_size", None) or 0) > 1

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits, shape (sentences, classes), of token ids and mask, shape (sentences, tokens)."""
        known = {k: v for k, v in batch.items() if self._has_types or k != "token_type_ids"}
        states = self.backbone(**known).last_hidden_state
        pooled = pool(states, batch["attention_mask"], self.pooling)
        dtype = next(self.head.parameters()).dtype
        logits: Tensor = self.head(self.dropout(pooled.to(dtype)))
        return logits

    def train(self, mode: bool = True) -> "Classifier":
        """Switch to training; frozen modules stay in evaluation, so their output is fixed."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self


def build(loaded: LoadedModel, settings: FinetuneSettings, classes: int, seed: int) -> Classifier:
    """Build, freeze and check a classifier. Raises Refused for what the model cannot do."""
    changes = _dropouts(loaded, settings.dropout) if settings.dropout_scope == "all" else {}
    backbone = loaded.build(**changes)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # type: ignore[assignment] # it would have weights that no gradient ever reaches
    model = Classifier(backbone, settings.pooling, settings.dropout, classes)
    generator = torch.Generator().manual_seed(draw_seed(seed, "init"))
    with torch.no_grad():
        model.head.weight.normal_(0.0, _HEAD_STD, generator=generator)
        model.head.bias.zero_()
    _freeze(model, settings.freeze)
    _check_dropout(model, settings)
    return model


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


def dropouts_of(model: nn.Module) -> list[float]:
    """Every dropout probability of the live modules, those kept as plain numbers too."""
    found = []
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            found.append(module.p)
        found.extend(
            value
            for name, value in vars(module).items()
            if "dropout" in name and isinstance(value, float)
        )
    return found


def _check_dropout(model: Classifier, settings: FinetuneSettings) -> None:
    found = [model.dropout.p]
    if settings.dropout_scope == "all":
        of_backbone = dropouts_of(model.backbone)
        if not of_backbone and settings.dropout > 0:
            raise Refused("The model has no dropout to set; use dropout_scope: head.")
        found += of_backbone
    wrong = [p for p in found if not math.isclose(p, settings.dropout)]
    if wrong:
        raise Refused(f"dropout {settings.dropout} was asked for, but a module has {wrong[0]}.")


def frozen_layers(freeze: str | int, layers: int) -> int | None:
    """How many layers stay as pretrained, beside the embeddings; None: not even those.

    Shares round down: `half` of 7 layers is 3, `full` (three quarters) of 6 layers is 4. Raises
    Refused for more layers than there are.
    """
    shares = {"embed": 0, "half": layers // 2, "full": layers * 3 // 4}
    if freeze == "none":
        return None
    number = freeze if isinstance(freeze, int) else shares[freeze]
    if number > layers:
        raise Refused(f"freeze {number}: the model has {layers} layers. Allowed: 0 to {layers}.")
    return number


def _freeze(model: Classifier, freeze: str | int) -> None:
    if freeze == "none":
        return
    layers = layers_of(model.backbone)
    number = frozen_layers(freeze, len(layers)) or 0
    model.frozen = [*embeddings_of(model.backbone), *layers[:number]]
    for module in model.frozen:
        module.requires_grad_(False)
