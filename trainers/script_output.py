"""What a script prints and writes, as a trial's events."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from trainers.curve import Curve, CurveEpoch
from trainers.log_patterns import OwnPattern
from trainers.logs import LogReader, LogRecord, Oddity, OddityKind, Read
from trainers.metric_files import Tails
from trainers.protocol import Epoch, Finding, Job, Launch, Line, Severity, Step
from trainers.script_checks import ReadBack

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

_ODD: dict[OddityKind, Severity] = {
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
        self, job: Job, launch: Launch, line: Line, read_back: ReadBack, files: tuple[str, ...]
    ) -> None:
        self._job = job
        self._line = line
        self._read_back = read_back
        self._own = [OwnPattern(pattern) for pattern in launch.patterns]
        self._readers: dict[int, LogReader] = {}
        self._files = Tails(files)
        self._curve = Curve(job.objective.name)
        self._odd: dict[OddityKind, str] = {}
        self._odd_count = Counter[OddityKind]()
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

    def _learn(self, found: Iterable[Read]) -> bool:
        any_came = False
        for one in found:
            any_came = True
            if isinstance(one, Oddity):
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
        self._line.say(
            Epoch(
                attempt=self._job.attempt,
                epoch=one.epoch,
                step=one.step or one.epoch,
                value=one.value,
                seconds=None if again else now - self._epoch_at,
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

    def _say_odd(self, kind: OddityKind, first: str) -> None:
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
