"""One orchestrator a study, whatever its database, and the lock goes with its process."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.databases import NEW
from tests.postgres import postgres
from trytable.orchestrator.errors import StudyDeleted, StudyLocked
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.locks import identity_lock, lock_key, server_lock, study_lock

TOP = Path(__file__).resolve().parents[3]
HOLD = (
    "import sys, time; from pathlib import Path; from trytable.orchestrator.paths import Folders\n"
    "from trytable.orchestrator.study.locks import identity_lock, study_lock\n"
    "folders = Folders(Path(sys.argv[1]), 'a study', sys.argv[2])\n"
    "with study_lock(folders), identity_lock(folders, 'a uuid'):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture(params=NEW)
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> Folders:
    """A study that nobody runs."""
    storage = "" if request.param == "sqlite" else NEW[request.param](tmp_path)
    return Folders(tmp_path / 'it\'s a "folder"\n', "a study", storage)


def hold(folders: Folders) -> "subprocess.Popen[bytes]":
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folders.runs), folders.storage]
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def test_a_second_holder_is_refused_and_told_of_the_first(folders: Folders) -> None:
    first = hold(folders)
    with pytest.raises(StudyLocked, match=f"process {first.pid} on "), study_lock(folders):
        pass
    first.kill()
    first.wait()
    with study_lock(folders):
        pass
    with study_lock(folders):
        pass


def test_a_lock_outlives_the_folder_of_its_study(folders: Folders) -> None:
    """After `rm -rf runs/NAME`, whoever makes the folder anew is refused all the same."""
    first = hold(folders)
    shutil.rmtree(folders.home)
    with (
        pytest.raises(StudyLocked, match=f"process {first.pid} on "),
        study_lock(folders),
        identity_lock(folders, "a uuid"),
    ):
        pass
    first.kill()
    first.wait()
    with study_lock(folders), identity_lock(folders, "a uuid"):
        pass


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.with_suffix(".new").rename(path)]
)
def test_an_owner_whose_files_are_gone_or_replaced_is_stopped(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    for path in ("database", "lock"):
        folders = Folders(tmp_path / path, "a study")
        folders.runs.mkdir()
        folders.database.touch()
        with study_lock(folders) as renew:
            renew()
            file = getattr(folders, path)
            file.with_suffix(".new").touch()
            change(file)
            with pytest.raises(StudyDeleted, match="was deleted or replaced"):
                renew()


@pytest.fixture
def away(tmp_path: Path) -> Folders:
    """A study in PostgreSQL, run from two hosts: nothing but the server is shared."""
    return Folders(tmp_path / "one", "a study", NEW["postgresql"](tmp_path))


def test_the_server_refuses_a_second_holder_on_another_host(away: Folders, tmp_path: Path) -> None:
    first = hold(away)
    elsewhere = replace(away, runs=tmp_path / "two")
    with (
        pytest.raises(StudyLocked, match=f"process {first.pid} on "),
        study_lock(elsewhere),
    ):
        pass
    with study_lock(replace(elsewhere, study="another")):
        pass
    first.kill()
    first.wait()
    with study_lock(elsewhere):
        pass


def test_a_lock_whose_connection_was_cut_is_taken_again(away: Folders, tmp_path: Path) -> None:
    elsewhere = replace(away, runs=tmp_path / "two")
    with study_lock(away) as renew:
        assert postgres().cut_connections()
        renew()
        with pytest.raises(StudyLocked), study_lock(elsewhere):
            pass


def test_a_lock_that_another_took_meanwhile_is_lost(away: Folders, tmp_path: Path) -> None:
    with study_lock(away) as renew:
        postgres().cut_connections()
        other = hold(replace(away, runs=tmp_path / "two"))
        with pytest.raises(StudyLocked, match=f"process {other.pid} on "):
            renew()
        other.kill()
        other.wait()
        renew()


def test_a_former_self_that_the_server_still_hears_is_ended(away: Folders) -> None:
    """As after a network that was cut: the server has not noticed yet."""
    with server_lock(away) as renew:
        lock = renew.__self__  # type: ignore[attr-defined] # a bound method
        former, lock._connection = lock._connection, None
        renew()
        assert lock._connection is not former
        former.invalidate()
        former.close()


def test_locks_of_different_studies_differ() -> None:
    keys = {lock_key(f"study {number}") for number in range(10_000)}
    assert len(keys) == 10_000
    assert all(0 <= key < 2**63 for key in keys)
