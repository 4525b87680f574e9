"""A forked command line is what a started one is: output, exit code, folder, session, signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.forking import MODULE, ForkedProcess, can_fork
from tests.orchestrator.running import start, write_sweep

SLOW = "trainer: scripted\nbaseline: {value: 0.5, epochs: 400, epoch_seconds: 1}\n"


def environment(**variables: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    return own | variables


@pytest.mark.parametrize(
    ("verb", "variables"),
    [
        ("--help", {}),
        ("sweeps", {}),
        ("sweep", {"TRYTABLE_NAME": "quality", "TRYTABLE_SLOTS": "x"}),
    ],
)
def test_it_prints_and_exits_as_a_started_one(
    tmp_path: Path, verb: str, variables: dict[str, str]
) -> None:
    write_sweep(tmp_path)
    started = subprocess.run(
        [sys.executable, "-m", MODULE, verb],
        cwd=tmp_path,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    forked = ForkedProcess([verb], tmp_path, environment(**variables))
    assert forked.communicate(timeout=60)[0] == started.stdout
    assert forked.returncode == forked.poll() == started.returncode


def test_it_leads_a_session_and_dies_of_signals(tmp_path: Path) -> None:
    write_sweep(tmp_path, SLOW)
    sweep = ForkedProcess(["sweep"], tmp_path, environment(TRYTABLE_NAME="quality"))
    assert os.getsid(sweep.pid) == sweep.pid
    assert sweep.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        sweep.communicate(timeout=0.1)
    sweep.kill()
    sweep.communicate(timeout=60)
    assert sweep.wait() == -signal.SIGKILL


def test_variables_of_the_interpreter_need_a_fresh_one(tmp_path: Path) -> None:
    same = environment(PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    assert can_fork(same | {"CUDA_VISIBLE_DEVICES": ""})
    assert not can_fork(same | {"PYTHONOPTIMIZE": "1"})
    assert not can_fork(same | {"LC_ALL": "tr_TR.UTF-8"})


def test_commands_that_are_not_the_command_line_are_started(tmp_path: Path) -> None:
    process = start(tmp_path, command=[sys.executable, "-c", "print(1)"])
    assert not isinstance(process, ForkedProcess)
    assert process.communicate()[0] == "1\n"


def test_it_runs_on_the_cores_of_its_test(tmp_path: Path) -> None:
    write_sweep(tmp_path, SLOW)
    cores = os.sched_getaffinity(0)
    ForkedProcess(["--help"], tmp_path, environment()).communicate(timeout=60)
    os.sched_setaffinity(0, {max(cores)})
    try:
        sweep = ForkedProcess(["sweep"], tmp_path, environment(TRYTABLE_NAME="quality"))
        assert os.sched_getaffinity(sweep.pid) == {max(cores)}
    finally:
        os.sched_setaffinity(0, cores)
    sweep.kill()
    sweep.communicate(timeout=60)
