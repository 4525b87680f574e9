"""The Try table: which columns, in which order the rows, and that blanks stay blank."""

from dataclasses import replace
from typing import Any

import pytest

from tests.results.studies import Maker, Planned, report_content
from trytable.results.analysis.statistics import mean_over_seeds
from trytable.results.analysis.types import Confirmation, ConfirmedPoint
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import FindingRow
from trytable.results.tables.types import TryTable


def test_order_completed_best_first_then_pruned_then_the_rest(full: Maker) -> None:
    table = _table(full)
    assert [row.number for row in table.rows] == [2, 1, 6, 3, 4, 5, 7, 8]


def test_ties_go_to_the_earlier_try(maker: Maker) -> None:
    values = (0.5, 0.6, 0.6, 0.7)
    maker.add(*(Planned({"dropout": 0.1 * n}, (value,)) for n, value in enumerate(values)))
    assert [row.number for row in _table(maker).rows] == [4, 2, 3, 1]


def test_a_pruned_try_never_stands_above_a_completed_one(full: Maker) -> None:
    table = _table(full)
    pruned = next(row for row in table.rows if row.status == "pruned")
    assert _cells(table, pruned.number)["best_dev_accuracy"] == 0.9
    assert _cells(table, pruned.number)["delta"] is None


def test_only_what_varies(maker: Maker) -> None:
    for lr in (1e-4, 2e-4):
        maker.add(Planned({"lr": lr, "batch_size": 32}, (0.5,), requested={"dropout": 0.1}))
    assert _table(maker).parameters == ("lr",)


def test_a_setting_that_varies_beside_the_study_counts_too(maker: Maker) -> None:
    for pooling in ("mean", "cls"):
        maker.add(Planned({"lr": 1e-4}, (0.5,), requested={"pooling": pooling}))
    assert _table(maker).parameters == ("pooling",)


def test_a_single_try_shows_what_the_study_sweeps(maker: Maker) -> None:
    maker.add(Planned({"lr": 1e-4}, (0.5,)))
    assert _table(maker).parameters == ("lr",)


def test_a_persons_own_trial_adds_no_column(full: Maker) -> None:
    full.add_foreign({"dropout": 0.5}, (0.7,))
    assert _table(full).parameters == ("dropout",)


def test_against_the_baseline(full: Maker) -> None:
    table = _table(full)
    assert next(column.title for column in table.columns if column.key == "delta") == "vs Try 1"
    deltas = [_cells(table, number)["delta"] for number in (1, 2, 6)]
    assert deltas == pytest.approx([0.0, 0.04, 0.0])
    assert [row.number for row in table.rows if row.is_baseline] == [1]
    assert _cells(table, 1)["state"] == "completed (baseline)"


def test_without_a_completed_baseline_there_is_no_difference(maker: Maker) -> None:
    maker.add(
        Planned({"dropout": 0.1}, (0.5,), status="pruned", source="baseline"),
        Planned({"dropout": 0.2}, (0.6,)),
    )
    table = _table(maker)
    assert [_cells(table, number)["delta"] for number in (1, 2)] == [None, None]


def test_a_baseline_that_failed_and_was_tried_again(maker: Maker) -> None:
    maker.add(
        Planned({"dropout": 0.1}, status="failed", source="baseline"),
        Planned({"dropout": 0.2}, (0.6,)),
        Planned({"dropout": 0.1}, (0.5,), source="baseline"),
    )
    table = _table(maker)
    assert [row.number for row in table.rows if row.is_baseline] == [3]
    assert _cells(table, 2)["delta"] == pytest.approx(0.1)


def test_what_is_missing_is_none_and_never_zero(full: Maker) -> None:
    cells = _cells(_table(full), 5)
    assert cells == {
        "try": 5,
        "parameter:dropout": 0.95,
        "epochs_run": None,
        "best_dev_accuracy": None,
        "interval_low": None,
        "interval_high": None,
        "best_epoch": None,
        "last_dev_accuracy": None,
        "train_accuracy": None,
        "test_accuracy": None,
        "gap": None,
        "delta": None,
        "p_best": None,
        "group": None,
        "stars": None,
        "equal_best": None,
        "equal_baseline": None,
        "trained": 0.5,
        "seconds": pytest.approx(10, abs=1e-5),
        "device_seconds": pytest.approx(50 / 9, abs=1e-5),
        "findings": None,
        "state": "failed: CUDA out of memory, 3 attempts",
    }
    assert _cells(_table(full), 6)["train_accuracy"] is None, "no probe at its best epoch"


