"""Objectives whose true values are known, so that what a search finds is judged without noise."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Surface:
    """An objective to be maximised: its true value, the noise on it, and its space."""

    name: str
    value: Callable[[Point], float]
    noise: float
    space: Mapping[str, BaseDistribution]


_BEST_RATE = -4.0
"""The decimal logarithm of the best learning rate at batch size 32."""


def fine_tuning(point: Point) -> float:
    """A dev accuracy: a ridge over the learning rate, which larger batches move, and a cliff."""
    rate = math.log10(point["lr"]) - 0.15 * math.log2(point["batch_size"] / 32)
    beyond = rate - _BEST_RATE
    loss = (0.12 if beyond > 0 else 0.05) * beyond**2
    loss += 0.15 * (point["dropout"] - 0.15) ** 2 + 0.3 * (point["weight_decay"] - 0.05) ** 2
    diverged = 0.3 / (1 + math.exp(-6 * (rate + 2.3)))
    return float(max(0.2, 0.9 - loss - diverged))


def branin(point: Point) -> float:
    """Branin's function, turned over: three best points, all at -0.398."""
    x, y = point["x"], point["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(-(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10))


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
"""The constants of Hartmann's function in six dimensions."""


def hartmann(point: Point) -> float:
    """Hartmann's function in six dimensions, turned over: 3.322 at its best, and a rival hill."""
    x = np.array([point[f"x{i}"] for i in range(6)])
    return float(_ALPHA @ np.exp(-np.sum(_A * (x - _P) ** 2, axis=1)))


SURFACES = (
    Surface(
        "fine-tuning, 4 parameters",
        fine_tuning,
        0.01,
        {
            "lr": FloatDistribution(1e-6, 1e-1, log=True),
            "dropout": FloatDistribution(0.0, 0.8),
            "weight_decay": FloatDistribution(0.0, 0.3),
            "batch_size": CategoricalDistribution((16, 32, 64, 128)),
        },
    ),
    Surface(
        "Branin, 2 parameters",
        branin,
        1.0,
        {"x": FloatDistribution(-5.0, 10.0), "y": FloatDistribution(0.0, 15.0)},
    ),
    Surface(
        "Hartmann, 6 parameters",
        hartmann,
        0.1,
        {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(6)},
    ),
)
