"""Chooses the next values of a knob from the values that were tried and their results. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from trytable.records import is_number
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Diagnosis
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.format import format_number

Findings = Mapping[int, tuple[Diagnosis, ...]]
"""The findings of each trial, by its number."""

BREAKING_KINDS = frozenset({"no_learning", "divergence", "non_finite", "exploding_weights"})
"""Kinds of findings after which a value is not tried again."""

_FREEZES = ("none", "embed", "half", "full")
_STEPS = {"dropout": 0.1}
"""Knobs that move by adding a step; all others are multiplied by a factor."""

_DEFAULT_FACTOR = 2.0
_FACTORS = {"lr": 3.0, "head_lr_multiplier": 5.0, "weight_decay": 3.0}
_FIRST_ABOVE_ZERO = {"weight_decay": 0.01, "warmup": 0.1}
"""Where a knob moves up to from 0, which no factor changes."""

_DIGITS = 3


@dataclass(frozen=True)
class Proposal:
    """A value, or the list of values to try, and the finding or result that led to it."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Chooser:
    """Chooses values of a knob.

    Attributes:
        study: the study whose trials were run.
        findings: what was diagnosed in them.
        settings: the settings to continue from.
        schema: the trainer's knobs; no value that it refuses is chosen.
    """

    study: StudyResult
    findings: Findings
    settings: Mapping[str, Any]
    schema: type[BaseModel]

    def around(
        self, name: str, best: TrialResult | None, advice: tuple[Advice, str] | None
    ) -> Proposal:
        """Return the values to try next of a knob that was swept already.

        Advice to raise or lower the knob comes first, if it leaves at least one other value.
        """
        if advice is not None and advice[0].direction in ("raise", "lower"):
            values = self._without_breaking(name, self.moves(name, advice[0], times=2))
            if len(values) > 1:
                return Proposal(values, advice[1])
        value, previous = self.settings[name], self.tried_values(name)
        if best is None or not all(map(is_number, (value, *previous))):
            return self._better_half(name, previous)
        return self._near(name, best, sorted({*previous, value}))

    def _near(self, name: str, best: TrialResult, previous: Sequence[float]) -> Proposal:
        """Return values between the neighbours of the best; beyond the best if it is outermost."""
        value = self.settings[name]
        index = previous.index(value)
        low = previous[index - 1] if index else None
        high = previous[index + 1] if index + 1 < len(previous) else None
        if low is not None and high is not None:
            values = [self._towards(name, low), value, self._towards(name, high)]
            reason = (
                f"{best.label} was best, between {format_number(low)} and {format_number(high)}"
            )
        elif low is None and high is None:
            values = [
                *self._one_move(name, up=False)[1:],
                value,
                *self._one_move(name, up=True)[1:],
            ]
            reason = f"{format_number(value)} is the only value tried"
        else:
            inner = high if low is None else low
            assert inner is not None, "one of the two is a number"
            values = [self._towards(name, inner), value, _beyond(inner, value)]
            word = "smallest" if low is None else "largest"
            reason = f"{best.label} was best with the {word} value tried, so go further"
        return Proposal(sorted(self._without_breaking(name, self._valid(name, values))), reason)

    def _towards(self, name: str, neighbour: float) -> float:
        """Return the middle between the best value and a neighbour; one step to a breaking one."""
        value: float = self.settings[name]
        if neighbour in self.breaking_values(name):
            step: float = self._one_move(name, up=neighbour > value)[-1]
            if min(value, neighbour) < step < max(value, neighbour):
                return step
        return _middle(neighbour, value)

    def _one_move(self, name: str, *, up: bool) -> list[Any]:
        return self.moves(name, Advice(name, "raise" if up else "lower"), times=1)

    def _better_half(self, name: str, previous: Sequence[Any]) -> Proposal:
        """Return the values of the better half, at least two, without breaking ones."""
        ranked = [trial.settings[name] for trial in self.study.ranked if name in trial.settings]
        order = list(dict.fromkeys([*ranked, *previous]))
        values = self._without_breaking(name, order[: max(2, math.ceil(len(order) / 2))])
        return Proposal(values, "the better half of the values tried")

    def moves(self, name: str, advice: Advice, times: int) -> list[Any]:
        """Return the current value, then the advised one or `times` moves the advised way.

        Values that the trainer refuses are left out.
        """
        values = [self.settings[name]]
        if advice.value is not None:
            values.append(advice.value)
        else:
            for _ in range(times):
                values.append(_move(name, values[-1], up=advice.direction == "raise"))
        return self._valid(name, values)

    def _valid(self, name: str, values: Iterable[Any]) -> list[Any]:
        """Return the distinct values that the trainer accepts, rounded as people write them."""
        valid: list[Any] = []
        for value in map(_rounded, values):
            if value not in valid and self._accepts(name, value):
                valid.append(value)
        return valid

    def _accepts(self, name: str, value: Any) -> bool:
        try:
            self.schema.model_validate({**self.settings, name: value})
        except ValidationError:
            return False
        return True

    def tried_values(self, name: str) -> list[Any]:
        """Return the distinct values of all trials, in their order."""
        values = (trial.settings[name] for trial in self.study.trials if name in trial.settings)
        return list(dict.fromkeys(values))

    def breaking_values(self, name: str) -> set[Any]:
        """Return the values with which every trial broke."""
        sound: set[Any] = set()
        breaking: set[Any] = set()
        for trial in self.study.trials:
            kinds = {finding.kind for finding in self.findings.get(trial.number, ())}
            (breaking if kinds & BREAKING_KINDS else sound).add(trial.settings.get(name))
        return breaking - sound

    def _without_breaking(self, name: str, values: Iterable[Any]) -> list[Any]:
        """Return the values without breaking ones and without numbers beyond a breaking one."""
        value, breaking = self.settings[name], self.breaking_values(name)
        numbers = [other for other in breaking if is_number(other)] if is_number(value) else []
        low = max((number for number in numbers if number < value), default=-math.inf)
        high = min((number for number in numbers if number > value), default=math.inf)
        sound = [other for other in values if other not in breaking]
        return [other for other in sound if not is_number(other) or low < other < high]


