"""What people do to a running sweep: stop it, close its terminal, start it twice, delete, move."""

import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from tests.orchestrator.faults.aftermath import check_complete, check_sound
from tests.orchestrator.running import (
    TOP,
    family,
    run,
    said,
    start,
    suspended,
    url,
    wait_all_gone,
    wait_for,
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_the_next_run_goes_on(folder: Path, number: signal.Signals) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    sweep.send_signal(number)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 130, printed
    assert check_sound(folder, processes).counts["drained"] == 2
    assert run(folder)[0] == 0
    check_complete(folder)


def test_a_terminal_that_is_closed_drains_the_sweep(folder: Path) -> None:
    """The kernel's own SIGHUP, and nobody left to print to."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    in_terminal = (
        "import fcntl, runpy, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "sys.argv[1:] = ['sweep']\n"
        "runpy.run_module('trytable.orchestrator.cli', run_name='__main__')"
    )
    sweep = subprocess.Popen(
        [sys.executable, "-c", in_terminal],
        cwd=folder,
        env={**environment, "TRYTABLE_NAME": "quality", "PYTHONPATH": str(TOP), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    deadline = time.monotonic() + 120
    while said(folder, "epoch") < 2:
        assert sweep.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes = family(sweep)
    os.close(ours)
    sweep.wait(timeout=120)
    check_sound(folder, processes)
    assert run(folder)[0] == 0
    check_complete(folder)


def test_a_second_orchestrator_on_another_host_is_refused(folder: Path) -> None:
    """Another host's name and its process number, on a shared folder."""
    name = "elsewhere"
    unshare = ["unshare", "--uts"] if os.getuid() == 0 else ["unshare", "-r", "--uts"]
    words = f"hostname {name}; exec {sys.executable} -m trytable.orchestrator.cli sweep"
    first = start(folder, "sweep", command=[*unshare, "sh", "-c", words])
    wait_for(first, lambda: said(folder, "epoch") >= 1)
    with suspended(first):
        code, printed = run(folder)
    assert code == 2
    assert f"on {name} is already running this sweep" in printed
    assert socket.gethostname() != name
    printed, _ = first.communicate(timeout=240)
    assert first.returncode == 0, printed
    check_complete(folder)


def test_no_process_is_signalled_by_a_number_that_was_stored(folder: Path) -> None:
    """A killed sweep's process ids have gone to somebody else: nobody touches them."""
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    sweep.kill()
    sweep.communicate()
    wait_all_gone(processes)
    with subprocess.Popen(["sleep", "600"]) as innocent:
        with sqlite3.connect(folder / "runs" / "studies.db") as database:
            database.execute("UPDATE trytable_attempts SET pid = ?", (innocent.pid,))
        lock = folder / "runs" / "quality" / ".lock"
        lock.write_text(json.dumps({"pid": innocent.pid, "host": socket.gethostname(), "at": 0}))
        assert run(folder)[0] == 0
        assert innocent.poll() is None
        innocent.kill()
    check_complete(folder)


def test_a_study_that_is_deleted_while_it_runs(folder: Path) -> None:
    """As the dashboard does it. The next run starts anew, and finds nothing of the old one's."""
    sweep = start(folder, SET="epochs=400")  # it cannot end before the study is deleted
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    optuna.delete_study(study_name="quality", storage=url(folder, for_optuna=True))
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 2
    assert "was deleted (in the dashboard?) while its sweep ran" in printed
    assert "Traceback" not in printed
    wait_all_gone(processes)
    code, printed = run(folder)
    assert code == 0, printed
    check_complete(folder)
    kept = folder / "runs" / "quality" / "trials" / "0000.old-1" / "events.jsonl"
    assert '"event":"epoch"' in kept.read_text()


def test_a_study_whose_folder_is_deleted_while_it_runs(folder: Path) -> None:
    """`rm -rf runs/quality`: the sweep ends, and the next one goes on from the database."""
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    shutil.rmtree(folder / "runs" / "quality")
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 2
    assert "was deleted or replaced while its sweep ran" in printed
    assert "Traceback" not in printed
    wait_all_gone(processes)
    code, printed = run(folder)
    assert code == 0, printed
    check_complete(folder)


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_database_that_is_deleted_while_it_runs(folder: Path, replaced: bool) -> None:
    """The sweep ends instead of writing into a file that nobody can open any more."""
    database = folder / "runs" / "studies.db"
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    if replaced:
        shutil.copy(database, folder / "copy.db")
        (folder / "copy.db").replace(database)
    else:
        database.unlink()
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 2
    assert "was deleted or replaced while this sweep ran" in printed
    assert "Traceback" not in printed
    wait_all_gone(processes)
    code, printed = run(folder)
    assert code == 0, printed
    check_complete(folder)


def test_a_database_that_is_deleted_between_runs(folder: Path) -> None:
    """New trials get old numbers: they neither adopt old results nor old checkpoints."""
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    os.killpg(sweep.pid, signal.SIGINT)
    sweep.communicate(timeout=240)
    assert said(folder, "checkpoint") == 2
    (folder / "runs" / "studies.db").unlink()
    code, printed = run(folder)
    assert code == 0, printed
    check_complete(folder)
    logs = (folder / "runs" / "quality" / "trials").glob("[0-9][0-9][0-9][0-9]/events.jsonl")
    events = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {one["resumed_from_step"] for one in events if one["event"] == "started"} == {0}


def test_runs_that_are_moved_go_on(folder: Path) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 4)
    processes = family(sweep)
    sweep.kill()
    sweep.communicate()
    wait_all_gone(processes)
    elsewhere = folder / "moved to {another} place"
    shutil.move(folder / "runs", elsewhere)
    code, printed = run(folder, RUNS=str(elsewhere))
    assert code == 0, printed
    assert not (folder / "runs").exists()
    shutil.move(elsewhere, folder / "runs")
    check_complete(folder)
