"""What is checked of a study, and copies of its database: each fault is made in a real one."""

import io
import shlex
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.orchestrator.playing import play, sweep_of
from tests.orchestrator.running import GRID, start
from trytable.orchestrator.commands.keep.backup import back_up_database
from trytable.orchestrator.commands.look.check import print_check
from trytable.orchestrator.errors import DatabaseDamaged
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A sweep of six completed trials."""
    folder = tmp_path_factory.mktemp("checked") / "it's {a} 100% #1?"
    folders = Folders(folder / "runs", "quality")
    play(sweep_of(folder, GRID), folders)
    return folders


@pytest.fixture
def folders(ended: Folders, tmp_path: Path) -> Folders:
    """A copy of it to break."""
    shutil.copytree(ended.runs, tmp_path / "runs")
    return Folders(tmp_path / "runs", "quality")


def spoil(folders: Folders, *statements: str) -> None:
    with sqlite3.connect(folders.database) as database:
        for text in statements:
            statement = text.replace("OF_TRY_3", OF_TRY_3)
            assert database.execute(statement).rowcount > 0, statement


def printed(folders: Folders) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=100)
    holds = print_check(folders, console)
    assert isinstance(console.file, io.StringIO)
    return holds, console.file.getvalue()


def test_a_sound_study_has_no_problem(folders: Folders) -> None:
    (found,) = check_studies(folders)
    assert (found.counts, found.problems, found.trial_count) == ({"completed": 6}, (), 6)
    holds, told = printed(folders)
    assert holds
    assert told.split() == ["study", "asked", "completed", "problems", "quality", "6", "6", "0"]


OF_TRY_3 = "(SELECT uid FROM trytable_trials WHERE number = 2)"


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (
            ["DELETE FROM trytable_attempts WHERE trial_uid = OF_TRY_3"],
            "Try 3 is completed without an attempt",
        ),
        (
            ["UPDATE trytable_attempts SET attempt = 2 WHERE trial_uid = OF_TRY_3"],
            "Try 3 has the attempts [2]",
        ),
        (
            ["UPDATE trytable_attempts SET ended_at = NULL WHERE trial_uid = OF_TRY_3"],
            "Try 3 is completed, but attempts [1] have no end",
        ),
        (
            ["UPDATE trytable_epochs SET attempt = 7 WHERE epoch = 1 AND trial_uid = OF_TRY_3"],
            "Try 3 has epochs of attempt 7, which does not exist",
        ),
        (
            ["UPDATE trytable_trials SET status = 'pruned' WHERE number = 2"],
            "Try 3 is COMPLETE in the study and pruned in the ledger",
        ),
        (
            ["UPDATE trytable_trials SET best_value = 0.75 WHERE number = 2"],
            "Try 3 has the value 0.28125 in the study and 0.75 in the ledger",
        ),
        (
            ["DELETE FROM trytable_trials WHERE number = 2"],
            "Try 3 is not in the ledger",
        ),
        (
            [
                "DELETE FROM trial_user_attributes WHERE trial_id = 3",
                "DELETE FROM trial_values WHERE trial_id = 3",
                "DELETE FROM trials WHERE trial_id = 3",
            ],
            "Try 3 is in the ledger only",
        ),
        (
            [
                "UPDATE trial_user_attributes SET value_json = (SELECT value_json FROM "
                "trial_user_attributes WHERE trial_id = 1 AND key = 'trytable:uid') "
                "WHERE trial_id = 3 AND key = 'trytable:uid'"
            ],
            "two trials have the UUID",
        ),
        (["DELETE FROM studies"], "the study itself is no longer in the database"),
    ],
)  # fmt: skip
def test_what_is_lost_or_doubled_is_said(
    folders: Folders, statements: list[str], problem: str
) -> None:
    spoil(folders, *statements)
    holds, told = printed(folders)
    assert not holds
    assert problem in told, told


def test_a_study_that_is_not_there(folders: Folders) -> None:
    with pytest.raises(StudyNotFound, match="'quality'"):
        check_studies(Folders(folders.runs, "quantity"))
    with pytest.raises(DatabaseUnreadable, match="no study database"):
        check_studies(Folders(folders.runs / "elsewhere", ""))


def test_a_backup_is_the_database_again(folders: Folders) -> None:
    console = Console(file=io.StringIO())
    first, second = back_up_database(folders, console), back_up_database(folders, console)
    assert first != second
    before = check_studies(folders)
    folders.database.unlink()
    shutil.copyfile(first, folders.database)
    assert check_studies(folders) == before
    assert [path.name for path in folders.backups.iterdir() if path.name.startswith(".")] == []


def test_a_backup_can_be_made_while_another_writes(folders: Folders) -> None:
    with sqlite3.connect(folders.database) as writer:
        writer.execute("UPDATE trytable_trials SET reason = 'not committed yet'")
        path = back_up_database(folders, Console(file=io.StringIO()))
    with sqlite3.connect(path) as copy:
        assert copy.execute("SELECT DISTINCT reason FROM trytable_trials").fetchall() == [("",)]


def test_a_damaged_database_is_not_backed_up_and_not_touched(folders: Folders) -> None:
    kept = back_up_database(folders, Console(file=io.StringIO()))
    content = bytearray(folders.database.read_bytes())
    page = 4096
    for place in range(page * 5, len(content), page * 3):
        content[place : place + 64] = b"\xa5" * 64
    folders.database.write_bytes(content)
    for verb in (back_up_database, print_check):
        with pytest.raises(DatabaseDamaged, match="is damaged and was left untouched") as raised:
            verb(folders, Console(file=io.StringIO()))
        assert kept.name in str(raised.value)
    assert folders.database.read_bytes() == content
    assert [path for path in folders.backups.iterdir() if path != kept] == []


def test_a_backup_without_room_is_no_damage(folders: Folders) -> None:
    """The kernel refuses to write more than a few pages of the copy."""
    words = f"ulimit -f 100; exec {shlex.quote(sys.executable)} -m trytable.orchestrator.cli backup"
    process = start(folders.runs.parent, command=["sh", "-c", words])
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2, printed
    assert "cannot be copied" in printed
    assert "damaged" not in printed
    assert list(folders.backups.iterdir()) == []
