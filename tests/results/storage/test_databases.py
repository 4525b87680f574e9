"""What the ledger and the readers promise, over every database that studies may lie in."""

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.exceptions import StorageInternalError

from tests.databases import NEW
from tests.results.studies import Maker, Planned
from trytable.results.report.dashboard import make_app
from trytable.results.storage.engine import (
    DatabaseUnreadable,
    StudyNotFound,
    consistent_read,
    engine_arguments,
    open_read_only,
    postgresql_url,
    read_only_storage,
    redacted_url,
)
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.optuna_trials import read_trials
from trytable.results.storage.reader import list_studies, read_study
from trytable.results.storage.rows import (
    AttemptRow,
    EffectiveRow,
    EpochRow,
    FindingRow,
    GoldRow,
    PredictionRow,
    Row,
    StepRow,
    StudyRow,
    TrialRow,
)
from trytable.results.storage.snapshot import differences, digest, read_snapshot

ODD = 'it\'s "odd"\n\t{x} %s \u00e9\u4e2d\U0001f600 $(id); DROP TABLE trials'
LONG = "a_parameter_whose_name_is_longer_than_any_that_a_person_would_type_by_hand_" * 3
STUDY = StudyRow("study-1", "quality", {"a": [1, None]}, {"ln": math.log(5)}, 1.5)
TRIAL = TrialRow("trial-1", "study-1", 0, {"x": 0.1, "y": None}, "baseline", "running")


@pytest.fixture(params=NEW)
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    """An empty database."""
    return NEW[request.param](folder)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """Empty tables."""
    made = Ledger(url)
    made.create_tables()
    yield made
    made.close()


@pytest.fixture
def full(url: str) -> Iterator[Maker]:
    """A study with tries of several kinds."""
    maker = Maker(url, facts={"sizes": {"dev": 500}}, gold=(0, 1, 1))
    maker.add(
        Planned({"dropout": 0.1}, (0.5, 0.6), (0.55, 0.7), source="baseline", test=0.58),
        Planned({"dropout": 0.3}, (0.5, 0.64, 0.62), attempts=2, predicted=(0, 1, 0)),
        Planned({"dropout": 0.7}, (0.9, 0.2), status="pruned", reason="median"),
        Planned({"dropout": 0.95}, status="failed", reason=ODD, attempts=3),
        Planned({"dropout": 0.4}, (0.4,), status="running", seconds=None),
    )
    maker.add_foreign({"dropout": 0.2}, (0.3,))
    yield maker
    maker.ledger.close()
    maker.storage.engine.dispose()


def rows() -> list[Any]:
    """One row of every kind, with all that a database might not keep."""
    return [
        STUDY,
        replace(TRIAL, requested={ODD: ODD, "nan": math.nan, "most": math.inf, "big": 2**60}),
        AttemptRow("trial-1", 1, ODD, "cpu", 2, 1.25, message=ODD, parameters=2**40),
        StepRow("trial-1", 1, 7, 1, 0.1 + 0.2, 1e-300, None, 2.5, layer_gradients={"head": 1e-8}),
        EpochRow(
            "trial-1",
            1,
            1,
            7,
            train_loss=1.5,
            dev_loss=0.7,
            dev_accuracy=1 / 3,
            seconds=2.0,
            metrics={ODD: 1.0},
        ),
        EffectiveRow("trial-1", 1, LONG, {"a": [True, None, "\0"]}),
        FindingRow("trial-1", 1, LONG, "warning", ODD, {"nan": math.nan}),
        PredictionRow("trial-1", "dev", [0, 1, 2]),
        GoldRow("study-1", "dev", [2, 1, 0]),
    ]


def test_every_row_comes_back_as_it_was_written(ledger: Ledger) -> None:
    ledger.write(*rows())
    found = ledger.read("study-1")
    back = [
        found.study, *found.trials, *found.attempts, *found.steps, *found.epochs,
        *found.effective, *found.findings, *found.predictions, *found.gold,
    ]  # fmt: skip
    assert repr(back) == repr(rows())  # by their words: NaN is never equal to itself
    assert ledger.studies() == (STUDY,)


def test_writing_twice_is_writing_once_and_the_last_word_counts(ledger: Ledger) -> None:
    ledger.write(*rows())
    ledger.write(*rows(), replace(TRIAL, status="completed", best_value=0.5))
    found = ledger.read("study-1")
    assert [(row.status, row.best_value) for row in found.trials] == [("completed", 0.5)]
    assert len(found.steps) == len(found.epochs) == len(found.findings) == 1


def test_a_write_that_fails_leaves_nothing(ledger: Ledger) -> None:
    broken = replace(TRIAL, uid="trial-2", number="many")  # type: ignore[arg-type] # meant
    ledger.write(STUDY)
    if ledger.url.startswith("sqlite"):  # which keeps words as numbers, but no lists
        broken = replace(broken, number=[1])  # type: ignore[arg-type] # meant
    with pytest.raises(sa.exc.SQLAlchemyError):
        ledger.write(TRIAL, broken)
    assert ledger.read("study-1").trials == ()


def test_nul_is_replaced_since_not_every_database_keeps_it(ledger: Ledger) -> None:
    ledger.write(STUDY, replace(TRIAL, reason="a\0b"))
    assert ledger.read("study-1").trials[0].reason == "a\ufffdb"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_text_and_number_come_back(ledger: Ledger, text: str, number: float) -> None:
    ledger.write(STUDY, replace(TRIAL, reason=text, best_value=number, requested={text: number}))
    row = ledger.read("study-1").trials[0]
    assert (row.reason, row.best_value, row.requested) == (text, number, {text: number})


