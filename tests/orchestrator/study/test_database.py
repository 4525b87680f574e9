"""A database that is away for a while, and answers that never came: nothing is lost or doubled."""

import random
import threading
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

from tests.databases import NEW
from tests.lost_answers import LosingProxy
from tests.orchestrator.playing import as_scripted, play, sweep_of
from tests.postgres import postgres
from trytable.orchestrator.backends.fake import ScriptedExit
from trytable.orchestrator.errors import StudyLocked
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.database import DatabaseRetry, is_cut_off
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.reader import read_study
from trytable.trainers.protocol.messages import AnyEvent, Job

SWEEP = """
trainer: scripted
seed: 7
baseline: {value: 0.5, epochs: 3}
parameters:
  value: {low: 0.1, high: 0.9}
sampler: {name: tpe, startup_trials: 3}
pruner: {name: asha}
trials: 6
"""
POSTGRES = "postgresql+psycopg://nowhere/db"


def away() -> sa.exc.OperationalError:
    return sa.exc.OperationalError("SELECT 1", {}, Exception("the server has gone"))


def test_what_fails_for_a_while_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    renewed: list[int] = []
    retry = DatabaseRetry(POSTGRES, lambda: renewed.append(1), told.append)
    failures = iter([away(), away()])

    def action() -> int:
        for failure in failures:
            raise failure
        return 7

    assert retry(action) == 7
    assert len(renewed) == 3  # before each try
    assert told == [
        "Lost the database connection (the server has gone). Retrying; workers keep running."
    ]
    logged = [record.getMessage() for record in caplog.records]
    assert logged[:-1] == [
        f"Lost the database connection (attempt {number}): the server has gone" for number in (1, 2)
    ]
    assert logged[-1].startswith("Database connection back after ")
    assert logged[-1].endswith(" s and 3 attempts")


def test_what_never_works_raises_in_the_end() -> None:
    retry = DatabaseRetry(POSTGRES, lambda: None, seconds=0.5)
    with pytest.raises(sa.exc.OperationalError):
        retry(lambda: (_ for _ in ()).throw(away()))


def test_a_lock_that_is_lost_ends_it_at_once() -> None:
    def lost() -> None:
        raise StudyLocked("another has it")

    with pytest.raises(StudyLocked):
        DatabaseRetry(POSTGRES, lost)(lambda: 7)


def test_sqlite_waits_by_itself() -> None:
    calls = count(1)

    def action() -> None:
        next(calls)
        raise away()

    with pytest.raises(sa.exc.OperationalError):
        DatabaseRetry("sqlite:///file", lambda: None)(action)
    assert next(calls) == 2


def test_only_the_way_to_the_server_is_worth_another_try() -> None:
    behind = StorageInternalError("Optuna's words")
    behind.__cause__ = away()
    assert is_cut_off(away())
    assert is_cut_off(behind)
    assert not is_cut_off(sa.exc.IntegrityError("INSERT", {}, Exception("twice")))
    assert not is_cut_off(KeyError("study"))


@pytest.fixture
def served(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "runs", "quality", NEW["postgresql"](tmp_path))


@pytest.fixture
def armed() -> threading.Event:
    """Set while answers may be lost."""
    return threading.Event()


@pytest.fixture(params=[1, 3])
def proxy(request: pytest.FixtureRequest, armed: threading.Event) -> Iterator[LosingProxy]:
    """Loses one answer in six."""
    drawn = random.Random(request.param)

    def loses() -> bool:
        return armed.is_set() and drawn.random() < 1 / 6

    made = LosingProxy(postgres().socket_file, loses)
    yield made
    made.close()


def test_commits_whose_answers_are_lost_are_made_once(
    served: Folders, proxy: LosingProxy, armed: threading.Event
) -> None:
    """As whoever asked cannot know: each was written, and each is asked for again."""
    through = Folders(served.runs, "quality", proxy.through(served.storage))

    def script(job: Job) -> Iterable[tuple[float, AnyEvent | ScriptedExit]]:
        armed.set()  # from the first trial on: before that, a sweep that cannot begin says so
        return as_scripted(job)

    printed = play(sweep_of(served.runs.parent, SWEEP), through, script)
    armed.clear()
    assert "Lost the database connection" in printed
    (checked,) = check_studies(served)
    assert checked.problems == ()
    assert sum(checked.counts.get(one, 0) for one in ("completed", "pruned")) == 6
    tries = read_study(served.url, "quality").trials
    assert len({one.uid for one in tries}) == len(tries)
