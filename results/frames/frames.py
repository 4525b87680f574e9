"""The five frames of one study, each made when it is read first."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from trytable.records import Language
from trytable.results.analysis.types import Analysis
from trytable.results.frames.comparison import COMPARISON, comparison_frame
from trytable.results.frames.curves import EPOCHS, STEPS, epochs_frame, steps_frame
from trytable.results.frames.findings import FINDINGS, findings_frame
from trytable.results.frames.schema import FrameSchema
from trytable.results.frames.tries import tries_frame
from trytable.results.frames.try_columns import TRIES
from trytable.results.storage.study import StudyResult

SCHEMAS: tuple[FrameSchema, ...] = (TRIES, EPOCHS, STEPS, COMPARISON, FINDINGS)
"""All frames, in the order of the documentation."""


@dataclass(frozen=True)
class StudyFrames:
    """A study and its analysis as frames.

    Args:
        study: the study.
        analysis: its analysis, with findings in `language`.
        all_tests: whether `tries` has the test accuracy of every try.
        language: the language of the findings' texts.
    """

    study: StudyResult
    analysis: Analysis
    all_tests: bool = False
    language: Language = "en"

    @cached_property
    def tries(self) -> pd.DataFrame:
        """A row for each try."""
        return tries_frame(self.study, self.analysis, all_tests=self.all_tests)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row for each epoch of each try."""
        return epochs_frame(self.study)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row for each logged step of each try."""
        return steps_frame(self.study)

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """Each try against the best one and the baseline."""
        return comparison_frame(self.study, self.analysis)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """A row for each finding of each try."""
        return findings_frame(self.study, self.analysis, self.language)
