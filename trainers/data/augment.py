"""Random changes of training texts: tokens are deleted, swapped or replaced by neighbours.

This is easy data augmentation (Wei and Zou 2019) on tokens instead of words. The model's own input
embeddings take the place of a thesaurus. Special tokens are never changed, and evaluation sees the
texts as they are.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trytable.trainers.data.folders import write_folder_once
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.protocol.messages import FinetuneSettings

NEIGHBOURS = 10
"""A replaced token becomes one of this many nearest neighbours by cosine similarity."""

_ROWS_AT_ONCE = 512
"""Tokens whose similarities to the whole vocabulary are in memory at once."""

Ids = NDArray[np.int32]


def make_augmenter(
    settings: FinetuneSettings, split: TokenSplit, special: Ids, embeddings: Tensor, cache: Path
) -> "Augmenter | None":
    """Return the augmenter of a job's training texts, or None if augmentation is off.

    Args:
        settings: shares of tokens to delete, swap and replace.
        split: the training texts.
        special: ids of special tokens, shape (tokens,).
        embeddings: the model's input embeddings, shape (vocabulary, width).
        cache: folder in which the neighbours are stored.
    """
    delete, swap = settings.augment_delete, settings.augment_swap
    replace = settings.augment_replace
    if not delete and not swap and not replace:
        return None
    neighbours = None
    if replace:
        words = np.setdiff1d(np.asarray(split.ids), special).astype(np.int32)
        neighbours = cached_neighbours(cache, embeddings, words, special)
    return Augmenter(delete, swap, replace, special, neighbours)


@dataclass(frozen=True)
class Augmenter:
    """Changes texts at random.

    `special` are the ids of tokens that stay; `neighbours` those that replace the others.
    """

    delete: float
    swap: float
    replace: float
    special: Ids
    neighbours: "Neighbours | None"

    def apply(self, split: TokenSplit, indices: Indices, seed: int) -> TokenSplit:
        """Return changed copies of these texts; the same seed gives the same changes."""
        generator = np.random.default_rng(seed)
        original = split.take(indices)
        spans = zip(original.offsets[:-1], original.offsets[1:], strict=True)
        changed = [self._text(original.ids[begin:end], generator) for begin, end in spans]
        firsts = np.repeat(original.offsets[:-1], [len(ids) for _, ids in changed])
        positions = firsts + np.concatenate([remaining for remaining, _ in changed])
        return TokenSplit(
            ids=np.concatenate([ids for _, ids in changed]),
            offsets=np.cumsum([0, *(len(ids) for _, ids in changed)], dtype=np.int64),
            labels=original.labels,
            types=None if original.types is None else original.types[positions],
        )

    def _text(self, ids: Ids, generator: np.random.Generator) -> tuple[Indices, Ids]:
        """Return the positions of a text that remain, and the ids at them after the changes."""
        ids = np.array(ids)
        words = np.flatnonzero(~np.isin(ids, self.special))
        # Every word draws for every change, so that one share does not shift the others' draws.
        draws = generator.random((3, len(words)))
        order, ranks = generator.permutation(len(words)), generator.integers(0, 2**31, len(words))
        replaced = draws[0] < self.replace
        if self.neighbours is not None:
            ids[words[replaced]] = self.neighbours.choose(ids[words[replaced]], ranks[replaced])
        swapped = words[order[draws[1][order] < self.swap]]
        ids[swapped] = ids[np.roll(swapped, 1)]
        deleted = words[draws[2] < self.delete]
        if len(deleted) == len(words):
            deleted = deleted[1:]  # a text keeps at least one word
        positions = np.setdiff1d(np.arange(len(ids)), deleted)
        return positions, ids[positions]


@dataclass(frozen=True)
class Neighbours:
    """The nearest tokens of some tokens.

    `ids`, shape (tokens,), are sorted; `table`, shape (tokens, NEIGHBOURS), has the nearest first.
    """

    ids: Ids
    table: Ids

    def choose(self, tokens: Ids, ranks: Indices) -> Ids:
        """Return for each token its neighbour of that rank, modulo the number of neighbours."""
        neighbours: Ids = self.table[np.searchsorted(self.ids, tokens), ranks % self.table.shape[1]]
        return neighbours


def cached_neighbours(cache: Path, embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """Return `nearest_neighbours`, which the first trial of a model computes for all others."""
    digest = hashlib.sha256()
    for array in (embeddings.detach().cpu().numpy(), ids, special):
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).data)
    folder = cache / f"neighbours-{digest.hexdigest()[:32]}-{NEIGHBOURS}"

    def compute(path: Path) -> None:
        np.save(path / "table.npy", nearest_neighbours(embeddings, ids, special).table)

    write_folder_once(folder, compute)
    return Neighbours(ids, np.load(folder / "table.npy", mmap_mode="r", allow_pickle=False))


@torch.inference_mode()
def nearest_neighbours(embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """Return the neighbours of tokens by cosine similarity of their input embeddings.

    Neither the token itself nor a special token is a neighbour. Needs memory for one copy of the
    embeddings, shape (vocabulary, width), and for _ROWS_AT_ONCE rows of similarities.
    """
    unit = torch.nn.functional.normalize(embeddings.float(), dim=1)
    size = max(1, min(NEIGHBOURS, len(unit) - len(special) - 1))
    excluded = torch.from_numpy(special.astype(np.int64)).to(unit.device)
    tables = []
    for first in range(0, len(ids), _ROWS_AT_ONCE):
        rows = torch.from_numpy(ids[first : first + _ROWS_AT_ONCE].astype(np.int64))
        rows = rows.to(unit.device)
        similarity = unit[rows] @ unit.T
        similarity[:, excluded] = -torch.inf
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        tables.append(similarity.topk(size, dim=1).indices.cpu().numpy().astype(np.int32))
    return Neighbours(ids, np.concatenate(tables))
