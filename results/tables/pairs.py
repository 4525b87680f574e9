"""Every try against the best and the baseline, as a table of its own with every number."""

from collections.abc import Iterator

from trytable.results.analysis.types import (
    NoTestReason,
    PairedTest,
    StudyComparison,
    TrialComparison,
)
from trytable.results.storage.study import StudyResult
from trytable.results.tables.trials import Column, TableRow, TryTable, in_table_order
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import Cell, CellKind

PAIRS_STEM = "comparison"
"""The stem of the table's files."""

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
    """The completed tries in the Try table's order. What was not tested says why."""
    baseline = study.baseline
    against = baseline.label if baseline else words.text("try.baseline")
    rows = []
    for one in in_table_order(study):
        if one.status == "completed":
            found = comparison.trials[one.number]
            rows.append(
                TableRow(
                    number=one.number + 1,
                    status=one.status,
                    reason="",
                    attempts=len(one.attempts),
                    is_baseline=one.number == comparison.baseline,
                    cells=(one.number + 1, *_cells(found, words)),
                )
            )
    columns = (Column("try", words.text("table.try"), "try"), *_columns(against, words))
    return TryTable(study.name, columns, tuple(rows), words.language)


def _columns(against: str, words: Words) -> Iterator[Column]:
    for other in ("best", "baseline"):
        for name, kind in _NUMBERS.items():
            key = f"{other}_{name}"
            fields = {"against": against} if key == "baseline_difference" else {}
            yield Column(key, words.text(f"pairs.{key}", **fields), kind)
        yield Column(f"{other}_reason", words.text(f"pairs.{other}_reason"), "text")


def _cells(found: TrialComparison, words: Words) -> Iterator[Cell]:
    yield from _numbers(found.best_test, found.best_test_missing, words)
    yield from _numbers(found.baseline_test, found.baseline_test_missing, words)


def _numbers(
    versus: PairedTest | None, missing: NoTestReason | None, words: Words
) -> Iterator[Cell]:
    if versus is None:
        yield from [None] * len(_NUMBERS)
        yield words.text(f"missing.{missing}") if missing else None
        return
    pair = versus.counts
    yield from (pair.difference, pair.interval.low, pair.interval.high, pair.p)
    yield from (versus.p_corrected, None)
