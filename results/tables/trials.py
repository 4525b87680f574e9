"""The Try table: a row for each trial with its varied parameters and results, unrounded."""

from collections.abc import Iterable
from dataclasses import dataclass

from trytable.records import DEFAULT_OBJECTIVE, Language
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis
from trytable.results.analysis.types import Analysis, ConfirmedPoint
from trytable.results.storage.rows import Status
from trytable.results.storage.study import StudyResult, TrialResult, difference
from trytable.results.tables.order import in_table_order, varied_parameters
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell, CellKind, as_cell, clean, one_line

_MAX_REASON = 200

_OUTCOME: dict[str, CellKind] = {
    "epochs_run": "count",
    "best_value": "accuracy",
    "best_dev_accuracy": "accuracy",
    "interval_low": "accuracy",
    "interval_high": "accuracy",
    "confirmed_mean": "accuracy",
    "confirmed_low": "accuracy",
    "confirmed_high": "accuracy",
    "confirmed_seeds": "count",
    "best_epoch": "count",
    "last_dev_accuracy": "accuracy",
    "train_accuracy": "accuracy",
    "test_accuracy": "accuracy",
    "gap": "difference",
    "delta": "difference",
    "p_best": "p",
    "group": "count",
    "stars": "stars",
    "equal_best": "difference",
    "equal_baseline": "difference",
    "trained": "share",
    "seconds": "seconds",
    "device_seconds": "seconds",
    "findings": "findings",
    "state": "state",
}
"""The columns after the parameters, in order, and what each holds."""

_OPTIONAL = (
    "confirmed_mean",
    "confirmed_low",
    "confirmed_high",
    "confirmed_seeds",
    "equal_best",
    "equal_baseline",
)
"""Columns that a table has only if some row has a value there."""


@dataclass(frozen=True)
class Column:
    """A column: `key` is stable, `title` is for people."""

    key: str
    title: str
    kind: CellKind


@dataclass(frozen=True)
class TableRow:
    """A row, with its cells in the columns' order.

    `number` is the displayed one (trial 0 is 1); `severity` is that of the worst finding, or empty.
    """

    number: int
    status: Status
    reason: str
    attempts: int
    is_baseline: bool
    cells: tuple[Cell, ...]
    severity: str = ""


@dataclass(frozen=True)
class TryTable:
    """A table of trials: completed ones, best first, then pruned, then stopped, failed, others."""

    study: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    language: Language = "en"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that vary."""
        return tuple(
            column.key.removeprefix("parameter:")
            for column in self.columns
            if column.kind == "parameter"
        )


def try_table(
    study: StudyResult, analysis: Analysis, words: Words = ENGLISH, *, all_tests: bool = False
) -> TryTable:
    """Return the Try table of a study. Pruned trials are never ranked against completed ones.

    Test accuracy is shown only for the baseline, for confirmed trials and for confirmations, so
    that nobody selects a trial by it, and for imported trials, whose log already showed it.
    `all_tests` shows it for every trial.
    """
    cells = _RowCells(study, analysis, words, all_tests)
    names = varied_parameters(study.trials)
    outcomes = [(trial, cells.outcome(trial)) for trial in in_table_order(study)]
    keys = [key for key in _OUTCOME if _has_column(key, study, [row for _, row in outcomes])]
    return TryTable(
        study=study.name,
        columns=_columns(names, keys, study, words),
        rows=tuple(
            cells.row(trial, names, tuple(outcome[key] for key in keys))
            for trial, outcome in outcomes
        ),
        language=words.language,
    )


def finding_marks(findings: Iterable[Diagnosis]) -> tuple[tuple[str, str], ...]:
    """Return severity and kind of the findings, worst first and each kind once, without infos."""
    severities: dict[str, str] = {}
    for finding in findings:
        if finding.severity != "info":
            severities.setdefault(one_line(clean(finding.kind)), finding.severity)
    return tuple((severity, kind) for kind, severity in severities.items())


def mark_text(severity: str, kind: str, words: Words) -> str:
    """Return a mark as in the table's cell: `overfit (warning)`."""
    return words.text("findings.mark", kind=kind, severity=words.term("severity", severity))


def _has_column(key: str, study: StudyResult, rows: list[dict[str, Cell]]) -> bool:
    if key == "best_value":  # would repeat the column of dev accuracy
        return study.objective.name != DEFAULT_OBJECTIVE.name
    return key not in _OPTIONAL or any(row[key] is not None for row in rows)


def _columns(
    names: tuple[str, ...], keys: list[str], study: StudyResult, words: Words
) -> tuple[Column, ...]:
    baseline = study.baseline
    against = baseline.label if baseline else words.text("try.baseline")
    fields = {"objective": words.term("objective", study.objective.name), "against": against}
    outcome = [Column(key, words.text(f"table.{key}", **fields), _OUTCOME[key]) for key in keys]
    own_titles = {words.text("table.try"), *(column.title for column in outcome)}
    parameters = (
        Column(f"parameter:{name}", _parameter_title(name, own_titles, words), "parameter")
        for name in names
    )
    return (Column("try", words.text("table.try"), "try"), *parameters, *outcome)


