"""The frame `tries`: a row for each try, with its settings, results and comparison."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis, OverfitLevel
from trytable.results.analysis.types import Analysis, ConfirmedPoint, Seconds, TrialComparison
from trytable.results.frames.parameters import swept_parameters
from trytable.results.frames.schema import family_columns, setting_array
from trytable.results.frames.try_columns import PARAMETER_PREFIX, SEVERITIES, TRIES
from trytable.results.storage.study import StudyResult, TrialResult, difference


@dataclass(frozen=True)
class TryRecord:
    """All that the columns of a try are read from."""

    trial: TrialResult
    comparison: TrialComparison
    baseline: TrialResult | None
    rank: int | None
    overfit: OverfitLevel | None
    findings: tuple[Diagnosis, ...]
    cost: Seconds | None
    point: ConfirmedPoint | None
    shows_test: bool

    @property
    def is_baseline(self) -> bool:
        """Whether the other tries are compared with this one."""
        return self.baseline is not None and self.trial.number == self.baseline.number

    @property
    def test_accuracy(self) -> float | None:
        """The test accuracy, if it may be shown."""
        return self.trial.test_accuracy if self.shows_test else None

    @property
    def delta(self) -> float | None:
        """The best value minus the baseline's, if both completed."""
        if self.baseline is None or {self.trial.status, self.baseline.status} != {"completed"}:
            return None
        return difference(self.trial.best_value, self.baseline.best_value)

    @property
    def severity(self) -> str | None:
        """The severity of the worst finding."""
        severities = (finding.severity for finding in self.findings)
        return max(severities, key=SEVERITIES.index, default=None)

    @property
    def attempts(self) -> int:
        """How often a worker was started."""
        return len(self.trial.attempts)

    @property
    def started_at(self) -> float | None:
        """When the first attempt began, in seconds since 1970."""
        return self.trial.attempts[0].started_at if self.trial.attempts else None

    @property
    def ended_at(self) -> float | None:
        """When the last attempt ended, in seconds since 1970."""
        return self.trial.attempts[-1].ended_at if self.trial.attempts else None


def tries_frame(study: StudyResult, analysis: Analysis, *, all_tests: bool = False) -> pd.DataFrame:
    """The frame `tries`; `all_tests` includes the test accuracy of every try."""
    records = list(_records(study, analysis, all_tests))
    frame = TRIES.build(records, [record.trial.number + 1 for record in records])
    parameters = pd.DataFrame(_parameters(study), index=frame.index)
    results = frame.columns.get_loc("epochs_run")
    return pd.concat([frame.iloc[:, :results], parameters, frame.iloc[:, results:]], axis="columns")


def _records(study: StudyResult, analysis: Analysis, all_tests: bool) -> Iterator[TryRecord]:
    ranks = {trial.number: rank for rank, trial in enumerate(study.ranked, start=1)}
    confirmation, baseline = analysis.confirmation, study.baseline
    for trial in study.trials:
        point = confirmation.point(trial.number) if confirmation else None
        is_shown = trial.is_imported or trial is baseline or point is not None
        yield TryRecord(
            trial=trial,
            comparison=analysis.comparison.trials[trial.number],
            baseline=baseline,
            rank=ranks.get(trial.number),
            overfit=analysis.overfit_levels[trial.number],
            findings=analysis.findings[trial.number],
            cost=analysis.cost.trials.get(trial.number),
            point=point,
            shows_test=all_tests or study.is_confirmation or is_shown,
        )


def _parameters(study: StudyResult) -> Mapping[str, Any]:
    settings = [trial.settings for trial in study.trials]
    columns = family_columns(PARAMETER_PREFIX, swept_parameters(study))
    return {
        column: setting_array([values.get(name) for values in settings])
        for name, column in columns.items()
    }
