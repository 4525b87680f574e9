"""The frames: every column as declared, what is missing stays missing, numbers as analyzed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.results.studies import Maker, Planned
from tests.results.tables.test_golden import STUDIES
from trytable.records import EPOCH_METRICS, Objective
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.frames.frames import SCHEMAS, StudyFrames
from trytable.results.frames.schema import FrameSchema, family_columns, setting_array
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import EpochRow, StepRow
from trytable.results.tables.trials import try_table

NAMES = tuple(schema.name for schema in SCHEMAS)


def frames_of(maker: Maker, *, all_tests: bool = False) -> StudyFrames:
    study = read_study(maker.url, maker.name)
    confirmation = read_confirmation(maker.url, study)
    return StudyFrames(study, analyze(study, confirmation=confirmation), all_tests)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> StudyFrames:
    return frames_of(STUDIES["plain"](tmp_path_factory.mktemp("plain")))


def dtype_of(declared: str, dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) if declared == "category" else dtype == declared


@pytest.mark.parametrize("schema", SCHEMAS, ids=NAMES)
@pytest.mark.parametrize("name", STUDIES)
def test_a_frame_has_the_declared_index_columns_and_dtypes(
    name: str, schema: FrameSchema, tmp_path: Path
) -> None:
    frame = getattr(frames_of(STUDIES[name](tmp_path)), schema.name)
    assert list(frame.index.names) == [level.name for level in schema.index]
    assert frame.index.is_unique
    prefixes = tuple(family.prefix for family in schema.families) or ("no family",)
    columns = [column for column in frame.columns if not str(column).startswith(prefixes)]
    assert columns == [column.name for column in schema.columns]
    for column in schema.columns:
        assert dtype_of(column.dtype, frame[column.name].dtype), column.name


def test_every_metric_of_an_epoch_is_a_column() -> None:
    (epochs,) = (schema for schema in SCHEMAS if schema.name == "epochs")
    assert tuple(column.name for column in epochs.columns) == EPOCH_METRICS


def test_every_column_is_described_and_has_one_name() -> None:
    for schema in SCHEMAS:
        columns = (*schema.index, *schema.columns)
        assert len({column.name for column in columns}) == len(columns)
        assert all(column.description for column in columns)


def test_what_is_missing_is_missing_and_no_zero(plain: StudyFrames) -> None:
    waiting = plain.tries.loc[8]
    present = {"state", "source", "is_baseline", "is_imported", "seed", "attempts"}
    present |= {"params_lr", "params_epochs"}
    assert set(waiting.dropna().index) == present
    assert waiting["attempts"] == 0
    assert 8 not in plain.epochs.index.get_level_values("try")
    assert plain.epochs.loc[(6, 1), "probe_accuracy"] is pd.NA


def test_a_try_has_the_numbers_of_the_analysis(plain: StudyFrames) -> None:
    tries, comparison = plain.tries, plain.analysis.comparison
    assert list(tries.index) == list(range(1, 9))
    assert tries["rank"].dropna().to_dict() == {2: 1, 6: 2, 1: 3}
    for trial in plain.study.trials:
        row = tries.loc[trial.number + 1]
        assert row["state"] == trial.status
        assert (row["params_lr"], row["attempts"]) == (trial.params["lr"], len(trial.attempts))
        test = comparison.trials[trial.number].best_test
        assert test is None or row["p_best"] == test.p_corrected
        assert pd.isna(row["p_best"]) == (test is None)
    started = tries.loc[2, "started_at"]
    assert started.timestamp() == plain.study.trials[1].attempts[0].started_at
    assert tries.loc[2, "severity"] == "warning"
    assert tries["severity"].max() == "warning"


def test_a_pruned_try_has_no_rank_however_good_it_was(plain: StudyFrames) -> None:
    pruned = plain.tries[plain.tries["state"] == "pruned"]
    assert pruned["best_value"].max() == plain.tries["best_value"].max()
    assert pruned["rank"].isna().all()


def test_test_accuracy_is_shown_as_the_try_table_shows_it(tmp_path: Path) -> None:
    maker = STUDIES["plain"](tmp_path)
    default, every = frames_of(maker).tries, frames_of(maker, all_tests=True).tries
    assert list(default.index[default["test_accuracy"].notna()]) == [1, 2]
    assert list(every.index[every["test_accuracy"].notna()]) == [1, 2, 6]


def test_models_are_compared_on_texts_and_never_called_better(plain: StudyFrames) -> None:
    models = plain.comparison.xs("models", level="level")
    assert len(models) == 2 * len(plain.study.trials), "a row for every try, tested or not"
    for (number, against), row in models.iterrows():
        comparison = plain.analysis.comparison.trials[number - 1]
        test = comparison.best_test if against == "best" else comparison.baseline_test
        if test is None:
            assert row["verdict"] == "untested"
            assert row.drop(["other", "metric", "verdict", "reason"]).isna().all()
            assert not pd.isna(row["reason"])
            continue
        counts = test.counts
        assert row["other"] == test.other + 1
        assert (row["difference"], row["low"], row["high"], row["p"], row["p_corrected"]) == (
            counts.difference, counts.interval.low, counts.interval.high, counts.p,
            test.p_corrected,
        )  # fmt: skip
        assert (row["texts"], row["seeds"], row["metric"]) == (60, 1, "dev_accuracy")
    assert models.loc[(2, "baseline"), "verdict"] == "more_accurate"
    assert models.loc[(1, "best"), "verdict"] == "less_accurate"
    assert not set(models["verdict"]) & {"better", "worse"}


def test_settings_are_compared_over_the_seeds_that_both_have(plain: StudyFrames) -> None:
    settings = plain.comparison.xs("settings", level="level")
    assert sorted(settings.index) == [(1, "baseline"), (1, "best"), (2, "baseline"), (2, "best")]
    row = settings.loc[(2, "baseline")]
    point = plain.analysis.confirmation and plain.analysis.confirmation.point(1)
    assert point
    assert point.against_baseline
    assert (row["difference"], row["seeds"]) == (point.against_baseline.mean, 2)
    assert row["p_corrected"] == point.against_baseline_p
    assert row["verdict"] == "better"
    assert settings.loc[(1, "best"), "verdict"] == "worse"
    assert settings.loc[(2, "best"), "reason"] == "itself"


def test_with_a_loss_the_smaller_mean_is_better(plain: StudyFrames) -> None:
    study = replace(plain.study, objective=Objective("dev_loss", "minimize"))
    settings = StudyFrames(study, plain.analysis).comparison.xs("settings", level="level")
    assert settings.loc[(2, "baseline"), "verdict"] == "worse"
    assert settings.loc[(2, "baseline"), "metric"] == "dev_loss"


def test_one_seed_gives_a_difference_and_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    maker = Maker(path, "one", sweep={"seed": 1})
    maker.add(Planned({"lr": 0.1}, (0.5,), source="baseline"), Planned({"lr": 0.2}, (0.6,)))
    again = Maker(path, "one@confirm", sweep={"seed": 1})
    again.add(*(Planned({"lr": lr, "seed": 3}, (value,)) for lr, value in ((0.1, 0.5), (0.2, 0.6))))
    row = frames_of(maker).comparison.loc[(2, "baseline", "settings")]
    assert row["difference"] == pytest.approx(0.1)
    assert (row["verdict"], row["reason"], row["seeds"]) == ("untested", "one_seed", 1)
    assert pd.isna(row["p"])
    assert pd.isna(row["low"])


def test_findings_are_those_of_the_report(plain: StudyFrames) -> None:
    findings = plain.findings
    for trial in plain.study.trials:
        expected = plain.analysis.findings[trial.number]
        rows = findings[findings.index.get_level_values("try") == trial.number + 1]
        assert list(rows["kind"]) == [finding.kind for finding in expected]
        assert list(rows["severity"]) == [finding.severity for finding in expected]
    assert (findings["severity"] >= "warning").any()


def test_steps_have_a_column_for_each_block_that_was_measured(maker: Maker) -> None:
    maker.add(Planned({"lr": 0.1}, (0.5, 0.6)))
    uid = f"{maker.uid}-0"
    maker.ledger.write(
        StepRow(uid, 1, 10, 1, 1.5, 0.1, 2.0, 3.0, None, {"head": 1.0}, {"layer.0": 4.0}),
        StepRow(uid, 1, 20, 1, None, 0.2, None, None),
        EpochRow(uid, 1, 1, 25, metrics={"bleu": 0.25}, dev_accuracy=0.5),
    )
    frames = frames_of(maker)
    steps = frames.steps
    assert list(steps.index) == [(1, 10), (1, 20)]
    assert steps["loss"].to_list() == [1.5, pd.NA]
    assert steps["layer_gradients_head"].to_list() == [1.0, pd.NA]
    assert steps["layer_weights_layer.0"].to_list() == [4.0, pd.NA]
    assert frames.epochs["metrics_bleu"].to_list() == [0.25, pd.NA]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, None], "Int64"),
        ([0.1, None], "Float64"),
        ([0, 0.5], "Float64"),
        ([True, None], "boolean"),
        (["a", "", None], "string"),
        ([True, 1], "object"),
        ([1, "auto"], "object"),
        ([2**63, 1], "object"),
        ([2**53 + 1, 0.5], "object"),
        ([None, None], "object"),
        ([[1, 2], "a"], "string"),
    ],
)
def test_a_parameter_has_the_narrowest_dtype_that_is_exact(values: list[Any], dtype: str) -> None:
    array = setting_array(values)
    assert pd.Series(array).dtype == dtype
    for value, stored in zip(values, array, strict=True):
        assert pd.isna(stored) if value is None else isinstance(value, list) or stored == value


def test_names_that_no_file_can_hold_become_columns_of_their_own() -> None:
    columns = family_columns("params_", ["a\ud800", "a\udfff", "b"])
    assert len(set(columns.values())) == 3
    frame = pd.DataFrame(np.zeros((1, 3)), columns=list(columns.values()))
    assert columns["b"] == "params_b"
    assert frame.to_csv().encode()


def test_every_number_of_the_try_table_is_the_frames(plain: StudyFrames) -> None:
    table = try_table(plain)
    for row in table.rows:
        for column, cell in zip(table.columns[1:], row.cells[1:], strict=True):
            name = column.key.replace("parameter:", "params_")
            if column.kind not in ("findings", "state"):
                value = plain.tries.loc[row.number, name]
                assert pd.isna(value) if cell is None else cell == value, column.key
