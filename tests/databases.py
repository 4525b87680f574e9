"""Fresh databases of every kind that studies may lie in."""

from collections.abc import Callable
from pathlib import Path

from tests.postgres import postgres
from tests.results.studies import url_of
from trytable.results.storage.engine import postgresql_url


def _sqlite(folder: Path) -> str:
    return url_of(folder / "studies.db")


def _postgresql(_folder: Path) -> str:
    return postgresql_url(postgres().new_database())


NEW: dict[str, Callable[[Path], str]] = {"sqlite": _sqlite, "postgresql": _postgresql}
"""By name of the kind: makes the URL of an empty database, an SQLite file's in the folder."""
