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
from trytable.results.tables.try_columns import TRY_COLUMNS, TryColumn
from trytable.results.tables.types import Column, TryTable, python_values
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import clean, one_line

_MAX_REASON = 200


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
    visible = [column for column in TRY_COLUMNS if _has_column(column, study, outcome)]
    names = varied_parameters(study.trials)
    columns = _columns(names, visible, study, words)
    parameters = family_columns(PARAMETER_PREFIX, swept_parameters(study))
    sources = (
        *(tries[parameters[name]] for name in names),
        *(outcome[column.key] for column in visible),
    )
    cells = pd.concat([_numbers(tries), *sources], axis="columns")
    return TryTable(
        study=study.name,
        columns=columns,
        cells=cells.set_axis([column.key for column in columns], axis="columns"),
        tries=tries,
        language=words.language,
    )


def _has_column(column: TryColumn, study: StudyResult, outcome: pd.DataFrame) -> bool:
    if column.key == "best_value":  # would repeat the column of dev accuracy
        return study.objective.name != DEFAULT_OBJECTIVE.name
    return not column.is_optional or bool(outcome[column.key].notna().any())


def _columns(
    names: tuple[str, ...], visible: list[TryColumn], study: StudyResult, words: Words
) -> tuple[Column, ...]:
    baseline = study.baseline
    against = baseline.label if baseline else words.text("try.baseline")
    fields = {"objective": words.term("objective", study.objective.name), "against": against}
    outcome = [Column(c.key, c.title(words.language, fields), c.kind) for c in visible]
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
