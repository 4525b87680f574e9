"""The declarations of the Try table's columns."""

import re

from trytable.results.frames.try_columns import TRIES
from trytable.results.tables.try_columns import TRY_COLUMNS
from trytable.results.text.catalog import LANGUAGES

TEXTS = ("findings", "state")
"""Columns that the table makes from texts, and not from the frame."""


def test_every_column_is_declared_once_and_has_its_value_in_the_frame() -> None:
    keys = [column.key for column in TRY_COLUMNS]
    assert len(set(keys)) == len(keys)
    assert set(keys) - set(TEXTS) <= {column.name for column in TRIES.columns}


def test_titles_are_distinct_and_have_the_same_fields_in_both_languages() -> None:
    fields = {"objective": "objective", "against": "Try 1"}
    for language in LANGUAGES:
        titles = [column.title(language, fields) for column in TRY_COLUMNS]
        assert len(set(titles)) == len(titles)
    for column in TRY_COLUMNS:
        found = [set(re.findall(r"{\w+}", text)) for text in (column.english, column.chinese)]
        assert found[0] == found[1]


def test_the_order_in_which_a_narrow_terminal_drops_columns_is_unambiguous() -> None:
    priorities = [column.priority for column in TRY_COLUMNS if column.priority is not None]
    assert len(set(priorities)) == len(priorities) > 10
