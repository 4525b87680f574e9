"""Batches of sentences: which ones go together, padding, and the tensors on a device."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trytable.trainers.data.tokens import Indices, TokenSplit

JITTER = 0.02
"""Relative noise on lengths before they are sorted. With it batches differ from epoch to epoch,
and padding stays well under 5 % of the tokens."""

STATES = "states"
"""The batch key of precomputed hidden states."""


def batches_by_length(lengths: Indices, batch_size: int, seed: int) -> list[Indices]:
    """Return batches of sentences of similar length, in random order; each sentence is in one.

    All batches have `batch_size` sentences except one, which takes the remainder. Its place among
    the lengths is random, so that the longest sentences are not always in the smaller batch.
    """
    generator = np.random.default_rng(seed)
    noisy = lengths * (1 + JITTER * generator.uniform(-1, 1, len(lengths)))
    order = np.lexsort((generator.random(len(lengths)), noisy))
    full, remainder = divmod(len(lengths), batch_size)
    sizes = [batch_size] * full
    if remainder:
        sizes.insert(int(generator.integers(full + 1)), remainder)
    batches = np.split(order, np.cumsum(sizes)[:-1])
    return [batches[i] for i in generator.permutation(len(batches))]


def batches_in_order(lengths: Indices, batch_size: int) -> Iterator[Indices]:
    """Yield batches from the shortest to the longest sentence, for evaluation."""
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def pad_batch(
    split: TokenSplit, indices: Indices, pad_id: int
) -> tuple[dict[str, NDArray[np.int64]], Indices]:
    """Return token ids, mask (and types) of shape (sentences, longest), and the labels."""
    spans = [(split.offsets[i], split.offsets[i + 1]) for i in indices]
    longest = max(end - begin for begin, end in spans)
    shape = (len(indices), int(longest))
    batch = {
        "input_ids": np.full(shape, pad_id, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
    }
    if split.types is not None:
        batch["token_type_ids"] = np.zeros(shape, dtype=np.int64)
    for row, (begin, end) in enumerate(spans):
        batch["input_ids"][row, : end - begin] = split.ids[begin:end]
        batch["attention_mask"][row, : end - begin] = 1
        if split.types is not None:
            batch["token_type_ids"][row, : end - begin] = split.types[begin:end]
    return batch, split.labels[indices]


@dataclass(frozen=True)
class Collator:
    """Makes tensors on a device out of sentences; `pad_id` fills the shorter ones up."""

    pad_id: int
    device: torch.device

    def collate(self, split: TokenSplit, indices: Indices) -> tuple[dict[str, Tensor], Tensor]:
        """Return ids, mask (and types), each of shape (sentences, longest), and the labels.

        If the split has hidden states, the batch has them too: (sentences, longest, width).
        """
        batch, labels = pad_batch(split, indices, self.pad_id)
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
        if split.states is not None:
            tensors[STATES] = self._states(split, indices, batch["input_ids"].shape[1])
        return tensors, torch.from_numpy(np.asarray(labels)).to(self.device)

    def _states(self, split: TokenSplit, indices: Indices, longest: int) -> Tensor:
        assert split.states is not None, "only called for a split with hidden states"
        states = np.zeros((len(indices), longest, split.states.shape[1]), dtype=np.float32)
        for row, index in enumerate(indices):
            begin, end = split.offsets[index], split.offsets[index + 1]
            states[row, : end - begin] = split.states[begin:end]
        return torch.from_numpy(states).to(self.device)
