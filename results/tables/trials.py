"""The Try table: a row for each trial with its varied parameters and results, unrounded."""

from typing import Any

import pandas as pd

from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.frames.frames import StudyFrames
from trytable.results.frames.parameters import swept_parameters, varied_parameters
from trytable.results.frames.schema import family_columns, text_array
from trytable.results.frames.try_columns import PARAMETER_PREFIX
from trytable.results.storage.study import StudyResult
from trytable.results.tables.marks import finding_marks, mark_text
from trytable.results.tables.order import in_table_order
from trytable.results.tables.types import Column, TryTable, python_values
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import CellKind, clean, one_line

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


def try_table(frames: StudyFrames, words: Words = ENGLISH) -> TryTable:
    """Return the Try table of a study. Pruned trials are never ranked against completed ones.

    Test accuracy is shown only for the baseline, for confirmed trials and for confirmations, so
    that nobody selects a trial by it, and for imported trials, whose log already showed it, unless
    the frames have the test accuracy of every trial.
    """
    study = frames.study
    tries = frames.tries.loc[[trial.number + 1 for trial in in_table_order(study)]]
    texts = {"findings": _findings(frames, tries, words), "state": _states(tries, words)}
    outcome = tries.assign(**texts)
    keys = [key for key in _OUTCOME if _has_column(key, study, outcome)]
    names = varied_parameters(study.trials)
    columns = _columns(names, keys, study, words)
    parameters = family_columns(PARAMETER_PREFIX, swept_parameters(study))
    sources = (*(tries[parameters[name]] for name in names), *(outcome[key] for key in keys))
    cells = pd.concat([_numbers(tries), *sources], axis="columns")
    return TryTable(
        study=study.name,
        columns=columns,
        cells=cells.set_axis([column.key for column in columns], axis="columns"),
        tries=tries,
        language=words.language,
    )


def _has_column(key: str, study: StudyResult, outcome: pd.DataFrame) -> bool:
    if key == "best_value":  # would repeat the column of dev accuracy
        return study.objective.name != DEFAULT_OBJECTIVE.name
    return key not in _OPTIONAL or bool(outcome[key].notna().any())


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


def _numbers(tries: pd.DataFrame) -> pd.Series:
    return pd.Series(tries.index, index=tries.index, dtype="Int64")


def _findings(frames: StudyFrames, tries: pd.DataFrame, words: Words) -> pd.Series:
    findings = frames.analysis.findings
    texts = [
        words.join([mark_text(*mark, words) for mark in finding_marks(findings[number - 1])])
        for number in tries.index
    ]
    return pd.Series(text_array(texts), index=tries.index)


def _states(tries: pd.DataFrame, words: Words) -> pd.Series:
    names = ("state", "is_baseline", "reason", "attempts")
    facts: Any = zip(*(python_values(tries[name]) for name in names), strict=True)
    texts = [_state(words, *fact) for fact in facts]
    return pd.Series(text_array(texts), index=tries.index)


def _state(words: Words, status: str, is_baseline: bool, reason: str | None, attempts: int) -> str:
    text = words.text(f"status.{status}")
    if is_baseline:
        text = words.text("state.baseline", status=text)
    reason = one_line(reason or "")
    if reason:
        is_long = len(reason) > _MAX_REASON
        reason = f"{reason[:_MAX_REASON]}..." if is_long else reason
        text = words.text("state.reason", state=text, reason=reason)
    return words.text("state.attempts", state=text, count=attempts) if attempts > 1 else text
