"""The nearest tokens of each token, by the model's own input embeddings; worked out once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from trainers.tokens import Indices, write_folder

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

    def of(self, tokens: Ids, choice: Indices) -> Ids:
        """For each token its neighbour of that rank."""
        found: Ids = self.table[np.searchsorted(self.ids, tokens), choice % self.table.shape[1]]
        return found


def kept_neighbours(cache: Path, embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
    """`nearest`, worked out by the first trial of a model and read by all others."""
    digest = hashlib.sha256()
    for part in (embeddings.detach().cpu().numpy(), ids, special):
        digest.update(str(part.shape).encode() + np.ascontiguousarray(part).data)
    folder = cache / f"neighbours-{digest.hexdigest()[:32]}-{NEIGHBOURS}"
    if not folder.exists():
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                table = nearest(embeddings, ids, special).table
                write_folder(folder, lambda path: np.save(path / "table.npy", table))
    return Neighbours(ids, np.load(folder / "table.npy", mmap_mode="r", allow_pickle=False))


@torch.inference_mode()
def nearest(embeddings: Tensor, ids: Ids, special: Ids) -> Neighbours:
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
