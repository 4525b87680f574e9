"""A study is carried to another database, proved the same there, goes on there, and comes back."""

import io
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from rich.console import Console

from tests.databases import NEW
from tests.orchestrator.playing import play, sweep_of
from tests.orchestrator.running import run, start, wait_for
from trytable.orchestrator.commands.keep.move_storage import move_studies
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.database import open_database
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.snapshot import MOVED_TO, read_snapshot

GRID = """
trainer: scripted
seed: 7
baseline: {value: 0.5, epochs: 4}
parameters:
  value: [0.1, 0.3, 0.5, 0.7, 0.9, 0.2]
"""
RANGE = """
trainer: scripted
seed: 7
baseline: {{value: 0.5, epochs: 4}}
parameters:
  value: {{low: 0.1, high: 0.9}}
sampler: {{name: random}}
trials: {trials}
"""

KILLED = 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's $(a) {folder}"


@pytest.fixture
def file(folder: Path) -> Folders:
    """Three completed tries in an SQLite file."""
    folders = Folders(folder / "runs", "quality")
    ran(folders, 3)
    return folders


@pytest.fixture
def served(file: Folders, folder: Path) -> Folders:
    """The same study in an empty PostgreSQL database."""
    return Folders(file.runs, "quality", NEW["postgresql"](folder))


def ran(folders: Folders, trials: int) -> str:
    return play(sweep_of(folders.runs.parent, RANGE.format(trials=trials)), folders)


def move(there: Folders, here: Folders, name: str = "quality") -> str:
    """Carry a study over; returns what was printed."""
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    source, target = (one.storage or str(one.runs) for one in (there, here))
    assert move_studies(source, target, name, there.runs, console), printed.getvalue()
    return printed.getvalue()


def assert_whole(folders: Folders, trials: int) -> None:
    (checked,) = check_studies(folders)
    assert checked.problems == ()
    assert checked.counts == {"completed": trials}


def test_it_goes_on_there_and_comes_back(file: Folders, served: Folders) -> None:
    before = read_snapshot(file.url, "quality")
    printed = move(file, served)
    assert "3 trials and" in printed
    after = read_snapshot(served.url, "quality")
    assert [t.params for t in after.trials] == [t.params for t in before.trials]
    assert after.ledger == before.ledger
    with pytest.raises(UserError, match="was moved to postgresql://"):
        ran(file, 5)
    ran(served, 5)
    assert_whole(served, 5)
    move(served, file)
    assert_whole(file, 5)
    assert MOVED_TO not in read_snapshot(file.url, "quality").user_attrs
    ran(file, 6)
    assert_whole(file, 6)


def test_carrying_over_twice_is_once(file: Folders, served: Folders) -> None:
    move(file, served)
    assert "was already copied to postgresql://" in move(file, served)
    assert_whole(served, 3)


