"""The Try table: one row a trial, what was changed, what it did. Cells keep their raw numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from trytable.records import DEFAULT_OBJECTIVE, Language
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.diagnosis.types import Diagnosis
from trytable.results.analysis.types import Analysis, ConfirmedPoint
from trytable.results.storage.rows import Status
from trytable.results.storage.study import StudyResult, TrialResult, difference
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell, CellKind, as_cell, clean, one_line

_LONGEST_REASON = 200
_ORDER: dict[Status, int] = {
    "completed": 0,
    "pruned": 1,
    "stopped": 2,
    "failed": 2,
    "running": 3,
    "waiting": 3,
    "drained": 3,
}


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
"""The columns after the parameters, in their order, with what each holds."""

_ONLY_WITH_CONTENT = (
    "confirmed_mean",
    "confirmed_low",
    "confirmed_high",
    "confirmed_seeds",
    "equal_best",
    "equal_baseline",
)
"""Columns that a table has only where a row has something to say there."""


@dataclass(frozen=True)
class Column:
    """A column; `key` is stable, `title` is for people."""

    key: str
    title: str
    kind: CellKind


@dataclass(frozen=True)
class TableRow:
    """A row; `number` is the one shown, so trial 0 is 1. Cells stand in the columns' order.

    `severity` is that of the worst finding, empty without one.
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
    """Completed tries first, best first; then pruned; then stopped and failed; then the rest."""

    study: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    language: Language = "en"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that vary."""
        return tuple(_name(column) for column in self.columns if column.kind == "parameter")


def try_table(
    study: StudyResult,
    words: Words = ENGLISH,
    *,
    all_tests: bool = False,
    analysis: Analysis | None = None,
) -> TryTable:
    """Make the table. Pruned tries are never ranked against completed ones.

    Test accuracy is shown for the baseline, confirmed tries and confirmations alone, so that nobody
    chooses by it (and for imported tries, whose log has told it already); `all_tests` shows it for
    every try. `analysis` spares judging the study again.
    """
    varied = varied_parameters(study.trials)
    view = _View(study, words, analysis or analyze(study, words.language), all_tests)
    found = [(one, view.outcome(one)) for one in in_table_order(study)]
    keys = [key for key in _OUTCOME if _belongs(key, study, [cells for _, cells in found])]
    return TryTable(
        study=study.name,
        columns=_columns(varied, keys, study, words),
        rows=tuple(_row(one, varied, [cells[key] for key in keys], view) for one, cells in found),
        language=words.language,
    )


def _belongs(key: str, study: StudyResult, rows: list[dict[str, Cell]]) -> bool:
    if key == "best_value":
        return study.objective.name != DEFAULT_OBJECTIVE.name  # else dev accuracy says the same
    return key not in _ONLY_WITH_CONTENT or any(row[key] is not None for row in rows)


def varied_parameters(tries: Iterable[TrialResult]) -> tuple[str, ...]:
    """The parameters with at least two values; those of the study while one try is all there is.

    One that is known of some imported tries and not of others may well vary.
    """
    tried = tuple(tries)
    names = {name: None for one in tried for name in (*one.params, *one.requested)}
    if len(tried) == 1:
        return tuple(tried[0].params)
    return tuple(
        name for name in names if _values(tried, name) > 1 or _is_partly_known(tried, name)
    )


def _is_partly_known(tries: tuple[TrialResult, ...], name: str) -> bool:
    known = [name in one.settings for one in tries if one.is_imported]
    return any(known) and not all(known)


def in_table_order(study: StudyResult) -> tuple[TrialResult, ...]:
    """All tries in the table's order."""
    ranks = {one.number: rank for rank, one in enumerate(study.ranked)}

    def key(one: TrialResult) -> tuple[int, int, int]:
        # A completed try without a value cannot be ranked: it closes its group.
        return _ORDER[one.status], ranks.get(one.number, len(ranks)), one.number

    return tuple(sorted(study.trials, key=key))


def _values(tries: tuple[TrialResult, ...], name: str) -> int:
    # By their text where they differ in type: True is no 1, but 1 and 1.0 are one value.
    cells = (as_cell(one.settings[name]) for one in tries if name in one.settings)
    return len({(isinstance(cell, bool), cell) for cell in cells})


def _columns(
    varied: tuple[str, ...], keys: list[str], study: StudyResult, words: Words
) -> tuple[Column, ...]:
    baseline = study.baseline
    against = baseline.label if baseline else words.text("try.baseline")
    fields = {"objective": words.term("objective", study.objective.name), "against": against}
    outcome = [Column(key, words.text(f"table.{key}", **fields), _OUTCOME[key]) for key in keys]
    taken = {words.text("table.try"), *(column.title for column in outcome)}
    parameters = (
        Column(f"parameter:{name}", _title(name, taken, words), "parameter") for name in varied
    )
    return (Column("try", words.text("table.try"), "try"), *parameters, *outcome)


