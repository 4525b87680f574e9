"""A text classifier exported by `trytable best`: a backbone, pooling and a head.

This file is part of the exported model and needs only torch, transformers and safetensors.
`model.safetensors` has the backbone, which AutoModel also loads without this file.
`head.safetensors` has the head, whose layers config.json lists under `trytable`.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD_FILE = "head.safetensors"
LAYER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features"),
    "BatchNorm1d": ("num_features", "eps"),
    "ReLU": (),
    "GELU": ("approximate",),
    "Tanh": (),
    "Dropout": ("p",),
    "Identity": (),
}
"""The layers that a head may have, and the constructor arguments of each."""


class TextClassifier(nn.Module):
    """Computes logits of texts.

    `AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)` returns
    one in evaluation mode.
    """

    def __init__(self, backbone: Any, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pooling = pooling
        self.config = backbone.config
        # A model without token types, such as GPT-2, would look them up among its words.
        self._has_types = (getattr(self.config, "type_vocab_size", None) or 0) > 1

    @classmethod
    def from_pretrained(cls, folder: str, *_: Any, **arguments: Any) -> "TextClassifier":
        """Load an exported folder. Raises OSError if a file is missing."""
        loader = {k: v for k, v in arguments.items() if k not in ("config", "trust_remote_code")}
        backbone = AutoModel.from_pretrained(folder, trust_remote_code=False, **loader)
        description = backbone.config.trytable
        layers = [getattr(nn, layer["kind"])(**layer["arguments"]) for layer in description["head"]]
        head = nn.Sequential(*layers)
        head.load_state_dict(load_file(Path(folder) / HEAD_FILE))
        return cls(backbone, head, description["pooling"]).eval()

    @classmethod
    def register_for_auto_class(cls, auto_class: object = None) -> None:
        """Do nothing: transformers calls this, but the class is already in the folder."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Compute logits, shape (texts, classes), of ids and mask, shape (texts, tokens)."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._has_types and token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        states = self.backbone(**inputs).last_hidden_state
        pooled = pool(states, attention_mask, self.pooling)
        dtype = next(self.head.parameters()).dtype
        return SequenceClassifierOutput(logits=self.head(pooled.to(dtype)))


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pool token states, shape (sentences, tokens, width), to shape (sentences, width).

    `cls` takes the first token that is not padding, `last` the last one, `mean` the mean of all.
    Padding may be on either side.
    """
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    if pooling == "cls":
        position = positions.masked_fill(mask == 0, mask.shape[1]).amin(1)
    else:
        position = positions.masked_fill(mask == 0, -1).amax(1)
    return states[torch.arange(len(states), device=states.device), position]
