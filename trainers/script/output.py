"""What a script prints and writes, as a trial's events."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trytable.records import Severity
from trytable.trainers.protocol.messages import Epoch, Finding, Job, LaunchSettings, Line, Step
from trytable.trainers.script.checks import ParameterCheck
from trytable.trainers.script.logs.metric_files import FileTails
from trytable.trainers.script.logs.metric_names import canonical_name
from trytable.trainers.script.logs.patterns import CustomPattern
from trytable.trainers.script.logs.reader import (
    LogIssue,
    LogIssueKind,
    LogItem,
    LogReader,
    LogRecord,
)


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
        self.objective = canonical_name(objective)
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


_TAIL_BYTES = 8192
_LAST_LINES = 20
_FIELDS = {
    "train_loss": "train_loss",
    "train_accuracy": "probe_accuracy",
    "dev_loss": "dev_loss",
    "dev_accuracy": "dev_accuracy",
    "dev_macro_f1": "dev_macro_f1",
}
"""A metric's name in one spelling, and the field of an epoch that it is kept in."""

_ODD: dict[LogIssueKind, Severity] = {
    "doubled_epoch": "warning",
    "cut_number": "warning",
    "cut_line": "warning",
    "slow_pattern": "warning",
    "bad_utf8": "info",
    "long_line": "info",
}


class Output:
    """Reads a script's streams and files as they grow, and says what it finds there.

    Args:
        job: the attempt.
        launch: how the script is read.
        line: where events go.
        read_back: takes the arguments that the script echoes.
        files: absolute patterns of the files that it writes metrics to.
    """

    def __init__(
        self,
        job: Job,
        launch: LaunchSettings,
        line: Line,
        read_back: ParameterCheck,
        files: tuple[str, ...],
    ) -> None:
        self._job = job
        self._line = line
        self._read_back = read_back
        self._own = [CustomPattern(pattern) for pattern in launch.patterns]
        self._readers: dict[int, LogReader] = {}
        self._files = FileTails(files)
        self._curve = Curve(job.objective.name)
        self._odd: dict[LogIssueKind, str] = {}
        self._odd_count = Counter[LogIssueKind]()
        self._tail = b""
        self._epoch_at = time.monotonic()
        self._last_told = 0
        self._last_step = 0
        self.says_steps = True
        self.best_epoch = 0
        self.best_value: float | None = None
        self.best: Mapping[str, float] = {}

    @property
    def last_lines(self) -> list[str]:
        """The last lines of all streams, as far as they are kept."""
        text = self._tail.decode("utf-8", "replace").replace("\r", "\n")
        return [line.strip() for line in text.split("\n") if line.strip()][-_LAST_LINES:]

    @property
    def test_accuracy(self) -> float | None:
        """The closing word on test data, else what was measured at the best epoch."""
        return self._curve.finals.get("test_accuracy", self.best.get("test_accuracy"))

    def take(self, stream: int, chunk: bytes) -> None:
        """Take in the next bytes of a stream."""
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        if stream not in self._readers:
            self._readers[stream] = LogReader(self._own, [self._job.objective.name])
        self._learn(self._readers[stream].feed(chunk))

    def look_at_files(self) -> bool:
        """Read what has come in the files; whether there was anything."""
        return self._learn(self._files.poll())

    def end(self) -> None:
        """Nothing more comes: the last lines, the last epoch, and what was odd."""
        for reader in self._readers.values():
            self._learn(reader.finish())
        self._learn(self._files.finish())
        for epoch in self._curve.finish():
            self._say(epoch)
        for kind, first in self._odd.items():
            self._say_odd(kind, first)

    def _learn(self, found: Iterable[LogItem]) -> bool:
        any_came = False
        for one in found:
            any_came = True
            if isinstance(one, LogIssue):
                self._odd_count[one.kind] += 1
                self._odd.setdefault(one.kind, f"line {one.line}: {one.text}")
            elif one.kind == "args":
                self._read_back.echoed(one.arguments)
            else:
                self._learn_metrics(one)
        return any_came

    def _learn_metrics(self, record: LogRecord) -> None:
        if record.kind == "step":
            self._say_step(record)
        for epoch in self._curve.take(record):
            self._say(epoch)

    def _say_step(self, record: LogRecord) -> None:
        """A step that the script printed itself, unless all of them are observed."""
        if not self.says_steps or record.step is None or record.step <= self._last_step:
            return
        metrics = record.metrics
        loss = metrics.get("train_loss", metrics.get("loss"))
        if loss is None and "lr" not in metrics:
            return
        self._last_step = record.step
        self._line.say(
            Step(
                attempt=self._job.attempt,
                step=record.step,
                epoch=max(1, self._last_told + 1),
                loss=loss,
                lr=metrics.get("lr"),
                gradient_norm=metrics.get("grad_norm"),
            )
        )

    def _say(self, one: CurveEpoch) -> None:
        now = time.monotonic()
        again = one.epoch == self._last_told
        known: dict[str, Any] = {field: one.metrics.get(name) for name, field in _FIELDS.items()}
        known |= {"value": one.value, "seconds": None if again else now - self._epoch_at}
        self._line.say(
            Epoch(
                attempt=self._job.attempt,
                epoch=one.epoch,
                step=one.step or one.epoch,
                metrics={n: value for n, value in one.metrics.items() if n not in _FIELDS},
                **known,
            )
        )
        self._epoch_at = self._epoch_at if again else now
        self._last_told = one.epoch
        if one.value is None or not math.isfinite(one.value):
            return
        if self._job.objective.is_better(one.value, self.best_value):
            self.best_epoch, self.best_value = one.epoch, one.value
        if one.epoch == self.best_epoch:
            self.best = one.metrics

    def _say_odd(self, kind: LogIssueKind, first: str) -> None:
        count = self._odd_count[kind]
        more = f", and {count - 1} more" if count > 1 else ""
        self._line.say(
            Finding(
                attempt=self._job.attempt,
                kind=f"log_{kind}",
                severity=_ODD[kind],
                message=first + more,
                evidence={"count": count},
            )
        )
