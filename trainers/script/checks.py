"""Compares the parameters that a script was given with the values that it really uses."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trytable.records import LaunchSettings, Scalar, Severity
from trytable.trainers.protocol.messages import Finding, Job, Line, Started

_TOLERANCE = 1e-6
"""Relative: a script may have rounded a number to float32 before it printed it."""

_PLACEHOLDER = re.compile(r"-*([\w.+/-]+)=\{([\w.+~/-]+)\}")
_ROLES: dict[str, tuple[str, ...]] = {
    "lr": ("lr", "learning_rate", "learningrate", "max_lr", "peak_lr", "base_lr", "init_lr"),
    "weight_decay": ("weight_decay", "wd", "decay"),
    "batch_size": ("batch_size", "bs", "train_batch_size", "per_device_train_batch_size"),
    "epochs": ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs"),
    "schedule": ("schedule", "scheduler", "lr_scheduler", "lr_scheduler_type", "lr_schedule"),
}
"""Usual names of the knobs that can be observed. Any name with `dropout` in it is a dropout."""


class ParameterCheck:
    """Reports the values that a script really uses, and those that differ from the requested ones.

    `started` is sent at once, without any value, and again each time that more becomes known.

    Args:
        job: the attempt.
        launch: the command, whose options name the parameters.
        requested: the parameters as the trial has them.
        line: where events are sent.
        started: the event to send.
    """

    def __init__(
        self,
        job: Job,
        launch: LaunchSettings,
        requested: Mapping[str, Scalar],
        line: Line,
        started: Started,
    ) -> None:
        self.requested = requested
        self._aliases = {name: {_plain(name), *_options(launch, name)} for name in requested}
        self._job = job
        self._line = line
        self._started = started
        self._has_echo = False
        line.send(started)

    def add(self, effective: Mapping[str, Scalar], **fields: Any) -> None:
        """Send `started` with more effective values; `fields` are other fields of Started."""
        merged = {**self._started.effective, **effective}
        self._started = self._started.model_copy(update={"effective": merged, **fields})
        self._line.send(self._started)

    def report(self, kind: str, severity: Severity, message: str, **evidence: Scalar) -> None:
        """Send a finding."""
        self._line.send(
            Finding(
                attempt=self._job.attempt,
                kind=kind,
                severity=severity,
                message=message,
                evidence=evidence,
            )
        )

    def parameter_for(self, role: str) -> str | None:
        """Return the first parameter that has a usual name of a role such as `lr`, or None."""
        usual = set(_ROLES[role])
        return next((name for name, aliases in self._aliases.items() if aliases & usual), None)

    def dropouts(self) -> list[str]:
        """Return the parameters that are the probability of a dropout."""
        return [
            name
            for name, aliases in self._aliases.items()
            if any("dropout" in alias for alias in aliases)
            and to_number(self.requested[name]) is not None
        ]

    def check_echo(self, arguments: Mapping[str, Any]) -> None:
        """Compare the arguments that the script prints, once; a difference is a `mismatch`."""
        if self._has_echo:
            return
        printed = {_plain(str(name)): value for name, value in arguments.items()}
        effective = {
            name: to_scalar(printed[alias])
            for name, aliases in self._aliases.items()
            for alias in sorted(aliases & printed.keys())[:1]
        }
        if not effective:
            return  # the script printed something else, such as its model's config
        self._has_echo = True
        self.add(effective)
        differing = {n: v for n, v in effective.items() if not values_match(self.requested[n], v)}
        if differing:
            texts = [f"{n}: {self.requested[n]} requested, {v} found" for n, v in differing.items()]
            evidence: dict[str, Scalar] = {}
            for name, value in differing.items():
                evidence |= {f"{name}.requested": self.requested[name], f"{name}.effective": value}
            self.report("mismatch", "error", "; ".join(texts), **evidence)


def _options(launch: LaunchSettings, name: str) -> Iterator[str]:
    """Yield the options that take a parameter, as in `--hidden_dropout_prob {dropout}`."""
    previous = ""
    for word in launch.command:
        if word == f"{{{name}}}" and previous.startswith("-"):
            yield _plain(previous)
        placeholder = _PLACEHOLDER.fullmatch(word)
        if placeholder and placeholder[2] == name:
            yield _plain(placeholder[1])
        previous = word


def _plain(name: str) -> str:
    """Return a name without leading dashes and without the mappings that it is nested in."""
    return re.split(r"[./]", name.lstrip("-+~"))[-1].lower().replace("-", "_")


def values_match(requested: Scalar, effective: Any) -> bool:
    """Return whether two values are equal: numbers up to rounding, others as printed."""
    expected, actual = to_number(requested), to_number(effective)
    if expected is not None and actual is not None:
        return abs(expected - actual) <= _TOLERANCE * max(abs(expected), abs(actual))
    return str(requested).lower() == str(effective).lower()


def to_number(value: Any) -> float | None:
    """Return a value as a number, also one in quotes; None if it is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def to_scalar(value: Any) -> Scalar:
    """Return a value as a table cell can hold it."""
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
