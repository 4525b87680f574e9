"""Sentences on a device: padded to the longest of their batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trytable.trainers.data.tokens import Indices, TokenSplit, pad_batch

STATES = "states"
"""A batch's name for the hidden states that it brings along."""


@dataclass(frozen=True)
class Collator:
    """Makes batches; `pad_id` fills them up."""

    pad_id: int
    device: torch.device

    def collate(self, split: TokenSplit, indices: Indices) -> tuple[dict[str, Tensor], Tensor]:
        """Ids and mask (and types), shape (sentences, longest), and the labels.

        Where the split has hidden states, theirs too, shape (sentences, longest, width).
        """
        batch, labels = pad_batch(split, indices, self.pad_id)
        tensors = {name: torch.from_numpy(one).to(self.device) for name, one in batch.items()}
        if split.states is not None:
            tensors[STATES] = self._states(split, indices, batch["input_ids"].shape[1])
        return tensors, torch.from_numpy(np.asarray(labels)).to(self.device)

    def _states(self, split: TokenSplit, indices: Indices, longest: int) -> Tensor:
        assert split.states is not None, "only called where there are some"
        found = np.zeros((len(indices), longest, split.states.shape[1]), dtype=np.float32)
        for row, index in enumerate(indices):
            begin, end = split.offsets[index], split.offsets[index + 1]
            found[row, : end - begin] = split.states[begin:end]
        return torch.from_numpy(found).to(self.device)