def _move(name: str, value: Any, *, up: bool) -> Any:
    """Return a knob's value moved once; a value that has no order stays."""
    if name == "freeze":
        return _move_freeze(value, up=up)
    if not is_number(value):
        return value
    if name in _STEPS:
        return value + _STEPS[name] if up else value - _STEPS[name]
    if value == 0:
        return _FIRST_ABOVE_ZERO.get(name, 0) if up else 0
    factor = _FACTORS.get(name, _DEFAULT_FACTOR)
    result = value * factor if up else value / factor
    return max(1, round(result)) if isinstance(value, int) else result


def _move_freeze(value: Any, *, up: bool) -> Any:
    if isinstance(value, int):
        return value + 1 if up else value // 2
    if value not in _FREEZES:
        return value  # patterns of weight names have no order
    index = _FREEZES.index(value) + (1 if up else -1)
    return _FREEZES[min(max(index, 0), len(_FREEZES) - 1)]


def _middle(a: float, b: float) -> float:
    """Return the geometric mean, or the arithmetic one if either is not above 0.

    Whole numbers give a whole number.
    """
    mean = math.sqrt(a * b) if a > 0 and b > 0 else (a + b) / 2
    return round(mean) if isinstance(a, int) and isinstance(b, int) else mean


def _beyond(inner: float, outer: float) -> float:
    """Continue from `inner` past `outer` by the same ratio; by the difference if one is not > 0."""
    result = outer * outer / inner if inner > 0 and outer > 0 else 2 * outer - inner
    return round(result) if isinstance(inner, int) and isinstance(outer, int) else result


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return value
