"""Whole sweeps on every database: they finish, survive, refuse a second orchestrator."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from optuna.trial import FrozenTrial

from tests.databases import NEW
from tests.orchestrator.running import (
    family,
    run,
    said,
    start,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from tests.postgres import postgres
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.reader import read_study
from trytable.results.storage.snapshot import read_snapshot

VALUES = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]


@pytest.fixture(params=NEW)
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> Folders:
    """The study `quality` in an awkward folder, and its sweep file."""
    return place(request.param, tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Folders:
    """The same in PostgreSQL alone."""
    return place("postgresql", tmp_path)


def place(kind: str, tmp_path: Path) -> Folders:
    folder = tmp_path / "it's $(a) {folder}"
    write_sweep(folder)
    storage = "" if kind == "sqlite" else NEW[kind](tmp_path)
    return Folders(folder / "runs", "quality", storage)


def home(folders: Folders) -> Path:
    return folders.runs.parent


def sweep(folders: Folders) -> tuple[int, str]:
    return run(home(folders), STORAGE=folders.storage, SLOTS="2")


def trials(folders: Folders) -> tuple[FrozenTrial, ...]:
    return read_snapshot(folders.url, folders.study).trials


def assert_whole(folders: Folders) -> None:
    """Every point has completed once, and nothing was lost or doubled."""
    assert [one.problems for one in check_studies(folders)] == [()]
    completed = [t.params["value"] for t in trials(folders) if t.state.name == "COMPLETE"]
    assert sorted(completed) == VALUES


def test_a_sweep_runs_to_its_end_and_every_verb_reads_it(folders: Folders) -> None:
    code, printed = sweep(folders)
    assert code == 0, printed
    assert_whole(folders)
    for verb in ("report", "export", "show", "check"):
        code, printed = run(home(folders), verb, STORAGE=folders.storage, TRY="1", FORMAT="csv")
        assert code == 0, printed
    if folders.storage:
        assert not folders.database.exists()


def test_a_killed_orchestrator_is_followed_by_one_that_finishes(folders: Folders) -> None:
    process = start(home(folders), STORAGE=folders.storage, SLOTS="2")
    wait_for(process, lambda: said(home(folders), "epoch") >= 5)
    workers = family(process)
    process.kill()
    process.communicate()
    wait_all_gone(workers)
    code, printed = sweep(folders)
    assert code == 0, printed
    assert_whole(folders)


def test_one_interrupt_drains_and_the_next_run_goes_on(folders: Folders) -> None:
    process = start(home(folders), STORAGE=folders.storage, SLOTS="2")
    wait_for(process, lambda: said(home(folders), "epoch") >= 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert [one.problems for one in check_studies(folders)] == [()]
    code, printed = sweep(folders)
    assert code == 0, printed
    assert_whole(folders)


def test_a_second_orchestrator_is_refused(folders: Folders) -> None:
    process = start(home(folders), STORAGE=folders.storage, SLOTS="1")
    wait_for(process, lambda: said(home(folders), "epoch") >= 1)
    code, printed = sweep(folders)
    assert code == 2
    assert f"process {process.pid} on " in printed
    process.communicate(timeout=240)
    assert_whole(folders)


def test_two_hosts_work_on_two_studies_in_one_database(served: Folders, tmp_path: Path) -> None:
    """Each with a folder of its own, begun at once on an empty database."""
    other = Folders(tmp_path / "other host" / "runs", "second", served.storage)
    write_sweep(home(other), name="second")
    both = [
        start(home(one), NAME=one.study, STORAGE=served.storage, SLOTS="1")
        for one in (served, other)
    ]
    for process in both:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
    assert_whole(served)
    assert_whole(other)


def test_a_second_orchestrator_on_another_host_is_refused(served: Folders, tmp_path: Path) -> None:
    process = start(home(served), STORAGE=served.storage, SLOTS="1")
    wait_for(process, lambda: said(home(served), "epoch") >= 1)
    other = Folders(tmp_path / "other host" / "runs", "quality", served.storage)
    write_sweep(home(other))
    code, printed = sweep(other)
    assert code == 2
    assert f"process {process.pid} on " in printed
    assert not other.home.exists()
    process.communicate(timeout=240)
    assert_whole(served)


def cut(_: object) -> None:
    assert postgres().cut_connections() > 0


def restart(_: object) -> None:
    postgres().stop()
    time.sleep(1)
    postgres().start()


@pytest.mark.parametrize("fault", [cut, restart])
def test_connections_that_are_cut_and_a_server_that_restarts_lose_nothing(
    served: Folders, fault: Callable[[object], None]
) -> None:
    process = start(home(served), STORAGE=served.storage, SLOTS="2")
    for epochs in (1, 6, 12, 18):
        wait_for(process, lambda: said(home(served), "epoch") >= epochs)  # noqa: B023 - called now
        fault(process)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    assert fault is cut or "Lost the database connection" in printed
    assert_whole(served)
    assert all(len(one.attempts) == 1 for one in read_study(served.url, "quality").trials)


def test_a_lock_that_another_took_ends_the_sweep_in_words(served: Folders, tmp_path: Path) -> None:
    """While the first was cut off, a second began: the first must not write any more."""
    first = start(home(served), STORAGE=served.storage, SLOTS="1")
    wait_for(first, lambda: said(home(served), "epoch") >= 2)
    stopped = [psutil.Process(first.pid), *family(first)]
    for one in stopped:
        one.suspend()
    cut(first)
    other = Folders(tmp_path / "other host" / "runs", "quality", served.storage)
    write_sweep(home(other))
    second = start(home(other), STORAGE=served.storage, SLOTS="1")
    wait_for(second, lambda: said(home(other), "epoch") >= 1)
    for one in stopped:
        one.resume()
    printed, _ = first.communicate(timeout=120)
    assert first.returncode == 2, printed
    assert f"process {second.pid} on " in printed
    printed, _ = second.communicate(timeout=300)
    assert second.returncode == 0, printed
    assert_whole(other)


def test_a_database_that_is_not_there_is_one_paragraph(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    code, printed = run(tmp_path, STORAGE="postgresql://me:secret@127.0.0.1:1/db")
    assert code == 2
    assert "cannot be used" in printed
    assert "secret" not in printed
    code, printed = run(tmp_path, "backup", STORAGE="postgresql://me:secret@127.0.0.1:1/db")
    assert code == 2
    assert "pg_dump" in printed
