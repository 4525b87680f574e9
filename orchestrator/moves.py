"""How a knob's value moves: further, back, or between two that were tried."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from results.diagnosis import Advice

_FREEZES = ("none", "embed", "half", "full")
_FACTOR = {"lr": 3.0, "head_lr_multiplier": 5.0, "weight_decay": 3.0}
_FIRST = {"weight_decay": 0.01, "warmup": 0.1}
"""Where a knob that stands at 0 begins."""

_STEP = {"dropout": 0.1}
"""Knobs that move by steps; all others by factors, of 2 unless named above."""

_DIGITS = 3


def moved(name: str, value: Any, advice: Advice, times: int) -> list[Any]:
    """The value as it is, and then so many times moved the advised way, or as advised."""
    if advice.value is not None:
        return [value, advice.value]
    values = [value]
    for _ in range(times):
        values.append(_moved(name, values[-1], up=advice.direction == "raise"))
    return values


def is_number(value: object) -> bool:
    """True for a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def middle(one: float, other: float) -> float:
    """The geometric mean, or the plain one of knobs that may be 0; whole for whole numbers."""
    found = math.sqrt(one * other) if one > 0 and other > 0 else (one + other) / 2
    return round(found) if isinstance(one, int) and isinstance(other, int) else found


def beyond(inner: float, outer: float) -> float:
    """As far on from the outer value as it is from the inner one."""
    found = outer * outer / inner if inner > 0 and outer > 0 else 2 * outer - inner
    return round(found) if isinstance(inner, int) and isinstance(outer, int) else found


def valid(values: Iterable[Any], is_valid: Callable[[Any], bool]) -> list[Any]:
    """The values that are allowed, rounded as people write them, each once."""
    kept: list[Any] = []
    for value in values:
        rounded = _rounded(value)
        if rounded not in kept and is_valid(rounded):
            kept.append(rounded)
    return kept


def takes(schema: type[BaseModel], settings: dict[str, Any], name: str, value: Any) -> bool:
    """Whether a trainer takes a value among these settings."""
    try:
        schema.model_validate({**settings, name: value})
    except ValidationError:
        return False
    return True


def _moved(name: str, value: Any, up: bool) -> Any:
    if name == "freeze":
        return _moved_freeze(value, up)
    if not is_number(value):
        return value
    if name in _STEP:
        return value + _STEP[name] if up else value - _STEP[name]
    if value == 0:
        return _FIRST.get(name, 0) if up else 0
    factor = _FACTOR.get(name, 2.0)
    found = value * factor if up else value / factor
    return max(1, round(found)) if isinstance(value, int) else found


def _moved_freeze(value: Any, up: bool) -> Any:
    if isinstance(value, int):
        return value + 1 if up else value // 2
    if value not in _FREEZES:
        return value  # patterns of names know no more and no less
    at = _FREEZES.index(value) + (1 if up else -1)
    return _FREEZES[min(max(at, 0), len(_FREEZES) - 1)]


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return value
