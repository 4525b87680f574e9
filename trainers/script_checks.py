"""What a script says that it was given, against what was asked for."""

from collections.abc import Mapping
from typing import Any

from trainers.protocol import Finding, Job, Line, Scalar

_NEAR = 1e-6
"""Relative: a number that was echoed may have been rounded to a float32."""


class Echo:
    """Compares the arguments that a script echoes with those asked for, once."""

    def __init__(self, job: Job, asked: Mapping[str, Scalar], line: Line) -> None:
        self._job = job
        self._asked = asked
        self._line = line
        self._heard = False

    def hear(self, echoed: Mapping[str, Any]) -> None:
        """Take in echoed arguments; differing ones are a `mismatch`."""
        if self._heard or not echoed:
            return
        self._heard = True
        differing = {
            name: (asked, _scalar(echoed[name]))
            for name, asked in self._asked.items()
            if name in echoed and not same(asked, echoed[name])
        }
        if differing:
            self._line.say(mismatch(self._job.attempt, differing))


def mismatch(attempt: int, differing: Mapping[str, tuple[Scalar, Scalar]]) -> Finding:
    """Parameters that arrived otherwise than asked for."""
    told = [f"{name}: {asked} asked, {got} found" for name, (asked, got) in differing.items()]
    evidence: dict[str, Scalar] = {}
    for name, (asked, got) in differing.items():
        evidence |= {f"{name}.requested": asked, f"{name}.effective": got}
    return Finding(
        attempt=attempt,
        kind="mismatch",
        severity="error",
        message="; ".join(told),
        evidence=evidence,
    )


def same(asked: Scalar, got: Any) -> bool:
    """Whether a value arrived: numbers nearly so, the rest as people write it."""
    numbers = (_number(asked), _number(got))
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) <= _NEAR * max(abs(numbers[0]), abs(numbers[1]))
    return str(asked).lower() == str(got).lower()


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
