"""One to five stars for a completed try, by a written rule (docs/statistics.md)."""

import math

from trytable.results.analysis.diagnosis.types import OverfitLevel

MAX_STARS, MIN_STARS = 5, 1
_LOST_BY_LEVEL: dict[OverfitLevel, int] = {"none": 0, "slight": 0, "moderate": 1, "severe": 2}


def stars(
    shortfall: float, error: float, told_apart: bool | None, level: OverfitLevel | None
) -> int:
    """Five stars, less what a try lost; never under one.

    Args:
        shortfall: the best try's dev accuracy minus this one's, as a share.
        error: standard error of the best try's accuracy; one star goes for each, rounded.
        told_apart: whether a paired test tells it from the best; another star. None: not tested.
        level: how far it overfits; moderate costs one star, severe two. None: not measured.
    """
    lost = math.floor(max(0.0, shortfall) / error + 0.5) if error > 0 else 0
    lost += int(bool(told_apart))
    lost += _LOST_BY_LEVEL[level] if level else 0
    return max(MIN_STARS, MAX_STARS - lost)
