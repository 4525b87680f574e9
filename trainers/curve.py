"""Puts what a program's log says together into epochs that are counted from 1. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trainers.logs import LogRecord
from trainers.metric_names import canonical


@dataclass(frozen=True)
class CurveEpoch:
    """An epoch as far as it is known; `value` is the objective's. Metrics in their one spelling."""

    epoch: int
    printed: float | None
    step: int
    value: float | None
    metrics: Mapping[str, float]


@dataclass
class _Current:
    number: int
    key: tuple[str, float]
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    is_provisional: bool = False
    told: int = 0


class Curve:
    """Takes records in their order and gives epochs as soon as their objective is known.

    Epochs that are printed from 0 on are counted from 1; evaluations between epochs (`epoch 0.5`),
    or with a step alone, are counted one by one. What comes for an epoch that is over, or a second
    time, is left out: the reader has named it. Only the current epoch is kept.

    Args:
        objective: the name of the sweep's metric, in any spelling.
    """

    def __init__(self, objective: str) -> None:
        self.objective = canonical(objective)
        self.finals: dict[str, float] = {}
        self._current: _Current | None = None
        self._first: float | None = None
        self._has_value = False
        self._step = 0

    def take(self, record: LogRecord) -> Iterator[CurveEpoch]:
        """Take in a record; an epoch comes again where more of it has become known."""
        self._step = max(self._step, record.step or 0)
        if record.kind == "final":
            self.finals.update(record.metrics)
        if record.kind != "epoch":
            return
        key = _key(record)
        current = self._current
        if current is None or current.key != key:
            if current is not None and key[0] == current.key[0] and key[1] < current.key[1]:
                return
            yield from self._close()
            current = self._begin(key)
        current.step = max(current.step, self._step)
        _merge(current.metrics, record)
        current.is_provisional = record.is_provisional
        if self.objective in current.metrics and not current.is_provisional:
            yield from self._tell(current)

    def finish(self) -> Iterator[CurveEpoch]:
        """The last epoch; an objective that only came at the very end is the last epoch's."""
        if not self._has_value and self.objective in self.finals:
            if self._current is None:
                self._begin(("epoch", 1.0))
            assert self._current is not None, "made above"
            if self.objective not in self._current.metrics:
                self._current.metrics |= self.finals
        yield from self._close()

    def _begin(self, key: tuple[str, float]) -> _Current:
        last = self._current.number if self._current else 0
        if self._first is None:
            self._first = key[1]
        counted = last + 1
        if key[0] == "epoch" and key[1].is_integer():
            counted = max(int(key[1]) + (self._first == 0), counted)
        self._current = _Current(counted, key, self._step)
        return self._current

    def _close(self) -> Iterator[CurveEpoch]:
        if self._current is not None:
            yield from self._tell(self._current)

    def _tell(self, current: _Current) -> Iterator[CurveEpoch]:
        if len(current.metrics) == current.told:
            return
        current.told = len(current.metrics)
        value = current.metrics.get(self.objective)
        self._has_value = self._has_value or value is not None
        printed = current.key[1] if current.key[0] == "epoch" else None
        step = current.step
        yield CurveEpoch(current.number, printed, step, value, dict(current.metrics))


def _key(record: LogRecord) -> tuple[str, float]:
    if record.epoch is not None and math.isfinite(record.epoch):
        return ("epoch", record.epoch)
    return ("step", float(record.step or 0))


def _merge(metrics: dict[str, float], record: LogRecord) -> None:
    for name, value in record.metrics.items():
        if record.is_provisional or name not in metrics:
            metrics[name] = value
