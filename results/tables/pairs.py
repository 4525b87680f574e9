"""The table that compares every completed trial with the best one and the baseline."""

from collections.abc import Iterator

from trytable.results.analysis.types import (
    NoTestReason,
    PairedTest,
    StudyComparison,
    TrialComparison,
)
from trytable.results.storage.study import StudyResult
from trytable.results.tables.order import in_table_order
from trytable.results.tables.trials import Column, TableRow, TryTable
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell, CellKind

PAIRS_STEM = "comparison"
"""The name of the table's files, without ending."""

_NUMBERS: dict[str, CellKind] = {
    "difference": "difference",
    "low": "difference",
    "high": "difference",
    "p": "p",
    "corrected": "p",
}


def pairs_table(
    study: StudyResult, comparison: StudyComparison, words: Words = ENGLISH
) -> TryTable:
    """Return the completed trials in the Try table's order, with a reason for each missing test."""
    baseline = study.baseline
    against = baseline.label if baseline else words.text("try.baseline")
    rows = tuple(
        TableRow(
            number=trial.number + 1,
            status=trial.status,
            reason="",
            attempts=len(trial.attempts),
            is_baseline=trial.number == comparison.baseline,
            cells=(trial.number + 1, *_cells(comparison.trials[trial.number], words)),
        )
        for trial in in_table_order(study)
        if trial.status == "completed"
    )
    columns = (Column("try", words.text("table.try"), "try"), *_columns(against, words))
    return TryTable(study.name, columns, rows, words.language)


def _columns(against: str, words: Words) -> Iterator[Column]:
    for other in ("best", "baseline"):
        for name, kind in _NUMBERS.items():
            key = f"{other}_{name}"
            fields = {"against": against} if key == "baseline_difference" else {}
            yield Column(key, words.text(f"pairs.{key}", **fields), kind)
        yield Column(f"{other}_reason", words.text(f"pairs.{other}_reason"), "text")


def _cells(trial: TrialComparison, words: Words) -> Iterator[Cell]:
    yield from _numbers(trial.best_test, trial.best_test_missing, words)
    yield from _numbers(trial.baseline_test, trial.baseline_test_missing, words)


def _numbers(test: PairedTest | None, missing: NoTestReason | None, words: Words) -> Iterator[Cell]:
    if test is None:
        yield from [None] * len(_NUMBERS)
        yield words.text(f"missing.{missing}") if missing else None
        return
    pair = test.counts
    yield from (pair.difference, pair.interval.low, pair.interval.high, pair.p)
    yield from (test.p_corrected, None)
