"""Databases of an earlier version, and the way of an epoch's metrics through all records."""

import sqlite3
from pathlib import Path

from tests.results.studies import Maker
from trytable.orchestrator.run.recorder import event_rows
from trytable.records import EPOCH_METRICS, EpochMetrics, epoch_metrics
from trytable.results.analysis.reproducibility import collect_measurements
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import EpochRow
from trytable.results.storage.study import EpochResult
from trytable.trainers.protocol.messages import Epoch, parse_event


def test_a_database_without_the_newer_columns_and_tables_is_read_then_completed(
    folder: Path, full: Maker
) -> None:
    before = read_study(full.url, full.name)
    path = folder / "studies.db"
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE trytable_epochs DROP COLUMN value")
        database.execute("ALTER TABLE trytable_epochs DROP COLUMN metrics")
        database.execute("ALTER TABLE trytable_trials DROP COLUMN best_value")
        database.execute("DROP TABLE trytable_findings")
    old = read_study(full.url, full.name)
    assert [one.best_value for one in old.trials] == [one.best_value for one in before.trials]
    Ledger(full.url).create_tables()
    with sqlite3.connect(path) as database:
        database.execute("SELECT value, metrics FROM trytable_epochs").fetchall()
        assert database.execute("SELECT * FROM trytable_findings").fetchall() == []
    assert read_study(full.url, full.name) == old


def test_every_metric_of_an_epoch_reaches_the_results_without_being_named(full: Maker) -> None:
    """A new field of EpochMetrics needs no change in event, row, table, reader or comparison."""
    measured = EpochMetrics(**{name: 0.1 + i for i, name in enumerate(EPOCH_METRICS)})
    event = parse_event(
        Epoch(attempt=9, epoch=7, step=1, **vars(measured)).model_dump_json().encode()
    )
    (row,) = event_rows("study-dropout-1", event)
    full.ledger.write(row)
    curve = read_study(full.url, full.name).trials[1].curve
    (result,) = (epoch for epoch in curve if epoch.epoch == 7)
    # The objective is dev_accuracy here, so the reader takes it from the value.
    expected = vars(measured) | {"dev_accuracy": measured.value}
    assert epoch_metrics(result) == expected
    compared = collect_measurements((), [result], {}).epochs[7]
    assert compared == {name: expected[name] for name in EPOCH_METRICS if name != "seconds"}


def test_no_record_of_an_epoch_repeats_a_metric() -> None:
    for record in (Epoch, EpochRow, EpochResult):
        assert issubclass(record, EpochMetrics)
        assert not vars(record)["__annotations__"].keys() & set(EPOCH_METRICS)
