"""Training texts, changed a little at random: tokens left out, moved, or replaced by neighbours.

As Wei and Zou 2019 (easy data augmentation) do it to words, with the model's own embeddings in the
place of a thesaurus. Special tokens stay as and where they are; evaluation never sees a change.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from trainers.neighbours import Ids, Neighbours, kept_neighbours
from trainers.protocol import FinetuneSettings
from trainers.tokens import Indices, TokenSplit


@dataclass(frozen=True)
class Augmenter:
    """Changes texts; `special` are the ids of tokens that stay, `neighbours` of those that may be
    replaced."""

    delete: float
    swap: float
    replace: float
    special: Ids
    neighbours: Neighbours | None

    def apply(self, split: TokenSplit, indices: Indices, seed: int) -> TokenSplit:
        """These texts of a split, changed; the same seed changes them in the same way."""
        generator = np.random.default_rng(seed)
        taken = split.take(indices)
        spans = zip(taken.offsets[:-1], taken.offsets[1:], strict=True)
        changed = [self._text(taken.ids[begin:end], generator) for begin, end in spans]
        places = np.concatenate(
            [begin + where for begin, (where, _) in zip(taken.offsets[:-1], changed, strict=True)]
        )
        return TokenSplit(
            ids=np.concatenate([tokens for _, tokens in changed]),
            offsets=np.cumsum([0, *(len(where) for where, _ in changed)], dtype=np.int64),
            labels=taken.labels,
            types=None if taken.types is None else taken.types[places],
        )

    def _text(self, ids: Ids, generator: np.random.Generator) -> tuple[Indices, Ids]:
        """The places that are left of a text, and what stands there now."""
        ids = np.array(ids)
        words = np.flatnonzero(~np.isin(ids, self.special))
        # Every draw is made for every word, so that one share does not change another's draws.
        draws = generator.random((3, len(words)))
        order, choice = generator.permutation(len(words)), generator.integers(0, 2**31, len(words))
        chosen = draws[0] < self.replace
        if self.neighbours is not None:
            ids[words[chosen]] = self.neighbours.of(ids[words[chosen]], choice[chosen])
        moved = words[order[draws[1][order] < self.swap]]
        ids[moved] = ids[np.roll(moved, 1)]
        gone = words[draws[2] < self.delete]
        if len(gone) == len(words):
            gone = gone[1:]  # something to read must be left
        where = np.setdiff1d(np.arange(len(ids)), gone)
        return where, ids[where]


def augmenter_of(
    settings: FinetuneSettings, split: TokenSplit, special: Ids, embeddings: Tensor, cache: Path
) -> Augmenter | None:
    """The augmenter of a job's training texts; None where nothing is to be changed.

    `special` are token ids, shape (tokens,), `embeddings` those of the model's input, shape
    (vocabulary, width). Neighbours are kept in the cache.
    """
    delete, swap, replace = (
        settings.augment_delete,
        settings.augment_swap,
        settings.augment_replace,
    )
    if not delete and not swap and not replace:
        return None
    neighbours = None
    if replace:
        words = np.setdiff1d(np.asarray(split.ids), special).astype(np.int32)
        neighbours = kept_neighbours(cache, embeddings, words, special)
    return Augmenter(delete, swap, replace, special, neighbours)
