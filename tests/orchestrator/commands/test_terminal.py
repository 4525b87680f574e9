"""The Try table on a terminal: findings are marked, and blank columns take no room."""

import io

import pytest
from rich.console import Console

from tests.results.studies import table_of
from trytable.orchestrator.commands.terminal import print_table
from trytable.results.tables.types import Column, TableRow

COLUMNS = (
    Column("try", "try", "try"),
    Column("best_dev_accuracy", "best dev acc", "accuracy"),
    Column("trained", "trained", "share"),
    Column("findings", "findings", "findings"),
    Column("state", "state", "state"),
)


def printed(*rows: TableRow, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    print_table(table_of(COLUMNS, rows), console)
    return file.getvalue()


def row(trained: float | None, findings: str | None) -> TableRow:
    cells = (1, 0.5, trained, findings, "completed")
    return TableRow(1, "completed", "", 1, False, cells, "error" if findings else "")


def test_the_trained_share_and_the_findings_stand_in_the_row() -> None:
    line = printed(row(0.0015, "mismatch (error)")).splitlines()[-1]
    assert line.split() == ["1", "0.500", "0.15%", "mismatch", "(error)", "completed"]


@pytest.mark.parametrize(("trained", "findings"), [(None, None), (1.0, None), (None, "a (info)")])
def test_a_blank_column_takes_no_room(trained: float | None, findings: str | None) -> None:
    text = printed(row(trained, findings))
    assert ("trained" in text) == (trained is not None)
    assert ("findings" in text) == (findings is not None)


def test_findings_stay_on_a_narrow_terminal() -> None:
    text = printed(row(0.5, "mismatch (error), oom_retry (warning)"), width=42)
    assert "50%" not in text
    assert "mismatch" in text
    assert "oom_retry" in text


def test_of_many_tries_the_first_hundred_are_shown_and_the_rest_counted() -> None:
    lines = printed(*[row(None, None)] * 103).splitlines()
    assert sum("completed" in line for line in lines) == 100
    assert lines[-1].strip() == "and 3 more."