def _title(name: str, taken: set[str], words: Words) -> str:
    title = one_line(clean(name))
    return words.text("table.parameter", name=title) if title in taken else title


def _name(column: Column) -> str:
    return column.key.removeprefix("parameter:")


def _row(one: TrialResult, varied: tuple[str, ...], outcome: list[Cell], view: "_View") -> TableRow:
    parameters = (as_cell(one.settings.get(name)) for name in varied)
    return TableRow(
        number=one.number + 1,
        status=one.status,
        reason=clean(one.reason),
        attempts=len(one.attempts),
        is_baseline=view.is_baseline(one),
        cells=(one.number + 1, *parameters, *outcome),
        severity=next((severity for severity, _ in view.marks(one)), ""),
    )


@dataclass(frozen=True)
class _View:
    """All that a row's cells are read from."""

    study: StudyResult
    words: Words
    analysis: Analysis
    all_tests: bool

    def is_baseline(self, one: TrialResult) -> bool:
        return one.number == self.analysis.comparison.baseline

    def outcome(self, one: TrialResult) -> dict[str, Cell]:
        """A try's cells after its parameters, by their column's key."""
        found = self.analysis.comparison.trials[one.number]
        seconds = self.analysis.cost.trials.get(one.number)
        interval, equal = found.interval, found.equal_epochs
        return {
            "epochs_run": one.epochs_run,
            "best_value": one.best_value,
            "best_dev_accuracy": one.best_dev_accuracy,
            "interval_low": interval.low if interval else None,
            "interval_high": interval.high if interval else None,
            **self._confirmed(one),
            "best_epoch": one.best_epoch,
            "last_dev_accuracy": one.last_dev_accuracy,
            "train_accuracy": one.train_accuracy,
            "test_accuracy": one.test_accuracy if self._shows_test(one) else None,
            "gap": one.gap,
            "delta": _delta(one, self.study.baseline),
            "p_best": found.best_test.p_corrected if found.best_test else None,
            "group": found.group,
            "stars": found.stars,
            "equal_best": equal.against_best if equal else None,
            "equal_baseline": equal.against_baseline if equal else None,
            "trained": one.trainable_share,
            "seconds": one.seconds,
            "device_seconds": seconds.device if seconds else None,
            "findings": self._marked(one),
            "state": _state(one, self.is_baseline(one), self.words),
        }

    def marks(self, one: TrialResult) -> tuple[tuple[str, str], ...]:
        return finding_marks(self.analysis.findings[one.number])

    def _marked(self, one: TrialResult) -> str | None:
        return self.words.join([mark_text(*pair, self.words) for pair in self.marks(one)]) or None

    def _confirmed(self, one: TrialResult) -> dict[str, Cell]:
        found = self._confirmation_of(one)
        interval = found.over_seeds.interval if found else None
        return {
            "confirmed_mean": found.over_seeds.mean if found else None,
            "confirmed_low": interval.low if interval else None,
            "confirmed_high": interval.high if interval else None,
            "confirmed_seeds": found.over_seeds.count if found else None,
        }

    def _shows_test(self, one: TrialResult) -> bool:
        whole = self.all_tests or self.study.is_confirmation
        confirmed = self._confirmation_of(one) is not None
        return whole or confirmed or one.is_imported or self.is_baseline(one)

    def _confirmation_of(self, one: TrialResult) -> ConfirmedPoint | None:
        confirmation = self.analysis.confirmation
        return confirmation.point(one.number) if confirmation else None


def finding_marks(findings: Iterable[Diagnosis]) -> tuple[tuple[str, str], ...]:
    """Severity and kind of what went wrong, the gravest first, each kind once.

    What only informs is no mark.
    """
    kinds: dict[str, str] = {}
    for found in findings:
        if found.severity != "info":
            kinds.setdefault(one_line(clean(found.kind)), found.severity)
    return tuple((severity, kind) for kind, severity in kinds.items())


def mark_text(severity: str, kind: str, words: Words) -> str:
    """A mark as the table's cell has it, as `overfit (warning)`."""
    return words.text("findings.mark", kind=kind, severity=words.term("severity", severity))


def _delta(one: TrialResult, baseline: TrialResult | None) -> float | None:
    """The objective's best minus the baseline's, between completed tries only."""
    if baseline is None or {one.status, baseline.status} != {"completed"}:
        return None
    return difference(one.best_value, baseline.best_value)


def _state(one: TrialResult, is_baseline: bool, words: Words) -> str:
    text = words.text(f"status.{one.status}")
    if is_baseline:
        text = words.text("state.baseline", status=text)
    reason = one_line(clean(one.reason))
    if reason:
        cut = len(reason) > _LONGEST_REASON
        reason = f"{reason[:_LONGEST_REASON]}..." if cut else reason
        text = words.text("state.reason", state=text, reason=reason)
    attempts = len(one.attempts)
    return words.text("state.attempts", state=text, count=attempts) if attempts > 1 else text
