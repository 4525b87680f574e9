"""Databases that an earlier version of the ledger made."""

import sqlite3
from pathlib import Path

from tests.results.studies import Maker
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study


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
