"""What a report shows: a study with its analysis, tables and plots, all made by the caller."""

from dataclasses import dataclass

from trytable.results.analysis.types import Analysis
from trytable.results.plots.types import Plot
from trytable.results.storage.study import StudyResult
from trytable.results.tables.types import TryTable
from trytable.results.text.catalog import ENGLISH, Words

MAX_PAIRS = 30
"""Rows of the comparison in a report; its own files have all of them."""


@dataclass(frozen=True)
class ReportContent:
    """The content of a report, the same for HTML and Markdown.

    `table` is the Try table and `pairs` the comparison, both in the language of `words`.
    """

    study: StudyResult
    analysis: Analysis
    table: TryTable
    pairs: TryTable
    plots: tuple[Plot, ...] = ()
    words: Words = ENGLISH

    @property
    def has_tests(self) -> bool:
        """Whether any trial was tested against another one."""
        trials = self.analysis.comparison.trials.values()
        return any(trial.best_test or trial.baseline_test for trial in trials)
