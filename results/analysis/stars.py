"""One to five stars for a completed trial, by a fixed rule (docs/statistics.md)."""

import math

from trytable.results.analysis.diagnosis.symptoms.types import OverfitLevel

MAX_STARS, MIN_STARS = 5, 1
_LOST_BY_LEVEL: dict[OverfitLevel, int] = {"none": 0, "slight": 0, "moderate": 1, "severe": 2}


def stars(shortfall: float, error: float, is_worse: bool | None, level: OverfitLevel | None) -> int:
    """Five stars, minus those that a trial loses; at least one.

    Args:
        shortfall: the best trial's dev accuracy minus this one's, as a share.
        error: standard error of the best trial's accuracy; each costs one star, rounded.
        is_worse: whether it is significantly worse than the best, which costs one star; None: not
            tested.
        level: how much it overfits; moderate costs one star, severe two. None: not measured.
    """
    lost_stars = math.floor(max(0.0, shortfall) / error + 0.5) if error > 0 else 0
    lost_stars += int(bool(is_worse))
    lost_stars += _LOST_BY_LEVEL[level] if level else 0
    return max(MIN_STARS, MAX_STARS - lost_stars)