def test_an_unknown_study_is_a_key_error(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.read("nobody")


def test_a_deleted_study_is_gone_with_all_that_was_its_own(ledger: Ledger) -> None:
    other: list[Row] = [
        replace(STUDY, uid="study-2"),
        replace(TRIAL, uid="trial-2", study_uid="study-2"),
    ]
    ledger.write(*rows(), *other, StepRow("trial-2", 1, 1, 1, None, None, None, None))
    ledger.delete("study-1")
    with pytest.raises(KeyError):
        ledger.read("study-1")
    assert len(ledger.read("study-2").steps) == 1
    ledger.write(STUDY, TRIAL)
    assert ledger.read("study-1").steps == ()


def test_tables_are_made_once_and_missing_columns_added(ledger: Ledger, url: str) -> None:
    ledger.write(*rows())
    engine = sa.create_engine(url, **engine_arguments(url))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE trytable_epochs DROP COLUMN metrics")
        connection.exec_driver_sql("DROP TABLE trytable_findings")
    engine.dispose()
    assert ledger.read("study-1").epochs[0].dev_accuracy == 1 / 3
    ledger.create_tables()
    ledger.create_tables()
    ledger.write(*rows())
    assert ledger.read("study-1").epochs[0].metrics == {ODD: 1.0}


def test_a_reader_sees_one_state(ledger: Ledger, url: str) -> None:
    ledger.write(STUDY, TRIAL)
    engine = sa.create_engine(url, **engine_arguments(url))
    count = sa.text("SELECT count(*) FROM trytable_trials")
    later = replace(TRIAL, uid="trial-2")
    writer = threading.Thread(target=lambda: ledger.write(later))
    with engine.connect() as connection, consistent_read(connection):
        before = connection.execute(count).scalar()
        writer.start()
        if not url.startswith("sqlite"):  # there a writer waits for its readers
            writer.join()
        assert connection.execute(count).scalar() == before == 1
    writer.join()
    engine.dispose()
    assert len(ledger.read("study-1").trials) == 2


def test_trials_are_read_as_optuna_reads_them(full: Maker) -> None:
    full.study.set_user_attr("odd", {"a": [1, None, ODD]})
    with open_read_only(full.url) as storage:
        study_id = storage.get_study_id_from_name("dropout")
        theirs = storage.get_all_trials(study_id)
        with storage.engine.connect() as connection:
            ours = list(read_trials(connection, study_id))
    assert ours == theirs
    whole = read_snapshot(full.url, "dropout")
    assert whole.user_attrs == full.study.user_attrs


def test_a_study_is_read_the_same_from_every_database(full: Maker, tmp_path: Path) -> None:
    other = Maker(tmp_path / "other.db", facts={"sizes": {"dev": 500}}, gold=(0, 1, 1))
    assert list_studies(full.url) == list_studies(other.url) == ("dropout",)
    found = read_study(full.url, "dropout")
    assert [one.status for one in found.trials] == [
        "completed", "completed", "pruned", "failed", "running", "completed",
    ]  # fmt: skip
    assert found.trials[3].reason == ODD
    assert found.gold == {"dev": (0, 1, 1)}
    with pytest.raises(StudyNotFound, match="Existing studies: 'dropout'"):
        read_study(full.url, "dropuot")


def test_two_copies_are_the_same_until_one_value_differs(full: Maker) -> None:
    before = read_snapshot(full.url, "dropout")
    assert differences(before, read_snapshot(full.url, "dropout")) == []
    row = replace(full.ledger.read(full.uid).trials[1], best_dev_accuracy=0.65)
    full.ledger.write(row)
    after = read_snapshot(full.url, "dropout")
    assert digest(after) != digest(before)
    (told,) = differences(before, after)
    assert told.startswith("TrialRow study-dropout-1:")


def test_a_reader_can_write_nothing(full: Maker) -> None:
    storage = read_only_storage(full.url)
    with pytest.raises(StorageInternalError) as raised:
        storage.set_study_user_attr(1, "x", 1)
    assert "read" in str(raised.value.__cause__)
    storage.remove_session()
    storage.engine.dispose()


def test_any_optuna_program_reads_it(full: Maker) -> None:
    study = optuna.load_study(study_name="dropout", storage=full.storage)
    assert study.best_trial.params == {"dropout": 0.3}


def test_the_dashboard_serves_it(full: Maker) -> None:
    answered: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "HTTP_HOST": "127.0.0.1:8080",
        "SERVER_NAME": "x", "SERVER_PORT": "8080", "wsgi.url_scheme": "http", "QUERY_STRING": "",
    }  # fmt: skip
    app = make_app(full.url, 8080)
    body = b"".join(app(environ, lambda status, *_: answered.append(status)))  # type: ignore[arg-type] # WSGI's third part is not needed
    assert answered == ["200 OK"]
    assert b"dropout" in body


def test_an_empty_database_is_refused_in_words(url: str) -> None:
    with pytest.raises(DatabaseUnreadable, match="Run a sweep first"):
        read_study(url, "dropout")


def test_a_password_is_never_shown() -> None:
    url = postgresql_url("postgresql://me:secret@nowhere.invalid:1/db?password=secret")
    assert "secret" not in redacted_url(url)
    with pytest.raises(DatabaseUnreadable) as raised:
        read_study(url, "dropout")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["mysql://a:secret@b/c", "runs/studies.db", "postgresql://host"])
def test_what_is_no_postgresql_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it ") as raised:
        postgresql_url(text)
    assert "secret" not in str(raised.value)
