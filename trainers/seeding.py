"""Every random draw descends from the job's seed, by stream, epoch and step.

So changing one knob does not reshuffle another's draws, and a resumed trial draws what it would
have drawn.
"""

import hashlib
from typing import Literal

Stream = Literal["init", "order", "dropout", "probe", "augment", "heart"]


def draw_seed(seed: int, stream: Stream, epoch: int = 0, step: int = 0) -> int:
    """A seed of 63 bits for one purpose: SHA-256 over seed, stream, epoch and step."""
    digest = hashlib.sha256(f"{seed} {stream} {epoch} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
