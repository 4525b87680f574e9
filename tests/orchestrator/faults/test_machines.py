"""What machines do to a running sweep: hang, lock, fill up, forbid, corrupt, set the clock."""

import os
import shlex
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.orchestrator.faults.aftermath import check_complete, check_sound
from tests.orchestrator.running import (
    GRID,
    TOP,
    family,
    run,
    said,
    start,
    url,
    wait_for,
    write_sweep,
)
from trytable.results.storage.reader import read_study

LOCKED_SECONDS = 61
CLI = f"{shlex.quote(sys.executable)} -m trytable.orchestrator.cli"
IN_A_MOUNT_NAMESPACE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]


def shell(folder: Path, words: str, **variables: str) -> tuple[int, str]:
    """Run shell words in a mount namespace of their own."""
    process = start(
        folder, command=[*IN_A_MOUNT_NAMESPACE, "sh", "-c", f"set -e; {words}"], **variables
    )
    printed, _ = process.communicate(timeout=400)
    return process.wait(), printed


def test_a_worker_that_hangs_is_killed_and_tried_again(folder: Path) -> None:
    sweep = start(folder, SET="silence_minutes=0.05 epoch_seconds=0.3")
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    worker = next(child for process in processes for child in process.children())
    worker.suspend()
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    assert "killed after 3 seconds without a message" in printed
    check_complete(folder, processes)


def test_a_worker_that_is_slow_but_lives_is_left_alone(folder: Path) -> None:
    """It says nothing for nine seconds, of which eight are allowed, but that it lives."""
    write_sweep(folder, GRID.replace("[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", "[0.5]"))
    code, printed = run(folder, SET="silence_minutes=0.13 epoch_seconds=9 epochs=1")
    assert code == 0, printed
    assert "retried" not in printed


def test_a_database_that_is_locked_for_a_minute(folder: Path) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    with closing(sqlite3.connect(folder / "runs" / "studies.db", timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(LOCKED_SECONDS)
        assert sweep.poll() is None
        other.rollback()
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    check_complete(folder, processes)


def test_a_disk_that_is_full_under_the_database(folder: Path) -> None:
    """A small disk is filled while a sweep runs; when there is room again the sweep goes on."""
    (folder / "runs").mkdir()
    words = f"""
        mount -t tmpfs -o size=3m none runs
        ({CLI} sweep || echo "first: $?") &
        until grep -qs '"event":"epoch"' runs/quality/trials/*/events.jsonl; do sleep 0.1; done
        dd if=/dev/zero of=runs/filler bs=64k 2>/dev/null || true
        wait
        {CLI} check
        rm runs/filler
        mkdir kept; cp -a runs/. kept
    """
    code, printed = shell(folder, words)
    assert code == 0, printed
    assert "first: 2" in printed
    assert "Traceback" not in printed
    assert "full" in printed or "No space left" in printed
    (folder / "runs").rmdir()
    (folder / "kept").rename(folder / "runs")
    code, printed = run(folder)
    assert code == 0, printed
    check_complete(folder)


def test_a_database_that_may_not_be_written(folder: Path) -> None:
    assert run(folder, TRIALS="2")[0] == 0
    before = (folder / "runs" / "studies.db").read_bytes()
    words = f"mount --bind runs runs; mount -o remount,ro,bind runs; {CLI} sweep"
    code, printed = shell(folder, words)
    assert code == 2
    assert "Read-only file system" in printed or "readonly database" in printed
    assert "Traceback" not in printed
    assert (folder / "runs" / "studies.db").read_bytes() == before
    assert run(folder)[0] == 0
    check_complete(folder)


def test_a_database_with_a_spoilt_page_is_refused_untouched(folder: Path) -> None:
    assert run(folder, TRIALS="2")[0] == 0
    code, printed = run(folder, "backup")
    assert code == 0, printed
    database = folder / "runs" / "studies.db"
    content = bytearray(database.read_bytes())
    for page in range(5, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    database.write_bytes(content)
    code, printed = run(folder)
    assert code == 2
    assert "is damaged and was left untouched" in printed
    assert "The newest backup is runs/backups/studies-" in printed
    assert database.read_bytes() == content
    (kept,) = (folder / "runs" / "backups").iterdir()
    kept.replace(database)
    assert run(folder)[0] == 0
    check_complete(folder)


JUMPY = """
import os.path, time
_real, _flag = time.time, os.path.join(os.path.dirname(__file__), "flag")
def _jumping():
    return _real() + (os.path.exists(_flag) and {hours} * 3600)
time.time = _jumping
"""


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set(folder: Path, hours: int) -> None:
    """It jumps for all processes at once, after two trials have ended."""
    (folder / "patch").mkdir()
    (folder / "patch" / "sitecustomize.py").write_text(JUMPY.format(hours=hours))
    words = f"PYTHONPATH=$PWD/patch:{shlex.quote(str(TOP))} exec {CLI} sweep"
    sweep = start(folder, command=["sh", "-c", words], SET="epoch_seconds=0.5", SLOTS="2")
    wait_for(sweep, lambda: said(folder, "finished") > 1)
    (folder / "patch" / "flag").touch()
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    check_complete(folder)
    study = read_study(url(folder), "quality")
    began = [attempt.started_at for one in study.trials for attempt in one.attempts]
    assert max(began) - min(began) > 3000, "the clock was set between two tries"
    for one in study.trials:
        assert one.seconds is not None
        assert 1.9 < one.seconds < 60


def test_a_killed_orchestrators_attempt_ends_when_it_was_heard_of_last(folder: Path) -> None:
    """Not when somebody runs the sweep again, which may be a week later."""
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    time.sleep(4)
    assert run(folder)[0] == 0
    check_complete(folder, processes)
    study = read_study(url(folder), "quality")
    lasted = [
        attempt.ended_at - attempt.started_at
        for one in study.trials
        for attempt in one.attempts
        if attempt.outcome == "retried" and attempt.ended_at is not None
    ]
    assert len(lasted) == 2
    assert max(lasted) < 4
    check_sound(folder)
