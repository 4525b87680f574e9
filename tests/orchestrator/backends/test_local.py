"""What only real processes show: how they die, and what dies with them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.orchestrator.backends.test_contract import ODD_NAME, SLOTS, make_job
from trytable.orchestrator.backends import local
from trytable.orchestrator.backends.base import BackendError, WorkerEvent, WorkerExit, WorkerMessage
from trytable.orchestrator.backends.local import LocalBackend
from trytable.trainers.protocol.messages import Failed, Started

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(
        SLOTS, "scripted", "none", tmp_path / "forkserver.log", grace_seconds=0.5
    )
    yield backend
    backend.close()


def poll_until(
    backend: LocalBackend, enough: Callable[[list[WorkerMessage]], bool], seconds: float = 240
) -> list[WorkerMessage]:
    heard: list[WorkerMessage] = []
    give_up = time.monotonic() + seconds
    while not enough(heard):
        assert time.monotonic() < give_up, heard
        heard.extend(backend.poll(0.2))
    return heard


def started(heard: list[WorkerMessage]) -> list[Started]:
    return [m.event for m in heard if isinstance(m, WorkerEvent) and isinstance(m.event, Started)]


def wait_gone(*pids: int, seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while any(psutil.pid_exists(p) and not is_zombie(p) for p in pids):
        assert time.monotonic() < give_up, [psutil.Process(p) for p in pids if psutil.pid_exists(p)]
        time.sleep(0.02)


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_job_and_all_that_was_said_lie_in_the_trials_folder(
    backend: LocalBackend, tmp_path: Path
) -> None:
    backend.start(make_job(tmp_path, "a", crash="garbage", crash_at_epoch=2), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    folder = tmp_path / ODD_NAME / "a"
    assert '"attempt": 1' in (folder / "job.json").read_text()
    assert len((folder / "events.jsonl").read_text().splitlines()) == len(heard) - 1
    assert "neither JSON nor an event" in (folder / "worker.log").read_text()


def test_a_traceback_goes_to_the_failed_event(backend: LocalBackend, tmp_path: Path) -> None:
    backend.start(make_job(tmp_path, "a", crash="error"), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    (failed,) = [
        m.event for m in heard if isinstance(m, WorkerEvent) and isinstance(m.event, Failed)
    ]
    assert "RuntimeError: crash: error" in failed.traceback


def test_a_worker_that_says_an_endless_line_is_killed(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_LINE_BYTES", 2**20)
    backend.start(make_job(tmp_path, "a", crash="flood"), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert heard[-1] == WorkerExit("a", 1, "killed by SIGKILL")


def test_workers_go_on_after_a_dead_fork_server_is_replaced(
    backend: LocalBackend, tmp_path: Path
) -> None:
    backend.start(make_job(tmp_path, "a", crash="hang"), SLOTS[0])
    (start,) = started(poll_until(backend, lambda heard: bool(started(heard))))
    os.kill(backend._process.pid, signal.SIGKILL)
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert heard[-1] == WorkerExit("a", 1, "the fork server died")
    wait_gone(start.pid)
    backend.start(make_job(tmp_path, "a", attempt=2), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert any(isinstance(m, WorkerEvent) and m.event.event == "finished" for m in heard)


def test_a_fork_server_that_dies_with_a_request_unread_is_replaced(
    backend: LocalBackend, tmp_path: Path
) -> None:
    """The kernel then resets the connection instead of ending it."""
    backend.start(make_job(tmp_path, "a"), SLOTS[0])
    poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    dead = backend._process
    os.kill(dead.pid, signal.SIGSTOP)
    backend.start(make_job(tmp_path, "b"), SLOTS[0])
    os.kill(dead.pid, signal.SIGKILL)
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert heard[-1] == WorkerExit("b", 1, "the fork server died")
    backend.start(make_job(tmp_path, "b", attempt=2), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert any(isinstance(m, WorkerEvent) and m.event.event == "finished" for m in heard)


def kill_fork_server(backend: LocalBackend, times: int) -> None:
    """Kill it as often as it comes back, and hear of it each time."""
    for _ in range(times):
        dead = backend._process
        os.kill(dead.pid, signal.SIGKILL)
        while backend._process is dead:
            backend.poll(1)


def test_a_fork_server_that_is_killed_before_it_is_ready_is_replaced(
    backend: LocalBackend, tmp_path: Path
) -> None:
    kill_fork_server(backend, local.MAX_FAILED_STARTS - 1)
    backend.start(make_job(tmp_path, "a"), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(m, WorkerExit) for m in heard))
    assert any(isinstance(m, WorkerEvent) and m.event.event == "finished" for m in heard)


def test_a_fork_server_that_is_killed_again_and_again_is_a_backend_error(
    backend: LocalBackend,
) -> None:
    with pytest.raises(BackendError, match=r"workers cannot start \(killed by SIGKILL\)"):
        kill_fork_server(backend, 100)


def test_a_model_that_cannot_be_read_is_a_backend_error(tmp_path: Path) -> None:
    backend = LocalBackend(SLOTS, "finetune", str(tmp_path / "none"), tmp_path / "forkserver.log")
    try:
        with pytest.raises(BackendError, match="none"):
            poll_until(backend, lambda _: False)
    finally:
        backend.close()


def test_close_leaves_no_process(backend: LocalBackend, tmp_path: Path) -> None:
    backend.start(make_job(tmp_path, "a", crash="hang"), SLOTS[0])
    (start,) = started(poll_until(backend, lambda heard: bool(started(heard))))
    server_pid = backend._process.pid
    backend.close()
    wait_gone(server_pid, start.pid)


def test_all_die_with_a_killed_orchestrator(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from tests.orchestrator.backends.test_contract import SLOTS, make_job
from tests.orchestrator.backends.test_local import poll_until, started
from trytable.orchestrator.backends.local import LocalBackend
backend = LocalBackend(SLOTS, "scripted", "none", Path({str(tmp_path)!r}) / "forkserver.log")
for uid, slot in zip("ab", SLOTS):
    backend.start(make_job(Path({str(tmp_path)!r}), uid, crash="hang"), slot)
heard = poll_until(backend, lambda heard: len(started(heard)) == 2)
print(backend._process.pid, *(start.pid for start in started(heard)), flush=True)
time.sleep(60)
"""
    orchestrator = subprocess.Popen([sys.executable, "-c", code], cwd=TOP, stdout=subprocess.PIPE)
    assert orchestrator.stdout is not None
    pids = [int(pid) for pid in orchestrator.stdout.readline().split()]
    assert len(pids) == 3
    orchestrator.kill()
    orchestrator.wait()
    orchestrator.stdout.close()
    wait_gone(*pids)
