"""Analyses a study once for all tables, plots and reports that show it."""

from trytable.records import Language
from trytable.results.analysis.comparison import compare
from trytable.results.analysis.cost import study_cost
from trytable.results.analysis.diagnosis.api import diagnose, overfit_levels
from trytable.results.analysis.types import Analysis, Confirmation
from trytable.results.storage.study import StudyResult


def analyze(
    study: StudyResult, language: Language = "en", confirmation: Confirmation | None = None
) -> Analysis:
    """Compare and diagnose all trials, and count their seconds; findings are in `language`."""
    levels = overfit_levels(study)
    return Analysis(
        comparison=compare(study, levels),
        cost=study_cost(study),
        overfit_levels=levels,
        findings=diagnose(study, language),
        confirmation=confirmation,
    )
