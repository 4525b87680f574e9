"""Objectives whose best point and value are known: what a search finds can be judged without noise."""

import math
from collections.abc import Mapping
from typing import Any


def fine_tuning(point: Mapping[str, Any]) -> float:
    """A dev accuracy: a ridge over the rate, which larger batches move, and a cliff beyond it."""
    rate = math.log10(point["lr"]) - 0.5 * math.log2(point["batch_size"] / 32) * 0.3
    lost = 0.05 * (rate + 4) ** 2 if rate < -4 else 0.12 * (rate + 4) ** 2
    diverged = 0.3 / (1 + math.exp(-6 * (rate + 2.3)))
    lost += 0.15 * (point["dropout"] - 0.15) ** 2 + 0.3 * (point["weight_decay"] - 0.05) ** 2
    return max(0.2, 0.9 - lost - diverged)
