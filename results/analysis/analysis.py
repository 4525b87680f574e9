"""All that is judged of a study, once for every table and page that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from trytable.records import Language
from trytable.results.analysis.comparison import StudyComparison, compare
from trytable.results.analysis.confirmation import Confirmation
from trytable.results.analysis.cost import Cost, study_cost
from trytable.results.analysis.diagnosis.api import diagnose
from trytable.results.analysis.diagnosis.types import Diagnosis
from trytable.results.storage.study import StudyResult


@dataclass(frozen=True)
class Analysis:
    """A study's comparison and cost, and the findings of every try by its number (Try 1 is 0).

    `confirmation` is what fresh seeds say of its leaders; None where they were not trained again.
    """

    comparison: StudyComparison
    cost: Cost
    findings: Mapping[int, tuple[Diagnosis, ...]]
    confirmation: Confirmation | None = None


def analyze(
    study: StudyResult, language: Language = "en", confirmation: Confirmation | None = None
) -> Analysis:
    """Compare all tries, count their seconds, diagnose them in a language."""
    return Analysis(compare(study), study_cost(study), diagnose(study, language), confirmation)