def test_one_that_was_killed_before_it_was_marked_is_only_marked(
    file: Folders, served: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trytable.orchestrator.commands.keep.move_storage._mark_moved", cut_off)
        with pytest.raises(KeyboardInterrupt):
            move(file, served)
    move(file, served)
    assert MOVED_TO in read_snapshot(file.url, "quality").user_attrs
    assert_whole(served, 3)


def test_to_another_folder(file: Folders, tmp_path: Path) -> None:
    other = Folders(tmp_path / "other" / "runs", "quality")
    move(file, other)
    assert_whole(other, 3)


def test_all_studies_at_once(file: Folders, served: Folders) -> None:
    play(sweep_of(file.runs.parent, GRID, "grid"), Folders(file.runs, "grid"))
    printed = move(file, served, name="")
    assert "quality: 3 trials" in printed
    assert "grid: 6 trials" in printed


def test_a_move_that_was_killed_begins_anew(file: Folders, served: Folders) -> None:
    variables = {"FROM": str(file.runs), "TO": served.storage}
    for pause in (0.0, 0.03, 0.1):
        process = start(file.runs.parent, "move-storage", **variables)
        wait_for(process, lambda: begun(served))
        time.sleep(pause)
        process.kill()
        process.communicate()
    move(file, served)
    assert_whole(served, 3)


@pytest.mark.parametrize("target", ["postgresql", "sqlite"])
def test_a_move_that_was_killed_before_any_of_its_commits_begins_anew(
    file: Folders, served: Folders, tmp_path: Path, target: str
) -> None:
    """Each call gets one commit further than the call before, so every gap is tried."""
    other = Folders(tmp_path / "other" / "runs", "quality")
    here = served if target == "postgresql" else other
    commits = 0
    while killed_at_commit(commits, lambda: move(file, here)):
        commits += 1
    assert commits > 10, (
        "the study, its trials, its rows and its attributes are committed one by one"
    )
    assert_whole(here, 3)


def killed_at_commit(number: int, call: Callable[[], object]) -> bool:
    """Whether a call, in a process of its own, came to a commit of this number and died there."""

    def run_until_commit() -> None:
        remaining = itertools.count(number, -1)
        sa.event.listen(sa.Engine, "commit", lambda _: next(remaining) or os._exit(KILLED))
        call()

    process = multiprocessing.get_context("fork").Process(target=run_until_commit)
    process.start()
    process.join()
    assert process.exitcode in (0, KILLED)
    return process.exitcode == KILLED


def begun(folders: Folders) -> bool:
    """Whether any study is there, perhaps half of one."""
    with psycopg.connect(plain(folders)) as connection:
        made = connection.execute("SELECT to_regclass('studies')").fetchone()
        if made == (None,):
            return False
        return connection.execute("SELECT 1 FROM studies").fetchone() is not None


def plain(folders: Folders) -> str:
    """The database's URL as its own driver reads it."""
    return folders.storage.replace("+psycopg", "").replace(" ", "%20")


def test_one_that_was_cut_off_has_no_identity_yet(
    file: Folders, served: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trytable.results.storage.ledger.Ledger.write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            move(file, served)
    half = read_snapshot(served.url, "quality")
    assert half.uid is None
    assert len(half.trials) == 3
    with pytest.raises(UserError, match="was not made by Trytable"):
        ran(served, 5)
    move(file, served)
    assert_whole(served, 3)


def test_a_study_is_never_written_over(file: Folders, served: Folders) -> None:
    ran(served, 2)
    with pytest.raises(UserError, match="already holds a study named 'quality'"):
        move(file, served)
    assert_whole(served, 2)


def test_a_difference_is_told(file: Folders, served: Folders) -> None:
    """A trigger in the target spoils what is written: the proof must find it."""
    with open_database(served):
        pass
    with psycopg.connect(plain(served), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger AS "
            "$$ BEGIN NEW.dev_accuracy := 0.999; RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        connection.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON trytable_epochs "
            "FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    assert not move_studies(str(file.runs), served.storage, "quality", file.runs, console)
    assert "NOT the same" in printed.getvalue()
    assert "EpochRow" in printed.getvalue()
    assert MOVED_TO not in read_snapshot(file.url, "quality").user_attrs
    ran(file, 4)
    assert_whole(file, 4)


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("", "runs", "FROM is missing"),
        ("runs", "", "TO is missing"),
        ("runs", "runs", "are the same database"),
        ("runs", "mysql://a:secret@b/c", "TO: it begins with mysql://"),
        ("sqlite:///runs/other.db", "runs", "is not named studies.db"),
    ],
)
def test_a_move_that_cannot_be_is_refused(
    tmp_path: Path, source: str, target: str, told: str
) -> None:
    with pytest.raises(UserError, match=told) as raised:
        move_studies(source, target, "", tmp_path, Console(file=io.StringIO()))
    assert "secret" not in str(raised.value)


def test_by_hand_mistakes_are_one_paragraph(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "move-storage", FROM="nowhere", TO="runs")
    assert code == 2
    assert "There is no study database" in printed
    assert "Traceback" not in printed
