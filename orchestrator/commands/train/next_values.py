"""Chooses the next values of a knob from what was tried and what came of it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from trytable.records import is_number
from trytable.results.analysis.diagnosis.types import Advice, Diagnosis
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.format import short

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


Findings = Mapping[int, tuple[Diagnosis, ...]]

BROKEN = frozenset({"no_learning", "divergence", "non_finite", "exploding_weights"})
"""Findings after which a value is not tried again."""


@dataclass(frozen=True)
class Choice:
    """A value, or the values to try, and which finding or result led there."""

    value: Any
    why: str


@dataclass(frozen=True)
class Chooser:
    """Chooses values of a knob from what was tried."""

    study: StudyResult
    found: Findings
    settings: Mapping[str, Any]
    schema: type[BaseModel]

    def around(
        self, name: str, best: TrialResult | None, wanted: tuple[Advice, str] | None
    ) -> Choice:
        """The values to try of a knob that was swept already."""
        if wanted is not None and wanted[0].direction in ("raise", "lower"):
            values = self._unbroken(name, self.moved(name, wanted[0], times=2))
            if len(values) > 1:
                return Choice(values, wanted[1])
        value, tried = self.settings[name], self.tried(name)
        if best is None or not all(map(is_number, (value, *tried))):
            return self._best_words(name, tried)
        return self._near(name, best, sorted({*tried, value}))

    def _near(self, name: str, best: TrialResult, tried: Sequence[float]) -> Choice:
        """Between the neighbours of the best value; beyond it where it was the outermost."""
        value = self.settings[name]
        at = tried.index(value)
        low = tried[at - 1] if at else None
        high = tried[at + 1] if at + 1 < len(tried) else None
        if low is not None and high is not None:
            values = [self._towards(name, low), value, self._towards(name, high)]
            why = f"{best.label} was best, between {short(low)} and {short(high)}"
        elif low is None and high is None:
            values = [*self._moves(name, up=False)[1:], value, *self._moves(name, up=True)[1:]]
            why = f"{short(value)} is all that was tried"
        else:
            inner = high if low is None else low
            assert inner is not None, "one of the two is there"
            values = [self._towards(name, inner), value, beyond(inner, value)]
            word = "smallest" if low is None else "largest"
            why = f"{best.label} was best with the {word} value tried, so further"
        return Choice(sorted(self._unbroken(name, self.valid(name, values))), why)

    def _towards(self, name: str, neighbour: float) -> float:
        """Half of the way to a neighbour of the best value; one move to one that broke."""
        value: float = self.settings[name]
        if neighbour in self.broken(name):
            step: float = self._moves(name, up=neighbour > value)[-1]
            if min(value, neighbour) < step < max(value, neighbour):
                return step
        return middle(neighbour, value)

    def _moves(self, name: str, up: bool) -> list[Any]:
        return self.moved(name, Advice(name, "raise" if up else "lower"), times=1)

    def _best_words(self, name: str, tried: Sequence[Any]) -> Choice:
        """Of words: those of the better half of the tries, two at least, but for broken ones."""
        ranked = [one.settings[name] for one in self.study.ranked if name in one.settings]
        order = list(dict.fromkeys([*ranked, *tried]))
        kept = self._unbroken(name, order[: max(2, math.ceil(len(order) / 2))])
        return Choice(kept, "the better half of what was tried")

    def moved(self, name: str, advice: Advice, times: int) -> list[Any]:
        """The value and so many moves the advised way; those that the trainer takes."""
        return self.valid(name, moved(name, self.settings[name], advice, times))

    def valid(self, name: str, values: Iterable[Any]) -> list[Any]:
        """The values that the trainer takes, rounded as people write them, each once."""
        settings = dict(self.settings)
        return valid(values, lambda one: takes(self.schema, settings, name, one))

    def tried(self, name: str) -> list[Any]:
        """The values of all tries, each once, in their order."""
        found = (one.settings[name] for one in self.study.trials if name in one.settings)
        return list(dict.fromkeys(found))

    def broken(self, name: str) -> set[Any]:
        """The values with which every try broke."""
        whole: set[Any] = set()
        broken: set[Any] = set()
        for one in self.study.trials:
            kinds = {diagnosed.kind for diagnosed in self.found.get(one.number, ())}
            (broken if kinds & BROKEN else whole).add(one.settings.get(name))
        return broken - whole

    def _unbroken(self, name: str, values: Iterable[Any]) -> list[Any]:
        """Without the values that broke, and without numbers beyond one that broke."""
        value, broken = self.settings[name], self.broken(name)
        numbers = [one for one in broken if is_number(one)] if is_number(value) else []
        low = max((one for one in numbers if one < value), default=-math.inf)
        high = min((one for one in numbers if one > value), default=math.inf)
        kept = [one for one in values if one not in broken]
        return [one for one in kept if not is_number(one) or low < one < high]
