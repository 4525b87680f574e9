"""What the shell proposes for the name of a sweep or of a study; a Tab press must not wait."""

import os
import sqlite3
from contextlib import closing

import typer

from trytable.orchestrator.commands.locations import DEFAULT_RUNS, sweeps_folder


def sweep_names() -> list[str]:
    """Return the names of the sweep files, without reading them."""
    return sorted(path.stem for path in sweeps_folder().glob("*.yaml"))


def study_names(context: typer.Context) -> list[str]:
    """Return the names of the studies in the SQLite file; none for PostgreSQL.

    The standard library reads them: SQLAlchemy and Optuna take half a second to import.
    """
    if context.params.get("storage") or os.environ.get("TRYTABLE_STORAGE"):
        return []
    database = (context.params.get("runs") or DEFAULT_RUNS).resolve() / "studies.db"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)) as file:
            rows = file.execute("SELECT study_name FROM studies ORDER BY study_name").fetchall()
    except sqlite3.Error:
        return []
    return [str(name) for (name,) in rows]