def test_findings_are_marked_once_a_kind_and_worst_first(maker: Maker) -> None:
    said = [("oom_retry", "info"), ("plateau", "warning"), ("mismatch", "error")]
    maker.add(
        Planned({"lr": 0.1}, (0.9,), findings=tuple((kind, sev, "why") for kind, sev in said)),
        Planned({"lr": 0.2}, (0.8,)),
    )
    table = _table(maker)
    marks = [_cells(table, number)["findings"] for number in (1, 2)]
    assert marks == ["mismatch (error), plateau (warning)", None]
    assert [row.severity for row in table.rows] == ["error", ""]


def test_a_finding_of_two_attempts_is_marked_once_with_its_worst_severity(maker: Maker) -> None:
    maker.add(Planned({"lr": 0.1}, (0.9,)), Planned({"lr": 0.2}, (0.8,)))
    study = read_study(maker.url, maker.name)
    rows = tuple(
        FindingRow("u", attempt, "oom_retry", severity, "", {})
        for attempt, severity in ((1, "warning"), (2, "error"))
    )
    first, second = study.trials
    study = replace(study, trials=(replace(first, findings=rows), second))
    assert _cells(report_content(study).table, 1)["findings"] == "oom_retry (error)"


def test_what_a_diagnosis_finds_is_marked_in_the_row(maker: Maker) -> None:
    # Train accuracy 0.99 beside dev accuracy 0.4, and falling, is overfitting by any rule.
    maker.add(Planned({"lr": 0.1}, (0.5, 0.45, 0.4), train=(0.7, 0.95, 0.99)))
    maker.add(Planned({"lr": 0.2}, (0.5, 0.55, 0.56), train=(0.5, 0.55, 0.57)))
    table = _table(maker)
    assert "overfit" in str(_cells(table, 1)["findings"])
    assert _cells(table, 2)["findings"] is None or "overfit" not in str(
        _cells(table, 2)["findings"]
    )


def test_test_accuracy_is_shown_for_the_baseline_and_what_is_confirmed_alone(full: Maker) -> None:
    study = read_study(full.url, full.name)

    def shown_tests(again: Confirmation | None = None, *, all_tests: bool = False) -> list[int]:
        table = report_content(study, confirmation=again, all_tests=all_tests).table
        return [n for n in range(1, 9) if _cells(table, n)["test_accuracy"] is not None]

    assert shown_tests() == [1]
    assert shown_tests(all_tests=True) == [1, 2]
    values = {7: 0.62, 8: 0.6}
    point = ConfirmedPoint(1, values, mean_over_seeds(tuple(values.values())), None, None)
    confirmation = Confirmation("dropout@confirm", (point,), 1, 0.03, None, None, 3)
    assert shown_tests(confirmation) == [1, 2]
    cells = _cells(report_content(study, confirmation=confirmation).table, 2)
    assert (cells["confirmed_mean"], cells["confirmed_seeds"]) == (pytest.approx(0.61), 2)
    own = report_content(replace(study, name="dropout@confirm")).table
    assert _cells(own, 2)["test_accuracy"] == 0.61


def test_what_ended_early_is_compared_at_its_own_epoch(full: Maker) -> None:
    cells = _cells(_table(full), 3)
    assert (cells["stars"], cells["group"], cells["p_best"]) == (None, None, None)
    assert cells["equal_best"] == pytest.approx(0.2 - 0.64)
    assert cells["equal_baseline"] == pytest.approx(0.2 - 0.6)


def test_an_empty_study(maker: Maker) -> None:
    table = _table(maker)
    assert (table.rows, table.parameters) == ((), ())


def test_a_parameter_named_as_one_of_our_columns(maker: Maker) -> None:
    maker.add(Planned({"gap": 1}, (0.5,)), Planned({"gap": 2}, (0.6,)))
    titles = [column.title for column in _table(maker).columns]
    assert titles.count("gap") == 1
    assert "parameter gap" in titles


def _table(maker: Maker) -> TryTable:
    return report_content(read_study(maker.url, maker.name)).table


def _cells(table: TryTable, number: int) -> dict[str, Any]:
    row = next(row for row in table.rows if row.number == number)
    keys = (column.key for column in table.columns)
    return dict(zip(keys, row.cells, strict=True))
