"""Reading a study: what comes from Optuna, what from the ledger, and what when one is missing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from tests.results.studies import Maker, Planned, url_of
from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound
from trytable.results.storage.reader import list_studies, read_study
from trytable.results.storage.study import StudyResult


def test_a_completed_try(full: Maker) -> None:
    one = _read(full).trials[1]
    assert (one.label, one.status, one.source) == ("Try 2", "completed", "sampler")
    assert one.params == {"dropout": 0.3}
    assert one.requested == {"schedule": "linear", "dropout": 0.3}
    assert one.effective == {"dropout": 0.3}
    assert (one.best_epoch, one.best_dev_accuracy) == (2, 0.64)
    assert (one.epochs_run, one.last_dev_accuracy) == (3, 0.62)
    assert (one.train_accuracy, one.last_train_accuracy) == (0.7, 0.8)
    assert one.gap == pytest.approx(0.06)
    assert one.test_accuracy == 0.61
    assert one.intermediate == {1: 0.5, 2: 0.64, 3: 0.62}
    assert one.seconds == pytest.approx(10, abs=1e-5)
    assert [row.outcome for row in one.attempts] == ["retried", "completed"]
    assert (one.precision, one.threads, one.device) == ("fp32", 1, "cpu")
    assert one.trainable_share == 0.5


def test_a_pruned_try_has_its_best_so_far_not_optunas_last_report(full: Maker) -> None:
    one = _read(full).trials[2]
    assert full.study.trials[2].value == 0.2
    assert (one.status, one.reason) == ("pruned", "median")
    assert (one.best_epoch, one.best_dev_accuracy, one.last_dev_accuracy) == (1, 0.9, 0.2)


def test_states(full: Maker) -> None:
    statuses = [one.status for one in _read(full).trials]
    kinds = ["completed", "completed", "pruned", "stopped", "failed", "completed"]
    assert statuses == [*kinds, "running", "waiting"]


def test_what_never_came_is_none(full: Maker) -> None:
    failed, waiting = _read(full).trials[4], _read(full).trials[7]
    for one in (failed, waiting):
        assert one.curve == ()
        values = (one.best_epoch, one.best_dev_accuracy, one.last_dev_accuracy, one.gap)
        assert {*values, one.train_accuracy, one.test_accuracy, one.epochs_run} == {None}
    assert (waiting.seconds, waiting.threads, waiting.trainable_share) == (None, None, None)
    assert _read(full).trials[6].seconds is None


def test_the_last_attempts_epoch_stands(maker: Maker) -> None:
    maker.add(Planned({"dropout": 0.1}, (0.5, 0.6), (0.5, 0.6), attempts=2))
    uid = _read(maker).trials[0].uid
    assert uid is not None
    newest = maker.ledger.read(maker.uid).epochs[-1]
    maker.ledger.write(
        replace(newest, attempt=1, probe_accuracy=0.1), replace(newest, attempt=3, epoch=3)
    )
    curve = _read(maker).trials[0].curve
    assert [epoch.probe_accuracy for epoch in curve] == [0.5, 0.6, 0.6]


def test_an_epoch_that_optuna_has_not_heard_yet(maker: Maker) -> None:
    maker.add(Planned({"dropout": 0.1}, (0.5,), status="running"))
    row = maker.ledger.read(maker.uid).epochs[0]
    maker.ledger.write(replace(row, epoch=2, dev_accuracy=0.7))
    assert _read(maker).trials[0].intermediate == {1: 0.5, 2: 0.7}
    assert _read(maker).trials[0].best_epoch == 2


def test_optunas_end_wins_over_an_older_ledger(maker: Maker) -> None:
    maker.add(Planned({"dropout": 0.1}, (0.5,), status="running"))
    maker.study.tell(0, 0.5, state=TrialState.COMPLETE)
    one = _read(maker).trials[0]
    assert (one.status, one.best_dev_accuracy, one.best_epoch) == ("completed", 0.5, 1)


def test_a_persons_own_trial(full: Maker) -> None:
    full.add_foreign({"dropout": 0.5}, (0.5, 0.7, 0.6))
    study = _read(full)
    one = study.trials[8]
    assert (one.uid, one.status, one.source) == (None, "completed", "")
    assert (one.best_epoch, one.best_dev_accuracy, one.last_dev_accuracy) == (2, 0.7, 0.6)
    assert (one.train_accuracy, one.test_accuracy, one.attempts) == (None, None, ())
    assert one.seconds is not None
    assert study.ranked[0] is one


def test_a_study_that_only_optuna_knows(folder: Path) -> None:
    study = optuna.create_study(storage=url_of(folder / "own.db"), study_name="own")
    study.enqueue_trial({"x": 1.0})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 9) ** 2, n_trials=2)
    study.enqueue_trial({"x": 3.0})
    found = read_study(url_of(folder / "own.db"), "own")
    assert (found.uid, found.objective.maximize, found.sweep, found.created_at) == (
        None,
        False,
        {},
        None,
    )
    assert found.ranked[0].best_dev_accuracy == study.best_value
    assert (found.trials[2].status, found.trials[2].params) == ("waiting", {"x": 3.0})


@pytest.mark.parametrize("lost", ["rows", "tables"])
def test_a_lost_ledger(full: Maker, lost: str) -> None:
    if lost == "rows":
        full.ledger.delete(full.uid)
    else:
        _drop_ledger(full.url)
    one = _read(full).trials[1]
    assert (one.best_epoch, one.best_dev_accuracy, one.status) == (2, 0.64, "completed")
    assert _read(full).trials[3].status == "pruned"


def test_a_nan_is_missing(maker: Maker) -> None:
    trial = maker.study.ask()
    trial.report(float("nan"), 1)
    trial.report(0.5, 2)
    maker.study.tell(trial, 0.5)
    one = _read(maker).trials[0]
    assert (one.intermediate, one.best_epoch) == ({2: 0.5}, 2)


def test_list_studies_and_an_unknown_name(full: Maker) -> None:
    Maker(Path(sa.make_url(full.url).database or ""), name="lr")
    assert list_studies(full.url) == ("dropout", "lr")
    with pytest.raises(StudyNotFound, match=r"'batch'.*'dropout', 'lr'") as raised:
        read_study(full.url, "batch")
    assert raised.value.existing == ("dropout", "lr")


def test_a_missing_database_is_not_made(folder: Path) -> None:
    for act in (list_studies, lambda url: read_study(url, "dropout")):
        with pytest.raises(DatabaseUnreadable, match="no study database"):
            act(url_of(folder / "studies.db"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all, only words\n" * 99])
def test_a_file_that_is_no_study_database(folder: Path, content: bytes) -> None:
    path = folder / "studies.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseUnreadable, match="cannot be read"):
        list_studies(url_of(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("url", ["sqlite://", "nonsense", "nonsense://x", "sqlite:///:memory:"])
def test_a_url_that_names_no_database(url: str) -> None:
    with pytest.raises(DatabaseUnreadable):
        read_study(url, "dropout")


def test_a_password_is_not_told() -> None:
    with pytest.raises(DatabaseUnreadable) as raised:
        list_studies("postgresql+nodriver://me:secret@127.0.0.1/x")
    assert "secret" not in str(raised.value)


def test_reading_writes_nothing(full: Maker) -> None:
    path = Path(sa.make_url(full.url).database or "")
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))
    _read(full)
    list_studies(full.url)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir())) == before


_WRITER = """
import sys
from pathlib import Path
from tests.results.studies import Maker, Planned
maker = Maker(Path(sys.argv[1]), name="busy")
print("made", flush=True)
for n in range(25):
    maker.add(Planned({"dropout": n / 100}, (0.5, 0.6 + n / 1000), (0.5, 0.6)))
"""


def test_reading_while_another_process_writes(folder: Path) -> None:
    path = folder / "studies.db"
    root = str(Path(__file__).parents[3])
    writer = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _WRITER, str(path)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"made\n"
        seen = []
        while writer.poll() is None:
            study = read_study(url_of(path), "busy")
            seen.append(len(study.trials))
            _check_whole(study)
    assert writer.returncode == 0
    assert len(read_study(url_of(path), "busy").trials) == 25
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "the reader never saw the study grow"


def _check_whole(study: StudyResult) -> None:
    for one in study.trials:
        if one.status == "completed" and one.curve:
            assert one.best_dev_accuracy in (None, *one.intermediate.values())


def _read(maker: Maker) -> StudyResult:
    return read_study(maker.url, maker.name)


def _drop_ledger(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for name in sa.inspect(connection).get_table_names():
            if name.startswith("trytable_"):
                connection.execute(sa.text(f"DROP TABLE {name}"))
