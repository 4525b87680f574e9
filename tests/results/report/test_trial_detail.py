"""One try in full: requested beside effective, and nothing lost on the way."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.results.studies import Maker, Planned
from trytable.results.report.trial_detail import (
    SettingLine,
    TrialDetail,
    setting_lines,
    trial_detail,
)
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import EffectiveRow, FindingRow
from trytable.results.tables.summary import study_facts
from trytable.results.text.format import as_cell

_NAMES = st.sampled_from(["lr", "dropout", "batch_size", "freeze", "lr_decay"])
_PARTS = st.sampled_from(["", ".peak", ".first.head", ".micro"])
_VALUES = st.none() | st.booleans() | st.floats(0, 1) | st.integers(0, 9) | st.sampled_from("ab")


@given(
    st.dictionaries(_NAMES, _VALUES),
    st.dictionaries(st.builds(str.__add__, _NAMES, _PARTS), _VALUES),
)
def test_every_knob_and_every_reading_stands_once(
    requested: dict[str, Any], effective: dict[str, Any]
) -> None:
    lines = setting_lines(requested, effective)
    names = [line.name for line in lines]
    assert sorted(names) == sorted({*requested, *effective})
    for line in lines:
        if line.name in requested:
            assert line.requested == as_cell(requested[line.name])
        if line.name in effective:
            assert line.effective == as_cell(effective[line.name])
        knob = line.name.partition(".")[0]
        assert line.is_reading == ("." in line.name and knob in requested)
        if line.is_reading:
            assert names.index(knob) < names.index(line.name)


def test_readings_stand_below_their_knob_and_the_rest_at_the_end() -> None:
    lines = setting_lines(
        {"lr": 2e-4, "batch_size": 32}, {"steps": 50, "lr.peak": 2e-4, "batch_size": 32}
    )
    assert lines == (
        SettingLine("lr", 2e-4, None, False, is_reading=False),
        SettingLine("lr.peak", None, 2e-4, False, is_reading=True),
        SettingLine("batch_size", 32, 32, False, is_reading=False),
        SettingLine("steps", None, 50, False, is_reading=False),
    )


def test_a_mismatch_marks_its_readings_and_says_what_was_asked_for() -> None:
    evidence = {
        "lr.peak.requested": 2e-4,
        "lr.peak.effective": 1e-5,
        "dropout.head.requested": 0.5,
        "dropout.head.effective": None,
        "pooling.requested": "cls",
        "pooling.effective": "mean",
        "steps.requested": 7,
    }
    lines = setting_lines(
        {"lr": 2e-4, "dropout": 0.5, "pooling": "cls"},
        {"lr.peak": 1e-5, "lr.first": 0.0, "pooling": "mean"},
        [FindingRow("u", 1, "mismatch", "error", "why", evidence)],
    )
    marked = {line.name: (line.requested, line.effective) for line in lines if line.differs}
    assert marked == {
        "lr.peak": (2e-4, 1e-5),
        "dropout.head": (0.5, None),
        "pooling": ("cls", "mean"),
        "steps": (7, None),
    }


@pytest.mark.parametrize(
    ("requested", "effective", "differs"),
    [
        (32, 16, True),
        (3, 3.0, False),
        (0.1, 0.1 + 1e-9, False),
        ("auto", "bf16", False),
        (True, 1, False),
        (None, 3, False),
    ],
)
def test_only_another_number_differs_by_itself(
    requested: Any, effective: Any, differs: bool
) -> None:
    (line,) = setting_lines({"knob": requested}, {"knob": effective})
    assert line.differs is differs


def test_a_try_of_each_kind(full: Maker) -> None:
    study = read_study(full.url, full.name)
    details = [trial_detail(study, one) for one in study.trials]
    assert [detail.label for detail in details] == [f"Try {n}" for n in range(1, 9)]
    retried, failed, waiting = (details[i] for i in (1, 4, 7))
    assert _column(retried, "attempts", "outcome") == ["retried", "completed"]
    assert _column(retried, "curve", "dev acc") == [0.5, 0.64, 0.62]
    assert _column(retried, "curve", "best") == [None, "best", None]
    assert dict(retried.facts)["Best dev accuracy"] == "0.640 after epoch 2"
    assert dict(retried.facts)["Trained"] == "50%: 11350000 of 22700000 parameters"
    assert dict(retried.facts)["Data's sha256"] == "d" * 64
    assert dict(failed.facts)["State"] == "failed: CUDA out of memory"
    assert failed.curve.rows == ()
    assert (waiting.attempts.rows, waiting.curve.rows, waiting.findings.rows) == ((), (), ())


def test_what_was_found_stands_with_its_evidence(maker: Maker) -> None:
    maker.add(Planned({"lr": 0.1}, (0.5,)))
    uid = f"{maker.uid}-0"
    maker.ledger.write(
        EffectiveRow(uid, 1, "lr.peak", 0.01),
        FindingRow(uid, 1, "mismatch", "error", "two\nlines", {"lr.peak.requested": 0.1}),
    )
    study = read_study(maker.url, maker.name)
    detail = trial_detail(study, study.trials[0])
    assert detail.findings.rows == ((1, "error", "mismatch", "two lines", "lr.peak.requested 0.1"),)
    assert SettingLine("lr.peak", 0.1, 0.01, True, is_reading=True) in detail.settings


def test_a_persons_own_trial_has_what_optuna_knows(full: Maker) -> None:
    full.add_foreign({"dropout": 0.5}, (0.7,))
    study = read_study(full.url, full.name)
    detail = trial_detail(study, study.trials[-1])
    assert [line.name for line in detail.settings] == ["dropout"]
    assert detail.attempts.rows == ()
    assert _column(detail, "curve", "dev acc") == [0.7]


def _column(detail: TrialDetail, grid: str, title: str) -> list[Any]:
    found = getattr(detail, grid)
    index = [column.title for column in found.columns].index(title)
    return [row[index] for row in found.rows]


@pytest.mark.parametrize("trainer", ["script", "finetune"])
def test_a_script_shows_no_model_and_data_that_it_was_never_given(
    trainer: str, tmp_path: Path
) -> None:
    sweep = {"trainer": trainer, "model": "minilm", "data": {"name": "docstrings"}, "seed": 3}
    maker = Maker(tmp_path / "studies.db", sweep=sweep)
    maker.add(Planned({"lr": 0.1}, (0.5,)))
    study = read_study(maker.url, maker.name)
    shown = [term for term, _ in trial_detail(study, study.trials[0]).facts]
    assert shown.count("Seed") == 1
    assert ("Model" in shown, "Data" in shown) == ((trainer != "script"),) * 2
    assert "minilm" in dict(study_facts(study)).get("Model", "") or trainer == "script"
    assert ("Model" in dict(study_facts(study))) == (trainer != "script")
