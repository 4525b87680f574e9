"""Repeats, medians and the way a result is printed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome: what was measured, in words, and whether the aim was reached."""

    name: str
    figures: str
    aim: str
    is_reached: bool


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    """The median of slow / fast over repeats, each pair measured side by side."""
    return statistics.median(slow / fast for slow, fast in pairs)


def spread(values: list[float]) -> str:
    """A median with the smallest and the largest, in seconds."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
