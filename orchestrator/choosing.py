"""Chooses the next values of a knob from what was tried and what came of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from orchestrator.moves import beyond, is_number, middle, moved, takes, valid
from results.diagnosis import Advice, Diagnosed
from results.records import StudyResult, TryResult
from results.text import short

Findings = Mapping[int, tuple[Diagnosed, ...]]

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
        self, name: str, best: TryResult | None, wanted: tuple[Advice, str] | None
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

    def _near(self, name: str, best: TryResult, tried: Sequence[float]) -> Choice:
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
        found = (one.settings[name] for one in self.study.tries if name in one.settings)
        return list(dict.fromkeys(found))

    def broken(self, name: str) -> set[Any]:
        """The values with which every try broke."""
        whole: set[Any] = set()
        broken: set[Any] = set()
        for one in self.study.tries:
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
