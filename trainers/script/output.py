"""Turns what a script prints and writes into a trial's events.

`EpochCollector` puts the records of a log together into epochs. `ScriptOutput` reads the streams
and metric files as they grow, and sends epochs, steps and findings.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trytable.records import LaunchSettings, Severity
from trytable.trainers.protocol.messages import Epoch, Job, Line, Step
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

_TAIL_BYTES = 8192
_LAST_LINES = 20
_EPOCH_FIELDS = {
    "train_loss": "train_loss",
    "train_accuracy": "probe_accuracy",
    "dev_loss": "dev_loss",
    "dev_accuracy": "dev_accuracy",
    "dev_macro_f1": "dev_macro_f1",
}
"""A metric's canonical name, and the field of the Epoch event that holds it."""

_SEVERITIES: dict[LogIssueKind, Severity] = {
    "doubled_epoch": "warning",
    "cut_number": "warning",
    "cut_line": "warning",
    "slow_pattern": "warning",
    "bad_utf8": "info",
    "long_line": "info",
}


@dataclass(frozen=True)
class CollectedEpoch:
    """An epoch as far as it is known.

    Attributes:
        epoch: counted from 1.
        printed: the epoch as printed, None if only a step was.
        step: the last step that was printed by then.
        value: the objective, None if it is not known yet.
        metrics: by canonical name.
    """

    epoch: int
    printed: float | None
    step: int
    value: float | None
    metrics: Mapping[str, float]


@dataclass
class _OpenEpoch:
    number: int
    key: tuple[str, float]
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    is_provisional: bool = False
    emitted_metrics: int = 0


class EpochCollector:
    """Takes records in their order and yields an epoch as soon as its objective is known.

    Epochs that are printed from 0 on are counted from 1. Evaluations within an epoch (`epoch 0.5`)
    and those with a step alone are counted one by one. A record for an epoch that is over is left
    out, and so is a metric that comes twice: the log reader has reported both. Only the current
    epoch is kept in memory.

    Args:
        objective: the name of the sweep's metric, in any spelling.
    """

    def __init__(self, objective: str) -> None:
        self.objective = canonical_name(objective)
        self.final_metrics: dict[str, float] = {}
        self._current: _OpenEpoch | None = None
        self._first_printed: float | None = None
        self._has_value = False
        self._step = 0

    def feed(self, record: LogRecord) -> Iterator[CollectedEpoch]:
        """Take in a record. An epoch is yielded again when more of its metrics become known."""
        self._step = max(self._step, record.step or 0)
        if record.kind == "final":
            self.final_metrics.update(record.metrics)
        if record.kind != "epoch":
            return
        key = _key(record)
        current = self._current
        if current is None or current.key != key:
            if current is not None and key[0] == current.key[0] and key[1] < current.key[1]:
                return
            yield from self._close()
            current = self._open(key)
        current.step = max(current.step, self._step)
        _merge(current.metrics, record)
        current.is_provisional = record.is_provisional
        if self.objective in current.metrics and not current.is_provisional:
            yield from self._emit(current)

    def finish(self) -> Iterator[CollectedEpoch]:
        """Yield the last epoch. An objective that was printed at the very end belongs to it."""
        if not self._has_value and self.objective in self.final_metrics:
            last = self._current or self._open(("epoch", 1.0))
            if self.objective not in last.metrics:
                last.metrics |= self.final_metrics
        yield from self._close()

    def _open(self, key: tuple[str, float]) -> _OpenEpoch:
        number = self._current.number + 1 if self._current else 1
        if self._first_printed is None:
            self._first_printed = key[1]
        if key[0] == "epoch" and key[1].is_integer():
            number = max(int(key[1]) + (self._first_printed == 0), number)
        self._current = _OpenEpoch(number, key, self._step)
        return self._current

    def _close(self) -> Iterator[CollectedEpoch]:
        if self._current is not None:
            yield from self._emit(self._current)

    def _emit(self, current: _OpenEpoch) -> Iterator[CollectedEpoch]:
        if len(current.metrics) == current.emitted_metrics:
            return
        current.emitted_metrics = len(current.metrics)
        value = current.metrics.get(self.objective)
        self._has_value = self._has_value or value is not None
        printed = current.key[1] if current.key[0] == "epoch" else None
        yield CollectedEpoch(current.number, printed, current.step, value, dict(current.metrics))


def _key(record: LogRecord) -> tuple[str, float]:
    if record.epoch is not None and math.isfinite(record.epoch):
        return ("epoch", record.epoch)
    return ("step", float(record.step or 0))


def _merge(metrics: dict[str, float], record: LogRecord) -> None:
    for name, value in record.metrics.items():
        if record.is_provisional or name not in metrics:
            metrics[name] = value


