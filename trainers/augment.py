"""Training texts, changed a little at random: tokens left out, moved, or replaced by neighbours.

As Wei and Zou 2019 (easy data augmentation) do it to words, with the model's own embeddings in the
place of a thesaurus. Special tokens stay as and where they are; evaluation never sees a change.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.protocol import FinetuneSettings
from trainers.tokens import Indices, TokenSplit

NEIGHBOURS = 10
"""A replaced token becomes one of its so many nearest by cosine."""

_ROWS_AT_ONCE = 512
"""Tokens whose similarities to the whole vocabulary are held in memory at once."""

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Neighbours:
    """The nearest tokens of some: `table` has shape (len(ids), NEIGHBOURS), `ids` are sorted."""

    ids: Ids
    table: Ids

    def of(self, tokens: Ids, choice: Indices) -> Ids:
        """For each token its neighbour of that rank."""
        found: Ids = self.table[np.searchsorted(self.ids, tokens), choice % self.table.shape[1]]
        return found


@torch.inference_mode()
def nearest(embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """The neighbours of tokens by cosine of their input embeddings, shape (vocabulary, width).

    Neither a token itself nor a special one is a neighbour.
    """
    table = torch.nn.functional.normalize(embeddings.float(), dim=1)
    size = min(NEIGHBOURS, len(table) - len(special) - 1)
    found = []
    for first in range(0, len(ids), _ROWS_AT_ONCE):
        rows = torch.from_numpy(ids[first : first + _ROWS_AT_ONCE].astype(np.int64)).to(
            table.device
        )
        similar = table[rows] @ table.T
        similar[torch.arange(len(rows)), rows] = -2.0
        similar[:, torch.from_numpy(special.astype(np.int64)).to(table.device)] = -2.0
        found.append(similar.topk(max(size, 1), dim=1).indices.cpu().numpy().astype(np.int32))
    return Neighbours(ids, np.concatenate(found))


@dataclass(frozen=True)
class Augmenter:
    """Changes sentences; shares and probabilities are the settings'."""

    settings: FinetuneSettings
    special: Ids
    neighbours: Neighbours | None

    def apply(self, split: TokenSplit, indices: Indices, seed: int) -> TokenSplit:
        """These sentences, changed; the same seed changes them in the same way."""
        generator = np.random.default_rng(seed)
        taken = split.take(indices)
        kept = [
            self._sentence(taken.ids[begin:end], generator)
            for begin, end in zip(taken.offsets[:-1], taken.offsets[1:], strict=True)
        ]
        places = [begin + where for begin, (where, _) in zip(taken.offsets, kept, strict=False)]
        offsets = np.cumsum([0, *(len(where) for where, _ in kept)], dtype=np.int64)
        types = None if taken.types is None else taken.types[np.concatenate(places)]
        ids = np.concatenate([tokens for _, tokens in kept])
        return TokenSplit(ids, offsets, taken.labels, types)

    def _sentence(self, ids: Ids, generator: np.random.Generator) -> tuple[Indices, Ids]:
        """The places that are left of a sentence, and what stands there now."""
        ids = np.array(ids)
        words = np.flatnonzero(~np.isin(ids, self.special))
        # Every draw is made for every word, so that one share does not change another's draws.
        draws = generator.random((3, len(words)))
        order, choice = generator.permutation(len(words)), generator.integers(0, 2**31, len(words))
        if self.neighbours is not None and len(words):
            chosen = words[draws[0] < self.settings.augment_replace]
            ids[chosen] = self.neighbours.of(ids[chosen], choice[: len(chosen)])
        moved = words[order[: round(self.settings.augment_swap * len(words))]]
        ids[moved] = ids[np.roll(moved, 1)]
        gone = words[draws[1] < self.settings.augment_delete]
        if len(gone) == len(words):
            gone = gone[1:]  # something to read must be left
        where = np.setdiff1d(np.arange(len(ids)), gone)
        return where, ids[where]


def augmenter_of(
    settings: FinetuneSettings, split: TokenSplit, special: Ids, embeddings: Tensor
) -> Augmenter | None:
    """The augmenter of a job's training texts; None where nothing is to be changed."""
    shares = (settings.augment_delete, settings.augment_swap, settings.augment_replace)
    if not any(shares):
        return None
    neighbours = None
    if settings.augment_replace:
        words = np.setdiff1d(np.asarray(split.ids), special).astype(np.int32)
        neighbours = nearest(embeddings, words, special)
    return Augmenter(settings, special, neighbours)
