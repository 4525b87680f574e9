"""Runs each step in a process of its own, with a time limit, and goes on after a failure.

A step that hangs is killed with all its descendants. The fork server of a killed step and its
workers end by themselves (PR_SET_PDEATHSIG), also if they are not in the list of descendants.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.gpu import mps
from benchmarks.gpu.records import Notes, Status, Step, StepResult, read_notes

TOP = Path(__file__).resolve().parents[2]
SHORTEST_SECONDS = 5.0
"""With less than this left, a step is not started."""

_LOG_LINES = 3


@dataclass(frozen=True)
class Runner:
    """Runs steps one after the other until a total time is over.

    Args:
        device: `cuda` or `cpu`.
        work: the folder for models, data, studies, and each step's notes and output.
        deadline: the monotonic second at which the whole check ends.
        command: the command of a step's process; its name and the notes' path are appended.
        patience: a step's time limit in multiples of its own.
        on_end: called with each result.
    """

    device: str
    work: Path
    deadline: float
    command: Sequence[str] = (sys.executable, "-m", "benchmarks.gpu", "--step")
    patience: float = 1.0
    on_end: Callable[[StepResult], None] = lambda _: None

    def run(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        """Run the steps in order."""
        log_path(self.work, "").parent.mkdir(parents=True, exist_ok=True)
        results: list[StepResult] = []
        for step in steps:
            results.append(self._run(step))
            self.on_end(results[-1])
        return tuple(results)

    def _run(self, step: Step) -> StepResult:
        if step.card_only and self.device == "cpu":
            return _result(step, "not run", Notes(Path(), not_run=[step.card_only]))
        left = self.deadline - time.monotonic()
        if left < SHORTEST_SECONDS:
            problem = f"{left:.0f} s of the whole check were left"
            return _result(step, "no time left", Notes(Path(), problems=[problem]))
        began = time.monotonic()
        limit = min(step.seconds * self.patience, left)
        notes_path = self.work / "notes" / f"{step.name}.json"
        log = log_path(self.work, step.name)
        notes_path.unlink(missing_ok=True)
        code = self._run_process(step, notes_path, log, limit)
        notes = read_notes(notes_path)
        status = _status(code, notes, limit, log)
        return _result(step, status, notes, time.monotonic() - began, limit)

    def _run_process(self, step: Step, notes: Path, log: Path, limit: float) -> int | None:
        """Return the exit code of a step's process; None if it was killed at its limit."""
        arguments = [
            step.name,
            "--device",
            self.device,
            "--work",
            str(self.work),
            "--notes",
            str(notes),
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=TOP,
                env=environment(self.device),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            return _wait(process, limit)
        finally:
            _kill_tree(process)
            mps.stop(self.work)  # only a step under MPS starts the daemon; a killed one leaves it


def log_path(work: Path, name: str) -> Path:
    """Return the file with all that a step has printed."""
    return work / "logs" / f"{name}.log"


def environment(device: str) -> Mapping[str, str]:
    """Return the environment of a step: the checkout is importable, and nothing asks the hub.

    On a CPU a step has one thread, since the workers of two slots share two cores with it.
    """
    path = os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")]))
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    threads = {"OMP_NUM_THREADS": "1"} if device == "cpu" else {}
    return {**os.environ, **quiet, **threads, "PYTHONPATH": path}


def _wait(process: "subprocess.Popen[bytes]", limit: float) -> int | None:
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None


def _kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its descendants. It is not reaped yet, so its id is still its own."""
    if process.returncode is not None:
        return
    descendants = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for descendant in descendants:
        if descendant.is_running():
            descendant.kill()
    process.wait()
    psutil.wait_procs(descendants, timeout=5)


def _status(code: int | None, notes: Notes, limit: float, log: Path) -> Status:
    """Return how a step ended, and note why if it did not come to its end."""
    if code is None:
        notes.problems.append(f"it had not ended after {limit:.0f} s and was killed")
        return "timed out"
    if code != 0 or not notes.is_complete:
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
        shown = [line for line in lines if line.strip("^~")][-_LOG_LINES:]
        notes.problems.append(f"its process ended with {end}: {' / '.join(shown)}")
        return "crashed"
    return "failed" if notes.problems else "passed"


def _result(
    step: Step, status: Status, notes: Notes, seconds: float = 0.0, limit: float | None = None
) -> StepResult:
    return StepResult(
        name=step.name,
        title=step.title,
        answer=step.answer,
        status=status,
        seconds=seconds,
        limit_seconds=step.seconds if limit is None else limit,
        figures=notes.figures,
        problems=tuple(notes.problems),
        not_run=tuple(notes.not_run),
    )