class ScriptOutput:
    """Reads a script's streams and metric files as they grow, and sends what they say as events.

    Args:
        job: the attempt.
        launch: how the script is read.
        line: where events are sent.
        check: takes the arguments that the script prints, and reports findings.
        files: absolute patterns of the files that it writes metrics to.

    Attributes:
        reports_steps: whether printed steps are sent; not if the observer sees all of them.
        best_epoch: the epoch with the best objective so far, 0 if there is none.
        best_value: the objective there.
        best_metrics: all metrics there.
    """

    def __init__(
        self,
        job: Job,
        launch: LaunchSettings,
        line: Line,
        check: ParameterCheck,
        files: tuple[str, ...],
    ) -> None:
        self._job = job
        self._line = line
        self._check = check
        self._patterns = [CustomPattern(pattern) for pattern in launch.patterns]
        self._readers: dict[int, LogReader] = {}
        self._files = FileTails(files)
        self._collector = EpochCollector(job.objective.name)
        self._first_issues: dict[LogIssueKind, str] = {}
        self._issue_counts = Counter[LogIssueKind]()
        self._tail = b""
        self._epoch_started_at = time.monotonic()
        self._last_epoch = 0
        self._last_step = 0
        self.reports_steps = True
        self.best_epoch = 0
        self.best_value: float | None = None
        self.best_metrics: Mapping[str, float] = {}

    @property
    def last_lines(self) -> list[str]:
        """The last lines of all streams, as far as they are kept in memory."""
        text = self._tail.decode("utf-8", "replace").replace("\r", "\n")
        return [line.strip() for line in text.split("\n") if line.strip()][-_LAST_LINES:]

    @property
    def test_accuracy(self) -> float | None:
        """The test accuracy printed at the end, else the one measured at the best epoch."""
        final = self._collector.final_metrics
        return final.get("test_accuracy", self.best_metrics.get("test_accuracy"))

    def feed(self, stream: int, chunk: bytes) -> None:
        """Take in the next bytes of a stream."""
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        if stream not in self._readers:
            self._readers[stream] = LogReader(self._patterns, [self._job.objective.name])
        self._take(self._readers[stream].feed(chunk))

    def poll_files(self) -> bool:
        """Read what has come in the metric files. Returns whether there was anything."""
        return self._take(self._files.poll())

    def finish(self) -> None:
        """Send what the last lines and the last epoch complete, and a finding a kind of issue."""
        for reader in self._readers.values():
            self._take(reader.finish())
        self._take(self._files.finish())
        for epoch in self._collector.finish():
            self._send_epoch(epoch)
        for kind, text in self._first_issues.items():
            self._send_issue(kind, text)

    def _take(self, items: Iterable[LogItem]) -> bool:
        is_empty = True
        for item in items:
            is_empty = False
            if isinstance(item, LogIssue):
                self._issue_counts[item.kind] += 1
                self._first_issues.setdefault(item.kind, f"line {item.line}: {item.text}")
            elif item.kind == "args":
                self._check.check_echo(item.arguments)
            else:
                self._take_metrics(item)
        return not is_empty

    def _take_metrics(self, record: LogRecord) -> None:
        if record.kind == "step":
            self._send_step(record)
        for epoch in self._collector.feed(record):
            self._send_epoch(epoch)

    def _send_step(self, record: LogRecord) -> None:
        if not self.reports_steps or record.step is None or record.step <= self._last_step:
            return
        metrics = record.metrics
        loss = metrics.get("train_loss", metrics.get("loss"))
        if loss is None and "lr" not in metrics:
            return
        self._last_step = record.step
        self._line.send(
            Step(
                attempt=self._job.attempt,
                step=record.step,
                epoch=max(1, self._last_epoch + 1),
                loss=loss,
                lr=metrics.get("lr"),
                gradient_norm=metrics.get("grad_norm"),
            )
        )

    def _send_epoch(self, epoch: CollectedEpoch) -> None:
        now = time.monotonic()
        is_update = epoch.epoch == self._last_epoch
        metrics = epoch.metrics
        fields: dict[str, Any] = {name: metrics.get(key) for key, name in _EPOCH_FIELDS.items()}
        fields |= {
            "value": epoch.value,
            "seconds": None if is_update else now - self._epoch_started_at,
        }
        self._line.send(
            Epoch(
                attempt=self._job.attempt,
                epoch=epoch.epoch,
                step=epoch.step or epoch.epoch,
                metrics={name: v for name, v in metrics.items() if name not in _EPOCH_FIELDS},
                **fields,
            )
        )
        self._epoch_started_at = self._epoch_started_at if is_update else now
        self._last_epoch = epoch.epoch
        if epoch.value is None or not math.isfinite(epoch.value):
            return
        if self._job.objective.is_better(epoch.value, self.best_value):
            self.best_epoch, self.best_value = epoch.epoch, epoch.value
        if epoch.epoch == self.best_epoch:
            self.best_metrics = metrics

    def _send_issue(self, kind: LogIssueKind, text: str) -> None:
        count = self._issue_counts[kind]
        rest = f", and {count - 1} more" if count > 1 else ""
        self._check.report(f"log_{kind}", _SEVERITIES[kind], text + rest, count=count)