def _parameter_title(name: str, own_titles: set[str], words: Words) -> str:
    title = one_line(clean(name))
    return words.text("table.parameter", name=title) if title in own_titles else title


@dataclass(frozen=True)
class _RowCells:
    """Makes the rows' cells from the study and its analysis."""

    study: StudyResult
    analysis: Analysis
    words: Words
    all_tests: bool

    def row(
        self, trial: TrialResult, names: tuple[str, ...], outcome: tuple[Cell, ...]
    ) -> TableRow:
        """Return a trial's row; `outcome` are its cells after the parameters."""
        marks = finding_marks(self.analysis.findings[trial.number])
        parameters = (as_cell(trial.settings.get(name)) for name in names)
        return TableRow(
            number=trial.number + 1,
            status=trial.status,
            reason=clean(trial.reason),
            attempts=len(trial.attempts),
            is_baseline=self._is_baseline(trial),
            cells=(trial.number + 1, *parameters, *outcome),
            severity=marks[0][0] if marks else "",
        )

    def outcome(self, trial: TrialResult) -> dict[str, Cell]:
        """Return a trial's cells after its parameters, by their column's key."""
        comparison = self.analysis.comparison.trials[trial.number]
        seconds = self.analysis.cost.trials.get(trial.number)
        interval, equal = comparison.interval, comparison.equal_epochs
        test = comparison.best_test
        return {
            "epochs_run": trial.epochs_run,
            "best_value": trial.best_value,
            "best_dev_accuracy": trial.best_dev_accuracy,
            "interval_low": interval.low if interval else None,
            "interval_high": interval.high if interval else None,
            **self._confirmation_cells(trial),
            "best_epoch": trial.best_epoch,
            "last_dev_accuracy": trial.last_dev_accuracy,
            "train_accuracy": trial.train_accuracy,
            "test_accuracy": trial.test_accuracy if self._shows_test(trial) else None,
            "gap": trial.gap,
            "delta": _delta(trial, self.study.baseline),
            "p_best": test.p_corrected if test else None,
            "group": comparison.group,
            "stars": comparison.stars,
            "equal_best": equal.against_best if equal else None,
            "equal_baseline": equal.against_baseline if equal else None,
            "trained": trial.trainable_share,
            "seconds": trial.seconds,
            "device_seconds": seconds.device if seconds else None,
            "findings": self._findings(trial),
            "state": _state(trial, self._is_baseline(trial), self.words),
        }

    def _is_baseline(self, trial: TrialResult) -> bool:
        return trial.number == self.analysis.comparison.baseline

    def _findings(self, trial: TrialResult) -> str | None:
        marks = finding_marks(self.analysis.findings[trial.number])
        return self.words.join([mark_text(*mark, self.words) for mark in marks]) or None

    def _confirmation_cells(self, trial: TrialResult) -> dict[str, Cell]:
        point = self._confirmed_point(trial)
        interval = point.over_seeds.interval if point else None
        return {
            "confirmed_mean": point.over_seeds.mean if point else None,
            "confirmed_low": interval.low if interval else None,
            "confirmed_high": interval.high if interval else None,
            "confirmed_seeds": point.over_seeds.count if point else None,
        }

    def _shows_test(self, trial: TrialResult) -> bool:
        if self.all_tests or self.study.is_confirmation:
            return True
        is_confirmed = self._confirmed_point(trial) is not None
        return is_confirmed or trial.is_imported or self._is_baseline(trial)

    def _confirmed_point(self, trial: TrialResult) -> ConfirmedPoint | None:
        confirmation = self.analysis.confirmation
        return confirmation.point(trial.number) if confirmation else None


def _delta(trial: TrialResult, baseline: TrialResult | None) -> float | None:
    """Return the objective's best value minus the baseline's, if both trials completed."""
    if baseline is None or {trial.status, baseline.status} != {"completed"}:
        return None
    return difference(trial.best_value, baseline.best_value)


def _state(trial: TrialResult, is_baseline: bool, words: Words) -> str:
    text = words.text(f"status.{trial.status}")
    if is_baseline:
        text = words.text("state.baseline", status=text)
    reason = one_line(clean(trial.reason))
    if reason:
        is_long = len(reason) > _MAX_REASON
        reason = f"{reason[:_MAX_REASON]}..." if is_long else reason
        text = words.text("state.reason", state=text, reason=reason)
    attempts = len(trial.attempts)
    return words.text("state.attempts", state=text, count=attempts) if attempts > 1 else text
