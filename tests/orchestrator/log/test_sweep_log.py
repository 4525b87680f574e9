"""The log of real runs: what a bug report needs is there, and what is private is not."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import trytable
from tests.orchestrator.log.reading import records
from tests.orchestrator.running import GRID, TOP, run, said, start, states, wait_for, write_sweep

FAST = GRID.replace("epoch_seconds: 0.15", "epoch_seconds: 0")
SECRET = "a sentence of the data"  # noqa: S105 - no password
BROKEN = """
import sys
from trytable.orchestrator import cli
from trytable.orchestrator.run.loop import SweepLoop
turns, original = [], SweepLoop.turn
def turn(self):
    turns.append(1)
    if len(turns) > 5:
        raise RuntimeError("a fault of ours\\n\\x1b[2Jsecond line")
    return original(self)
SweepLoop.turn = turn
sys.argv[1:] = ["sweep"]
cli.main()
"""
SCRIPT = """
trainer: script
command: ["{python}", train.py, "{note}"]
objective: {name: dev_acc, direction: maximize}
attempts: 1
"""


def log_of(folder: Path, name: str = "quality") -> list[tuple[str, str]]:
    return records(folder / "runs" / name / "orchestrator.log")


def messages(folder: Path) -> str:
    return "\n".join(message for _, message in log_of(folder))


def test_a_sweep_logs_its_facts_attempts_and_counts(tmp_path: Path) -> None:
    write_sweep(
        tmp_path,
        FAST.replace("epochs: 4,", "epochs: 2, crash_at_epoch: 2, crash_attempts: 1,").replace(
            "[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", "[0.5, 0.25]\n  crash: [none, signal, user]"
        ),
    )
    # The local engine does not use CHECKPOINTS, but it is on the command line.
    code, printed = run(
        tmp_path, SLOTS="1", CHECKPOINTS="s3://key:hunter2@bucket/x", SET="description='it''s \n'"
    )
    assert code == 0, printed
    found = messages(tmp_path)
    for text in (
        "Sweep quality in study quality started",
        f"Versions: trytable {trytable.__version__}, Python {sys.version.split()[0]}, torch ",
        f"{os.cpu_count()} CPU cores",
        "GPUs: ",
        "Slots: 1 on cpu",
        "TRYTABLE_CHECKPOINTS='s3://key:***@bucket/x'",
        "TRYTABLE_SLOTS=1",
        "Seed: 42",
        "Fork server",
    ):
        assert text in found, text
    assert re.search(r"Sweep hash: [0-9a-f]{16}\b", found)
    assert "hunter2" not in found
    assert re.search(r"Try 1 attempt 1 started in slot 1 on cpu: value 0.5, crash none", found)
    assert re.search(r"Try 1 attempt 1 completed with [\d.]+ at epoch 2 \(\d+\.\d s\)", found)
    assert re.search(r"attempt 1 ended and will be started again .*killed by SIGKILL", found)
    assert re.search(r"attempt 2 completed", found)
    assert re.search(r"attempt 1 failed \(\d+\.\d s\): user: ", found)
    assert "Sweep ended: 6 of 6 trials {'completed': 4, 'failed': 2}" in found
    # A later run adds to the same log, and one that is refused does not.
    pids = set(re.findall(r"Z (\d+) ", (tmp_path / "runs/quality/orchestrator.log").read_text()))
    assert run(tmp_path, "rerun", TRY="1")[0] == 0
    assert run(tmp_path, LOG_LEVEL="loud")[0] == 2
    again = set(re.findall(r"Z (\d+) ", (tmp_path / "runs/quality/orchestrator.log").read_text()))
    assert len(pids) == 1
    assert len(again) == 2
    assert "Rerun of quality: Try 1 again on cpu started" in messages(tmp_path)
    assert "Rerun ended (exit code 0)" in messages(tmp_path)
    code, printed = run(tmp_path, "show", TRY="1")
    assert "runs/quality/orchestrator.log" in printed


def test_signals_and_the_death_of_a_fork_server_are_logged(tmp_path: Path) -> None:
    write_sweep(tmp_path, GRID.replace("epoch_seconds: 0.15", "epoch_seconds: 0.4"))
    process = start(tmp_path, SLOTS="1", LOG_LEVEL="debug")
    wait_for(process, lambda: said(tmp_path, "epoch") > 0)
    (server,) = psutil.Process(process.pid).children()
    server.kill()
    wait_for(process, lambda: said(tmp_path, "started") > 1)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    found = messages(tmp_path)
    assert f"Fork server {server.pid} died (killed by SIGKILL) with 1 workers" in found
    assert len(re.findall("Started fork server", found)) == 2
    assert "Received SIGTERM; 1 signals so far" in found
    assert "it saves a checkpoint and stops, because the run ends" in found
    assert re.search(r"attempt 2 drained", found)
    assert re.search(
        r"DEBUG .*Try 1 epoch 1: ", (tmp_path / "runs/quality/orchestrator.log").read_text()
    )


def test_a_pruned_trial_and_a_quiet_level(tmp_path: Path) -> None:
    write_sweep(
        tmp_path,
        GRID.replace("[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", "[0.9, 0.8, 0.1]").replace("0.5,", "0.9,")
        + "pruner: {name: median, startup_trials: 2, warmup_epochs: 1}\n",
    )
    assert run(tmp_path, SLOTS="1")[0] == 0
    assert "PRUNED" in states(tmp_path)
    assert re.search(r"Try 3: the pruner stops it\nTry 3 attempt 1 pruned", messages(tmp_path))
    (tmp_path / "runs" / "quality" / "orchestrator.log").unlink()
    assert run(tmp_path, AS_NEW="1", LOG_LEVEL="error")[0] == 0
    assert not (tmp_path / "runs" / "quality@2" / "orchestrator.log").exists()


def test_an_unexpected_error_is_one_line_and_the_log_has_the_traceback(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    command = [sys.executable, "-c", BROKEN]
    environment = {key: text for key, text in os.environ.items() if "TRYTABLE" not in key}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environment, "TRYTABLE_NAME": "quality", "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith(
        "trytable: An unexpected error ended the run: RuntimeError: a fault of ours."
    )
    assert "runs/quality/orchestrator.log" in last
    level, message = log_of(tmp_path)[-1]
    assert level == "CRITICAL"
    assert "in run_sweep" in message
    assert r"\x1b[2Jsecond line" in message
    assert run(tmp_path)[0] == 0
    assert states(tmp_path) == ["COMPLETE"] * 6


@pytest.mark.parametrize("obstacle", ["folder", "full disk"])
def test_a_log_that_cannot_be_written_ends_no_sweep(obstacle: str, tmp_path: Path) -> None:
    write_sweep(tmp_path, FAST)
    path = tmp_path / "runs" / "quality" / "orchestrator.log"
    path.parent.mkdir(parents=True)
    if obstacle == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    code, printed = run(tmp_path)
    assert code == 0, printed
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert printed.count("orchestrator.log cannot be written") == 1
    assert "Traceback" not in printed
    assert "Logging error" not in printed


def test_what_a_script_prints_is_not_in_the_log(tmp_path: Path) -> None:
    """Nor do hostile parameters break its lines; `records` checks every one."""
    program = f"""
import sys
print("{SECRET}")
if "\\n" in sys.argv[1]:
    raise RuntimeError("{SECRET}")
print("epoch 1: dev acc :: 0.5")
"""
    (tmp_path / "train.py").write_text(program)
    notes = r'["plain", "two\nlines", "\u001b[2J", "2026-01-01T00:00:00.000Z 1 INFO x: y"]'
    write_sweep(tmp_path, f"{SCRIPT}parameters: {{note: {notes}}}\n")
    code, printed = run(tmp_path, LOG_LEVEL="debug", SLOTS="1")
    assert code == 0, printed
    found = messages(tmp_path)
    assert SECRET not in found
    assert r"note two\nlines" in found
    assert re.search(r"failed \(\d+\.\d s\): exit_code$", found, re.MULTILINE)


def test_nothing_of_a_run_stays_if_its_sweep_is_refused(tmp_path: Path) -> None:
    write_sweep(tmp_path, FAST)
    assert run(tmp_path)[0] == 0
    write_sweep(tmp_path, FAST.replace("value: 0.5", "value: 0.4"))
    code, printed = run(tmp_path)
    assert code == 2
    assert "baseline" in printed
    assert log_of(tmp_path)[-1][0] == "ERROR"
