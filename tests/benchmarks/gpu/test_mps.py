"""The MPS daemon is stopped however its step ended, and nothing else is."""

import time
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu import mps

pytestmark = pytest.mark.slow

DAEMON = """#!/bin/bash
pid="$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid"
if [ "${1:-}" = -d ]; then
    (exec -a NAME sleep 600) </dev/null >/dev/null 2>&1 &
    echo $! >"$pid"
else
    read -r order
    echo "$order" >>"$CUDA_MPS_LOG_DIRECTORY/orders"
    if [ OBEYS = yes ]; then kill "$(cat "$pid")"; fi
fi
"""


def daemon(
    folder: Path, monkeypatch: pytest.MonkeyPatch, obeys: str = "yes", name: str = mps.CONTROL
) -> psutil.Process:
    """Start a made-up daemon that obeys `quit` or does not."""
    program = folder / mps.CONTROL
    program.write_text(DAEMON.replace("OBEYS", obeys).replace("NAME", name))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(mps, "_QUIT_SECONDS", 2)
    assert mps.missing() == ""
    mps.start(folder)
    process = psutil.Process(int((folder / "mps" / f"{mps.CONTROL}.pid").read_text()))
    deadline = time.monotonic() + 20
    while name not in process.cmdline() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def has_ended(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 10
    while process.is_running() and process.status() != "zombie":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("obeys", ["yes", "no"])
def test_the_daemon_is_stopped_also_if_it_does_not_obey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obeys: str
) -> None:
    process = daemon(tmp_path, monkeypatch, obeys)
    mps.stop(tmp_path)
    assert has_ended(process)
    assert (tmp_path / "mps-log" / "orders").read_text() == "quit\n"
    mps.stop(tmp_path)
    assert (tmp_path / "mps-log" / "orders").read_text() == "quit\n", "it is stopped once"


def test_a_process_that_took_over_the_id_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = daemon(tmp_path, monkeypatch, "no", "another-program")
    mps.stop(tmp_path)
    assert process.is_running()
    process.kill()


def test_a_daemon_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = daemon(tmp_path, monkeypatch)
    mps.stop(tmp_path / "another")
    assert process.is_running()
    mps.stop(tmp_path)
    assert has_ended(process)
