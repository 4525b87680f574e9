"""What arrived of the parameters that a script was given, against what was asked for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trytable.records import Scalar
from trytable.trainers.protocol.messages import Finding, Job, LaunchSettings, Line, Started

_NEAR = 1e-6
"""Relative: a number that was echoed may have been rounded to a float32."""

_PLACE = re.compile(r"-*([\w.+/-]+)=\{([\w.+~/-]+)\}")
_ROLES: dict[str, tuple[str, ...]] = {
    "lr": ("lr", "learning_rate", "learningrate", "max_lr", "peak_lr", "base_lr", "init_lr"),
    "weight_decay": ("weight_decay", "wd", "decay"),
    "batch_size": ("batch_size", "bs", "train_batch_size", "per_device_train_batch_size"),
    "epochs": ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs"),
    "schedule": ("schedule", "scheduler", "lr_scheduler", "lr_scheduler_type", "lr_schedule"),
}
"""What people call the knobs that can be observed. Any name that holds `dropout` is a dropout."""


class ParameterCheck:
    """Says `started` anew whenever more is known of what really is trained."""

    def __init__(
        self,
        job: Job,
        launch: LaunchSettings,
        asked: Mapping[str, Scalar],
        line: Line,
        started: Started,
    ) -> None:
        self.asked = asked
        self.names = {name: {_plain(name), *_flags(launch, name)} for name in asked}
        self._job = job
        self._line = line
        self._started = started
        self._has_echoed = False
        line.say(started)

    def add(self, effective: Mapping[str, Scalar], **others: Any) -> None:
        """Tell more; `others` are fields of Started."""
        known = {**self._started.effective, **effective}
        self._started = self._started.model_copy(update={"effective": known, **others})
        self._line.say(self._started)

    def find(self, kind: str, severity: Any, message: str, **evidence: Scalar) -> None:
        """Say a finding."""
        self._line.say(
            Finding(
                attempt=self._job.attempt,
                kind=kind,
                severity=severity,
                message=message,
                evidence=evidence,
            )
        )

    def of_role(self, role: str) -> str | None:
        """The first parameter that a knob's usual names say is one of a kind, or None."""
        known = set(_ROLES[role])
        return next((name for name, called in self.names.items() if called & known), None)

    def dropouts(self) -> list[str]:
        """The parameters that are a dropout's probability."""
        return [
            name
            for name, called in self.names.items()
            if any("dropout" in one for one in called) and number(self.asked[name]) is not None
        ]

    def echoed(self, said: Mapping[str, Any]) -> None:
        """Take in the arguments that the script prints, once; differing ones are a `mismatch`."""
        if self._has_echoed:
            return
        self._has_echoed = True
        plain = {_plain(str(name)): value for name, value in said.items()}
        found = {
            name: scalar(plain[called])
            for name, names in self.names.items()
            for called in sorted(names & plain.keys())[:1]
        }
        if not found:
            self._has_echoed = False  # something else was printed
            return
        self.add(found)
        differing = {n: got for n, got in found.items() if not same(self.asked[n], got)}
        if differing:
            told = [f"{n}: {self.asked[n]} asked, {got} found" for n, got in differing.items()]
            evidence: dict[str, Scalar] = {}
            for name, got in differing.items():
                evidence |= {f"{name}.requested": self.asked[name], f"{name}.effective": got}
            self.find("mismatch", "error", "; ".join(told), **evidence)


def _flags(launch: LaunchSettings, name: str) -> Iterator[str]:
    """What the command calls a parameter: `--hidden_dropout_prob {dropout}`."""
    before = ""
    for word in launch.command:
        if word == f"{{{name}}}" and before.startswith("-"):
            yield _plain(before)
        placed = _PLACE.fullmatch(word)
        if placed and placed[2] == name:
            yield _plain(placed[1])
        before = word


def _plain(name: str) -> str:
    """A name without dashes in front and without what it is nested in."""
    return re.split(r"[./]", name.lstrip("-+~"))[-1].lower().replace("-", "_")


def same(asked: Scalar, got: Any) -> bool:
    """Whether a value arrived: numbers nearly so, the rest as people write it."""
    numbers = (number(asked), number(got))
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) <= _NEAR * max(abs(numbers[0]), abs(numbers[1]))
    return str(asked).lower() == str(got).lower()


def number(value: Any) -> float | None:
    """A number, also one that is written as a text; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def scalar(value: Any) -> Scalar:
    """A value as a table cell holds it."""
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
