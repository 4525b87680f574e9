"""Sentences on a device: padded to the longest of their batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.tokens import Indices, TokenSplit, padded


@dataclass(frozen=True)
class Batches:
    """Makes batches; `pad_id` fills them up."""

    pad_id: int
    device: torch.device

    def make(self, split: TokenSplit, indices: Indices) -> tuple[dict[str, Tensor], Tensor]:
        """Ids and mask (and types), shape (sentences, longest), and the labels."""
        batch, labels = padded(split, indices, self.pad_id)
        tensors = {name: torch.from_numpy(one).to(self.device) for name, one in batch.items()}
        return tensors, torch.from_numpy(np.asarray(labels)).to(self.device)
