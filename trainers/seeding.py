"""Derives the seed of every random draw from the job's seed, by stream, epoch and step.

Changing one knob therefore leaves the draws of all others alone, and a resumed trial draws the
same numbers as one that was never interrupted.
"""

import hashlib
from typing import Literal

Stream = Literal["init", "order", "dropout", "probe", "augment", "heart"]
"""What a seed is for. The names are hashed: another name means other random numbers."""


def draw_seed(seed: int, stream: Stream, epoch: int = 0, step: int = 0) -> int:
    """Return a 63-bit seed for one purpose: the SHA-256 of seed, stream, epoch and step."""
    digest = hashlib.sha256(f"{seed} {stream} {epoch} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
