"""A study database that a killed process left in the middle of a commit."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.results.studies import Maker
from trytable.results.storage.reader import read_study

_KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
for table in ("trials", "trial_values", "trytable_trials", "trytable_epochs", "trytable_attempts"):
    database.execute(f"DELETE FROM {table}")
database.execute("CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                 "SELECT i + 1 FROM n WHERE i < 20000) SELECT i, hex(randomblob(50)) FROM n")
os._exit(1)
"""


def test_a_commit_that_was_cut_short_is_undone_before_reading(folder: Path, full: Maker) -> None:
    before = read_study(full.url, full.name)
    path = folder / "studies.db"
    subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert path.with_name(f"{path.name}-journal").exists()
    assert read_study(full.url, full.name) == before
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
