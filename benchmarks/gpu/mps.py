"""Starts NVIDIA's Multi-Process Service for one step, and always stops it again."""

import os
import shutil
import subprocess
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

    Raises subprocess.SubprocessError if it refuses to start.
    """
    variables = _variables(work)
    for folder in variables.values():
        Path(folder).mkdir(parents=True, exist_ok=True)
    _marker(work).touch()  # before it runs: a kill in between must not leave it running
    subprocess.run([_program(), "-d"], env={**os.environ, **variables}, check=True, timeout=20)
    return variables


def stop(work: Path) -> None:
    """Stop the daemon that `start` started with this folder, if there is one."""
    if not _marker(work).exists():
        return
    with suppress(subprocess.SubprocessError, OSError):
        subprocess.run(
            [_program()],
            input=b"quit\n",
            env={**os.environ, **_variables(work)},
            timeout=_QUIT_SECONDS,
            check=False,
        )
    _kill_after_patience(work / "mps" / f"{CONTROL}.pid")
    _marker(work).unlink(missing_ok=True)


def _variables(work: Path) -> dict[str, str]:
    return {_PIPES: str(work / "mps"), _LOGS: str(work / "mps-log")}


def _marker(work: Path) -> Path:
    return work / "mps" / "started"


def _program() -> str:
    program = shutil.which(CONTROL)
    if program is None:
        raise FileNotFoundError(missing())
    return program


def _kill_after_patience(pid_file: Path) -> None:
    """Wait until the daemon has ended; kill it and its servers if it does not.

    A process of another name has its id by now, and is left alone.
    """
    try:
        daemon = psutil.Process(int(pid_file.read_text()))
        if CONTROL not in f"{daemon.name()} {daemon.cmdline()}":
            return
        servers = daemon.children(recursive=True)
        _, alive = psutil.wait_procs([daemon], timeout=_QUIT_SECONDS)
        for process in [*alive, *(server for server in servers if server.is_running())]:
            process.kill()
    except (OSError, ValueError, psutil.Error):
        return  # it has ended
