"""A text classifier as `trytable best` hands it over: a backbone, pooling and a head.

This file goes along with the model and needs only torch, transformers and safetensors.
`model.safetensors` beside it is the backbone, which AutoModel loads without this file, and
`head.safetensors` the head, which config.json describes under `trytable`.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD_FILE = "head.safetensors"
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features"),
    "BatchNorm1d": ("num_features", "eps"),
    "ReLU": (),
    "GELU": ("approximate",),
    "Tanh": (),
    "Dropout": ("p",),
    "Identity": (),
}
"""The kinds of layers that a head may be made of, and what makes one."""


class TextClassifier(nn.Module):
    """Logits of texts: `AutoModelForSequenceClassification.from_pretrained(folder,
    trust_remote_code=True)` returns one, in evaluation mode."""

    def __init__(self, backbone: Any, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pooling = pooling
        self.config = backbone.config
        # Types would be taken for words by models that have none, such as GPT-2.
        self._has_types = (getattr(self.config, "type_vocab_size", None) or 0) > 1

    @classmethod
    def from_pretrained(cls, folder: str, *_: Any, **arguments: Any) -> "TextClassifier":
        """Load a folder that was handed over. Raises OSError where a part of it is missing."""
        loader = {k: v for k, v in arguments.items() if k not in ("config", "trust_remote_code")}
        backbone = AutoModel.from_pretrained(folder, trust_remote_code=False, **loader)
        made = backbone.config.trytable
        layers = [getattr(nn, one["kind"])(**one["arguments"]) for one in made["head"]]
        head = nn.Sequential(*layers)
        head.load_state_dict(load_file(Path(folder) / HEAD_FILE))
        return cls(backbone, head, made["pooling"]).eval()

    @classmethod
    def register_for_auto_class(cls, auto_class: object = None) -> None:
        """transformers calls this; there is nothing to remember."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, shape (texts, classes), of token ids and mask, shape (texts, tokens)."""
        types = {"token_type_ids": token_type_ids} if self._has_types else {}
        known = {name: tensor for name, tensor in types.items() if tensor is not None}
        states = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, **known
        ).last_hidden_state
        pooled = pool(states, attention_mask, self.pooling)
        return SequenceClassifierOutput(logits=self.head(pooled.to(_dtype(self.head))))


def _dtype(head: nn.Module) -> torch.dtype:
    return next(head.parameters()).dtype


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector a sentence: shape (sentences, tokens, width) to (sentences, width).

    `cls` takes the first real token, `last` the last real one, `mean` the mean of all real ones;
    padding may stand on either side.
    """
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    if pooling == "cls":
        chosen = places.masked_fill(mask == 0, mask.shape[1]).amin(1)
    else:
        chosen = places.masked_fill(mask == 0, -1).amax(1)
    return states[torch.arange(len(states), device=states.device), chosen]
