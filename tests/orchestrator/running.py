"""Runs sweeps of the scripted trainer in processes of their own, and reads what came of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from tests.orchestrator.forking import ForkedProcess, can_fork
from trytable.orchestrator.paths import Folders

Process = ForkedProcess | subprocess.Popen[str]
TOP = Path(__file__).resolve().parents[2]
FRESH = (sys.executable, "-m", "trytable.orchestrator.cli")
"""The command line in an interpreter of its own."""

HANG_SECONDS = 1200.0
"""Limits end what hangs. They say nothing about speed, so that a busy machine fails no test."""

GRID = """
trainer: scripted
baseline: {value: 0.5, epochs: 4, epoch_seconds: 0.15}
parameters:
  value: [0.1, 0.3, 0.5, 0.7, 0.9, 0.2]
"""


def write_sweep(folder: Path, text: str = GRID, name: str = "quality") -> None:
    """Write a sweep file into a folder of its own."""
    (folder / "sweeps").mkdir(parents=True, exist_ok=True)
    (folder / "sweeps" / f"{name}.yaml").write_text(text)


def start(
    folder: Path, verb: str = "sweep", command: Sequence[str] = (), **variables: str
) -> Process:
    """Start the command line (or another command) with the Makefile's variables, in a session of
    its own. The command line is forked from a process that has its libraries, see `forking`."""
    given = {"NAME": "quality", **variables}
    environment = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    environment |= {f"TRYTABLE_{key}": value for key, value in given.items()}
    environment["PYTHONPATH"] = str(TOP)
    if not command and can_fork(environment):
        return ForkedProcess([verb], folder, environment)
    return subprocess.Popen(
        command or [*FRESH, verb],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(
    folder: Path,
    verb: str = "sweep",
    seconds: float = HANG_SECONDS,
    command: Sequence[str] = (),
    **variables: str,
) -> tuple[int, str]:
    """Run to the end; returns exit code and all that was printed."""
    process = start(folder, verb, command, **variables)
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # else its pipe would trouble some later test
        process.communicate()
        raise
    return process.wait(), printed


def url(folder: Path, for_optuna: bool = False) -> str:
    """The study database's URL; Optuna reads braces in it as a format string."""
    found = Folders(folder / "runs", "").url
    return found.replace("{", "{{").replace("}", "}}") if for_optuna else found


def trials(folder: Path, name: str = "quality") -> list[FrozenTrial]:
    """The study's trials as any Optuna program reads them."""
    return optuna.load_study(study_name=name, storage=url(folder, for_optuna=True)).trials


def states(folder: Path, name: str = "quality") -> list[str]:
    """The trials' states, sorted."""
    return sorted(trial.state.name for trial in trials(folder, name))


def values_of(found: list[FrozenTrial], *wanted: TrialState) -> list[Any]:
    """The swept values of the trials in these states, sorted."""
    return sorted(trial.params["value"] for trial in found if trial.state in wanted)


def wait_for(process: Process, enough: Callable[[], bool], seconds: float = HANG_SECONDS) -> None:
    """Wait until something holds while a process runs."""
    give_up = time.monotonic() + seconds
    while not enough():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(0.02)


def said(folder: Path, word: str, name: str = "quality") -> int:
    """How many events of a kind the workers of a study have written down."""
    logs = (folder / "runs" / name / "trials").glob("*/events.jsonl")
    return sum(log.read_text().count(f'"event":"{word}"') for log in logs)


@contextmanager
def suspended(process: Process) -> Iterator[None]:
    """Nothing of a process happens meanwhile, so that it cannot end before something else has."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def interrupt(process: Process, number: int, seconds: float = HANG_SECONDS) -> None:
    """Send a signal again and again until the process has ended: two at once are one for Python."""
    give_up = time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < give_up
        process.send_signal(number)
        time.sleep(1)
    process.communicate()


def family(process: "Process | subprocess.Popen[bytes]") -> list[psutil.Process]:
    """All processes that descend from one."""
    return psutil.Process(process.pid).children(recursive=True)


def wait_all_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of these runs any more."""
    _, alive = psutil.wait_procs(processes, timeout=240)
    assert not alive, alive
