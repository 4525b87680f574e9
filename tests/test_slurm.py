"""The batch script for Slurm, with stand-ins for Slurm's commands and a real Ray."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.orchestrator.running import TOP, said, states, wait_all_gone, wait_for, write_sweep

SRUN = """#!/bin/bash
# Runs the command itself, once: the options say where, and all is here.
while [[ $1 == --* ]]; do echo "$1" >>"$ASKED"; shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
printf 'node7\\nnode8\\n'
"""
MAKE = f"""#!/bin/bash
# As the Makefile has it: the variables go into the environment.
for one in "${{@:2}}"; do export "TRYTABLE_$one"; done
exec {sys.executable} -m trytable.orchestrator.cli "$1"
"""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """A folder to run in, and the environment of a job on two nodes of one core."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("make", MAKE)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / ".venv").symlink_to(TOP / ".venv")
    write_sweep(tmp_path)
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOP),
        "ASKED": str(tmp_path / "asked"),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_CPUS_PER_TASK": "1",
    }


def submit(folder: Path, job: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["bash", str(TOP / "examples" / "slurm.sh"), *words],
        cwd=folder,
        env=job,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_slurms_signal_saves_the_trials_and_the_next_job_goes_on(
    tmp_path: Path, job: dict[str, str]
) -> None:
    batch = submit(tmp_path, job, "NAME=quality", "SET=epoch_seconds=0.5")
    wait_for(batch, lambda: said(tmp_path, "epoch") >= 3)
    processes = psutil.Process(batch.pid).children(recursive=True)
    assert sum(one.name() == "raylet" for one in processes) == 2
    batch.send_signal(signal.SIGTERM)
    printed, _ = batch.communicate(timeout=120)
    assert batch.returncode == 130, printed
    wait_all_gone(processes)
    assert said(tmp_path, "checkpoint") == 2
    job["SLURM_JOB_ID"] = str(os.getpid() + 1)
    batch = submit(tmp_path, job, "NAME=quality", "SET=epoch_seconds=0.5")
    printed, _ = batch.communicate(timeout=240)
    assert batch.returncode == 0, printed
    assert "2 slots" in printed
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert said(tmp_path, "epoch") == 24
    asked = (tmp_path / "asked").read_text().split()
    assert "--nodelist=node7" in asked
    assert "--exclude=node7" in asked
