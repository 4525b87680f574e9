"""A step, the notes that it takes while it runs, and the result that the runner makes of them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from trytable.files import write_atomic

Status = Literal["passed", "failed", "timed out", "crashed", "no time left", "not run"]

BAD: frozenset[Status] = frozenset(("failed", "timed out", "crashed", "no time left"))
"""The statuses that make the exit code 1. A step that only a card can do is no failure on a CPU."""


@dataclass(frozen=True)
class Step:
    """A step of the check.

    Args:
        name: letters and dashes.
        title: what it does.
        answer: what its right answer is.
        seconds: its time limit.
        function: `module:function` below `benchmarks.gpu.steps`, called with a Space and Notes.
        card_only: why a CPU cannot do it; empty if it can.
    """

    name: str
    title: str
    answer: str
    seconds: float
    function: str
    card_only: str = ""


@dataclass
class Notes:
    """What a step has shown so far. Each note is written at once, so that a kill loses none.

    Attributes:
        figures: what was measured, by name with its unit.
        problems: what was not the right answer.
        not_run: parts that this machine cannot do, with the reason.
        is_complete: whether the step came to its end.
    """

    path: Path
    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    is_complete: bool = False

    def figure(self, name: str, value: Any) -> None:
        """Note a measured value."""
        self.figures[name] = value
        self._write()

    def require(self, holds: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem)
            self._write()

    def skip(self, part: str, reason: str) -> None:
        """Note a part that was not run."""
        self.not_run.append(f"{part}: {reason}")
        self._write()

    def complete(self) -> None:
        """Note that the step has come to its end."""
        self.is_complete = True
        self._write()

    def _write(self) -> None:
        values = {key: value for key, value in asdict(self).items() if key != "path"}
        write_atomic(self.path, json.dumps(values, indent=1).encode())


def read_notes(path: Path) -> Notes:
    """Read the notes of a step; empty if it wrote none."""
    return Notes(path, **json.loads(path.read_text())) if path.exists() else Notes(path)


@dataclass(frozen=True)
class StepResult:
    """How a step ended, and what it noted; `seconds` is its wall time."""

    name: str
    title: str
    answer: str
    status: Status
    seconds: float
    limit_seconds: float
    figures: dict[str, Any]
    problems: tuple[str, ...]
    not_run: tuple[str, ...]


@dataclass(frozen=True)
class CheckResult:
    """A whole check: the machine in figures, the steps in order, and the total wall seconds."""

    machine: dict[str, Any]
    device: str
    seconds: float
    steps: tuple[StepResult, ...]

    @property
    def has_failed(self) -> bool:
        """Whether a step failed, or could not be run for want of time."""
        return any(step.status in BAD for step in self.steps)

    @property
    def not_run_count(self) -> int:
        """Steps and parts of steps that this machine cannot do."""
        whole = sum(step.status == "not run" for step in self.steps)
        return whole + sum(len(step.not_run) for step in self.steps if step.status != "not run")

    def to_json(self) -> dict[str, Any]:
        """The plain dict that is written."""
        return {**asdict(self), "failed": self.has_failed, "not_run_count": self.not_run_count}
