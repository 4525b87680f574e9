"""The leaders of a study on fresh seeds: which, how often, and that a second call goes on."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.orchestrator.running import family as processes_of
from tests.orchestrator.running import (
    run,
    said,
    start,
    states,
    url,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from trytable.orchestrator.cli import main
from trytable.orchestrator.commands.train.confirm import confirmation_sweep, fresh_seeds, leaders
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.sweeps.config.loader import grid_points, read_sweep

SWEEP = """
trainer: scripted
seed: 7
baseline: {value: 0.5, epochs: 2}
parameters:
  value: [0.1, 0.7, 0.9, 0.8]
  epochs: [2, 3]
trials: 6
sampler: random
"""
SMALL = """
trainer: scripted
seed: 7
baseline: {value: 0.5, epochs: 2}
parameters:
  value: [0.1, 0.7, 0.9, 0.8]
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search whose leaders have been confirmed once."""
    folder = tmp_path_factory.mktemp("it's {confirmed}")
    write_sweep(folder, SMALL)
    code, printed = run(folder)
    assert code == 0, printed
    code, printed = run(folder, "confirm", TOP="2", SEEDS="2")
    assert code == 0, printed
    (folder / "printed").write_text(printed)
    return folder


def _again(folder: Path) -> StudyResult:
    return read_study(url(folder), "quality@confirm")


def test_each_leader_and_the_baseline_are_trained_with_each_seed(searched: Path) -> None:
    trained = {(one.params["value"], one.params["seed"]) for one in _again(searched).trials}
    seeds = fresh_seeds(7, 2)
    assert trained == {(value, seed) for value in (0.5, 0.9, 0.8) for seed in seeds}
    jobs = (searched / "runs" / "quality@confirm" / "trials").glob("*/job.json")
    given = [json.loads(path.read_text()) for path in jobs]
    assert {(one["settings"]["value"], one["seed"]) for one in given} == trained
    assert all("seed" not in one["settings"] for one in given)
    assert {one.seed for one in _again(searched).trials} == set(seeds)


def test_means_stand_in_the_table_of_the_search(searched: Path) -> None:
    search = read_study(url(searched), "quality")
    found = read_confirmation(url(searched), search)
    assert found is not None
    best = search.ranked[0]
    assert found.points[0].number == best.number
    assert found.points[0].over_seeds.mean == pytest.approx(best.best_value)
    table = json.loads((searched / "runs" / "quality" / "tables" / "try_table.json").read_text())
    seeds = {row["parameters"]["value"]: row["confirmed_seeds"] for row in table["rows"]}
    assert seeds == {0.5: 2, 0.9: 2, 0.8: 2, 0.7: None, 0.1: None}
    assert "confirmed" in (searched / "printed").read_text()


def test_more_leaders_and_seeds_are_added_to_what_is_there(searched: Path) -> None:
    code, printed = run(searched, "confirm", TOP="3", SEEDS="3")
    assert code == 0, printed
    tries = _again(searched).trials
    assert len(tries) == 4 * 3, "nothing was trained twice"
    assert {one.status for one in tries} == {"completed"}


def test_an_interrupted_confirmation_goes_on(tmp_path: Path) -> None:
    write_sweep(tmp_path, SMALL.replace("epochs: 2}", "epochs: 4, epoch_seconds: 0.1}"))
    assert run(tmp_path)[0] == 0
    given = {"TOP": "1", "SEEDS": "2", "SLOTS": "1"}
    process = start(tmp_path, "confirm", **given)
    wait_for(process, lambda: said(tmp_path, "epoch", "quality@confirm") >= 2)
    workers = processes_of(process)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    wait_all_gone(workers)
    code, printed = run(tmp_path, "confirm", 90, **given)
    assert code == 0, printed
    assert states(tmp_path, "quality@confirm") == ["COMPLETE"] * 4
    assert said(tmp_path, "epoch", "quality@confirm") == 4 * 4, "no epoch was trained twice"


def test_every_mistake_is_told_at_once(searched: Path) -> None:
    code, printed = run(searched, "confirm", NAME="quality@confirm", TOP="0", SEEDS="1")
    assert code == 2
    assert "TOP=0 confirms nothing. Use at least 1." in printed
    assert "SEEDS=1 gives no confidence interval. Use at least 2." in printed
    assert "is itself a confirmation. Use the study that it confirms: NAME=quality." in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["confirm", "--name", "nothing"], "nothing"),
        (["confirm", "--top", "many"], "--top 'many' is not a whole number."),
        (["sweep", "--name", "quality@confirm"], "Use trytable confirm quality to continue it."),
        (
            ["report", "--lang", "de"],
            "--lang 'de' is not a report language. Use en or zh.",
        ),
        (["export", "--test", "some"], "--test 'some' is not valid. Use --test all"),
    ],
)
def test_what_cannot_be_done_is_refused(
    searched: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = [] if "--name" in words else ["--name", "quality"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *name, "--runs", str(searched / "runs")])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_table_in_chinese_with_every_test_accuracy(searched: Path) -> None:
    runs = str(searched / "runs")
    with pytest.raises(SystemExit) as ended:
        main(["export", "--name", "quality", "--lang", "zh", "--format", "md", "--runs", runs])
    assert ended.value.code == 0
    table = (searched / "runs" / "quality" / "tables" / "try_table.md").read_text()
    assert "验证准确率" in table


@given(st.integers(0, 2**31), st.integers(1, 12))
def test_seeds_are_fresh_and_more_of_them_begin_alike(seed: int, count: int) -> None:
    found = fresh_seeds(seed, count)
    assert len(set(found) | {seed}) == count + 1
    assert fresh_seeds(seed, count + 3)[:count] == found
    assert all(0 <= one < 2**31 for one in found)


def test_the_sweep_of_a_confirmation(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP)
    given = read_sweep(tmp_path / "sweeps" / "quality.yaml", KINDS)
    points = [(0.5, 2), (0.9, 3), (0.9, 3), (0.7, 2), (0.8, 3)]
    tries = tuple(
        made_try(n, {"value": value, "epochs": epochs}, value)
        for n, (value, epochs) in enumerate(points)
    )
    search = StudyResult("quality", None, DEFAULT_OBJECTIVE, given.to_json(), {}, None, tries)
    sweep = confirmation_sweep(search, 2, 3)
    assert sweep.parameters["value"] == given.parameters["value"]
    assert (sweep.objective, sweep.gate) == (given.objective, given.gate)
    asked = [dict(point) for point in grid_points(sweep)]
    leading = [(0.5, 2), (0.9, 3), (0.8, 3)]
    assert asked == [
        {"value": value, "epochs": epochs, "seed": seed}
        for seed in fresh_seeds(7, 3)
        for value, epochs in leading
    ]


def test_tries_that_differ_in_their_seed_alone_are_one_leader(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP)
    given = read_sweep(tmp_path / "sweeps" / "quality.yaml", KINDS).to_json()
    names = ("value", "seed")
    tries = tuple(
        made_try(n, dict(zip(names, point, strict=True)), 0.9 - n / 10)
        for n, point in enumerate([(0.9, 1), (0.9, 2), (0.7, 1)])
    )
    swept = {**given["parameters"], "seed": {"kind": "int", "values": [1, 2]}}
    sweep = {**given, "parameters": {name: swept[name] for name in names}}
    search = StudyResult("quality", None, DEFAULT_OBJECTIVE, sweep, {}, None, tries)
    assert leaders(search, 3) == [{"value": 0.9}, {"value": 0.7}]


def made_try(number: int, params: dict[str, Any], value: float) -> TrialResult:
    """A completed try of a search."""
    return TrialResult(
        number=number,
        uid=None,
        status="completed",
        reason="",
        source="sampler",
        params=params,
        distributions={},
        requested={},
        effective={},
        curve=(),
        best_epoch=None,
        best_value=value,
        best_dev_accuracy=value,
        test_accuracy=None,
        attempts=(),
        findings=(),
        seconds=None,
    )
