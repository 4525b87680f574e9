"""Training texts, changed a little at random: tokens left out, moved, or replaced by neighbours.

As Wei and Zou 2019 (easy data augmentation) do it to words, with the model's own embeddings in the
place of a thesaurus. Special tokens stay as and where they are; evaluation never sees a change.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from trytable.trainers.data.tokens import Indices, TokenSplit, write_folder
from trytable.trainers.protocol.messages import FinetuneSettings

NEIGHBOURS = 10
"""A replaced token becomes one of its so many nearest by cosine."""

_ROWS_AT_ONCE = 512
"""Tokens whose similarities to the whole vocabulary are held in memory at once."""

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Neighbours:
    """The nearest tokens of some: `ids`, shape (tokens,), are sorted; `table` has shape
    (tokens, NEIGHBOURS), nearest first."""

    ids: Ids
    table: Ids

    def choose(self, tokens: Ids, choice: Indices) -> Ids:
        """For each token its neighbour of that rank."""
        found: Ids = self.table[np.searchsorted(self.ids, tokens), choice % self.table.shape[1]]
        return found


def cached_neighbours(cache: Path, embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """`nearest_neighbours`, worked out by the first trial of a model and read by all others."""
    digest = hashlib.sha256()
    for part in (embeddings.detach().cpu().numpy(), ids, special):
        digest.update(str(part.shape).encode() + np.ascontiguousarray(part).data)
    folder = cache / f"neighbours-{digest.hexdigest()[:32]}-{NEIGHBOURS}"
    if not folder.exists():
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                table = nearest_neighbours(embeddings, ids, special).table
                write_folder(folder, lambda path: np.save(path / "table.npy", table))
    return Neighbours(ids, np.load(folder / "table.npy", mmap_mode="r", allow_pickle=False))


@torch.inference_mode()
def nearest_neighbours(embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """The neighbours of tokens by cosine of their input embeddings, shape (vocabulary, width).

    Neither a token itself nor a special one is a neighbour. Holds one copy of the embeddings and
    _ROWS_AT_ONCE rows of similarities.
    """
    unit = torch.nn.functional.normalize(embeddings.float(), dim=1)
    size = max(1, min(NEIGHBOURS, len(unit) - len(special) - 1))
    never = torch.from_numpy(special.astype(np.int64)).to(unit.device)
    found = []
    for first in range(0, len(ids), _ROWS_AT_ONCE):
        rows = torch.from_numpy(ids[first : first + _ROWS_AT_ONCE].astype(np.int64))
        rows = rows.to(unit.device)
        similar = unit[rows] @ unit.T
        similar[:, never] = -torch.inf
        similar[torch.arange(len(rows)), rows] = -torch.inf
        found.append(similar.topk(size, dim=1).indices.cpu().numpy().astype(np.int32))
    return Neighbours(ids, np.concatenate(found))


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
            ids[words[chosen]] = self.neighbours.choose(ids[words[chosen]], choice[chosen])
        moved = words[order[draws[1][order] < self.swap]]
        ids[moved] = ids[np.roll(moved, 1)]
        gone = words[draws[2] < self.delete]
        if len(gone) == len(words):
            gone = gone[1:]  # something to read must be left
        where = np.setdiff1d(np.arange(len(ids)), gone)
        return where, ids[where]


def make_augmenter(
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
        neighbours = cached_neighbours(cache, embeddings, words, special)
    return Augmenter(delete, swap, replace, special, neighbours)
