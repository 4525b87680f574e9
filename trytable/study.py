"""Opens a study from Python, as pandas DataFrames."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from trytable.orchestrator.paths import Folders
from trytable.records import Objective
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.frames.frames import StudyFrames
from trytable.results.storage.engine import DatabaseUnreadable, postgresql_url
from trytable.results.storage.reader import read_study

if TYPE_CHECKING:
    import pandas as pd


def open_study(
    name: str,
    runs: str | PathLike[str] = "runs",
    storage: str | None = None,
    *,
    all_tests: bool = False,
) -> "Study":
    """Read a study from its database, also while a sweep runs; nothing is ever written.

    Args:
        name: the study's name, which is its sweep's.
        runs: the folder of all studies. The variables `TRYTABLE_RUNS` and `TRYTABLE_STORAGE` of
            the command line are not read.
        storage: the URL of a PostgreSQL database to read instead of `studies.db` in `runs`.
        all_tests: show the test accuracy of every try. A try that was selected by it has no honest
            test accuracy any more.

    Raises:
        StudyNotFound: the database has no study of that name; the message lists those it has.
        DatabaseUnreadable: there is no study database, or it cannot be read.
    """
    url = Folders(Path(runs).absolute(), name, _storage_url(storage)).url
    study = read_study(url, name)
    analysis = analyze(study, confirmation=read_confirmation(url, study))
    return Study(StudyFrames(study, analysis, all_tests))


def _storage_url(storage: str | None) -> str:
    if not storage:
        return ""
    try:
        return postgresql_url(storage)
    except ValueError as error:
        raise DatabaseUnreadable(
            f"storage is not the URL of a PostgreSQL database: {error}. Write it as "
            "postgresql://user:password@host/database; for an SQLite file, give its folder as runs."
        ) from None


class Study:
    """A study as it was when it was opened: open it again for newer numbers.

    docs/python.md describes every column. A frame is made when it is first read. Changing one
    changes neither the study nor what the attribute returns next.
    """

    def __init__(self, frames: StudyFrames) -> None:
        self._frames = frames

    @property
    def name(self) -> str:
        """The study's name."""
        return self._frames.study.name

    @property
    def objective(self) -> Objective:
        """The metric that the sweep optimizes, and its direction."""
        return self._frames.study.objective

    @property
    def tries(self) -> "pd.DataFrame":
        """A row for each try, with settings, state, results, comparison and cost."""
        return self._frames.tries.copy(deep=False)

    @property
    def epochs(self) -> "pd.DataFrame":
        """A row for each epoch of each try, with losses and accuracies."""
        return self._frames.epochs.copy(deep=False)

    @property
    def steps(self) -> "pd.DataFrame":
        """A row for each logged step of each try, with loss, learning rate and norms."""
        return self._frames.steps.copy(deep=False)

    @property
    def comparison(self) -> "pd.DataFrame":
        """Each try against the best one and the baseline, with intervals and p values."""
        return self._frames.comparison.copy(deep=False)

    @property
    def findings(self) -> "pd.DataFrame":
        """A row for each finding of each try: what was measured, why it matters, what to do."""
        return self._frames.findings.copy(deep=False)

    def __repr__(self) -> str:
        study = self._frames.study
        completed = sum(trial.status == "completed" for trial in study.trials)
        return f"<Study {study.name!r}: {len(study.trials)} tries, {completed} completed>"
