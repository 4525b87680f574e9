"""Batches of sentences: which ones go together, padding, and the tensors on a device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
) -> tuple[dict[str, NDArray[Any]], Indices]:
    """Return ids, mask (and types), each of shape (sentences, longest), and the labels.

    If the split has hidden states, the batch has them too: (sentences, longest, width).
    """
    begins, ends = split.offsets[indices], split.offsets[np.asarray(indices) + 1]
    longest = int((ends - begins).max())

    def pad(values: NDArray[Any], dtype: type[np.generic], filler: int = 0) -> NDArray[Any]:
        array = np.full((len(indices), longest, *values.shape[1:]), filler, dtype=dtype)
        for row, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            array[row, : end - begin] = values[begin:end]
        return array

    mask = np.arange(longest) < (ends - begins)[:, None]
    batch = {
        "input_ids": pad(split.ids, np.int64, pad_id),
        "attention_mask": mask.astype(np.int64),
    }
    if split.types is not None:
        batch["token_type_ids"] = pad(split.types, np.int64)
    if split.states is not None:
        batch[STATES] = pad(split.states, np.float32)
    return batch, split.labels[indices]


@dataclass(frozen=True)
class Collator:
    """Makes tensors on a device out of sentences; `pad_id` fills the shorter ones up."""

    pad_id: int
    device: torch.device

    def collate(self, split: TokenSplit, indices: Indices) -> tuple[dict[str, Tensor], Tensor]:
        """Return the batch and the labels of `pad_batch` as tensors on the device."""
        batch, labels = pad_batch(split, indices, self.pad_id)
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
        return tensors, torch.from_numpy(np.asarray(labels)).to(self.device)
