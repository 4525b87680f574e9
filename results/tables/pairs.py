"""The table that compares every completed trial with the best one and the baseline."""

from collections.abc import Iterator

import pandas as pd

from trytable.results.frames.frames import StudyFrames
from trytable.results.frames.schema import text_array
from trytable.results.tables.order import in_table_order
from trytable.results.tables.types import Column, TryTable, python_values
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import CellKind

PAIRS_STEM = "comparison"
"""The name of the table's files, without ending."""

_REFERENCES = ("best", "baseline")
_NUMBERS = {
    "difference": "difference",
    "low": "low",
    "high": "high",
    "p": "p",
    "corrected": "p_corrected",
}
"""The frame's column of each number, by the end of the table's key."""


def pairs_table(frames: StudyFrames, words: Words = ENGLISH) -> TryTable:
    """Return the completed trials in the Try table's order, with a reason for each missing test."""
    study = frames.study
    numbers = [t.number + 1 for t in in_table_order(study) if t.status == "completed"]
    # The files of this table have no reason why a trial ended.
    tries = frames.tries.loc[numbers].assign(reason=pd.NA)
    sides = [_side(frames.comparison, other, numbers, words) for other in _REFERENCES]
    against = study.baseline.label if study.baseline else words.text("try.baseline")
    columns = (Column("try", words.text("table.try"), "try"), *_columns(against, words))
    cells = pd.concat([pd.Series(numbers, numbers, dtype="Int64"), *sides], axis="columns")
    keys = [column.key for column in columns]
    return TryTable(study.name, columns, cells.set_axis(keys, axis=1), tries, words.language)


def _side(comparison: pd.DataFrame, other: str, numbers: list[int], words: Words) -> pd.DataFrame:
    """Return the tests of trained models against one other, with the reasons as texts."""
    rows = comparison.index.to_frame()
    is_side = (rows["level"] == "models") & (rows["against"] == other)
    tests = comparison[is_side].droplevel(["against", "level"]).loc[numbers]
    reasons = [
        None if reason is None else words.text(f"missing.{reason}")
        for reason in python_values(tests["reason"])
    ]
    return tests[[*_NUMBERS.values()]].assign(reason=text_array(reasons))


def _columns(against: str, words: Words) -> Iterator[Column]:
    for other in _REFERENCES:
        for name, source in _NUMBERS.items():
            key = f"{other}_{name}"
            kind: CellKind = "p" if source.startswith("p") else "difference"
            fields = {"against": against} if key == "baseline_difference" else {}
            yield Column(key, words.text(f"pairs.{key}", **fields), kind)
        yield Column(f"{other}_reason", words.text(f"pairs.{other}_reason"), "text")
