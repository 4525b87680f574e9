"""Starts NVIDIA's Multi-Process Service for one step, and always stops it again."""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

CONTROL = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_QUIT_SECONDS = 5


def missing() -> str:
    """Return why the service cannot be started; empty if it can."""
    return "" if shutil.which(CONTROL) else f"{CONTROL} is not installed"


def start(work: Path) -> dict[str, str]:
    """Start the daemon with pipes of its own; return the environment of its clients.

    Raises subprocess.CalledProcessError if it refuses to start.
    """
    variables = {_PIPES: str(work / "mps"), _LOGS: str(work / "mps-log")}
    for folder in variables.values():
        Path(folder).mkdir(parents=True, exist_ok=True)
    subprocess.run([_program(), "-d"], env={**os.environ, **variables}, check=True, timeout=20)
    return variables


def stop(work: Path) -> None:
    """Stop the daemon that `start` started with this folder, if it runs."""
    pid_file = work / "mps" / f"{CONTROL}.pid"
    if not pid_file.exists():
        return
    variables = {_PIPES: str(work / "mps"), _LOGS: str(work / "mps-log")}
    with suppress(subprocess.SubprocessError, OSError):
        subprocess.run(
            [_program()],
            input=b"quit\n",
            env={**os.environ, **variables},
            timeout=_QUIT_SECONDS,
            check=False,
        )
    _kill(pid_file)


def _program() -> str:
    program = shutil.which(CONTROL)
    if program is None:
        raise FileNotFoundError(missing())
    return program


def _kill(pid_file: Path) -> None:
    """Kill a daemon that has not obeyed, and its servers; only if the id is still a daemon's."""
    deadline = time.monotonic() + _QUIT_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(pid_file.read_text()))
            if CONTROL not in process.name() and CONTROL not in " ".join(process.cmdline()):
                break
            for child in process.children(recursive=True):
                child.kill()
            process.kill()
            process.wait(_QUIT_SECONDS)
            break
        time.sleep(0.1)
    pid_file.unlink(missing_ok=True)
