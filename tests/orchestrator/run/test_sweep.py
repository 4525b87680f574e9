"""Whole sweeps, in real processes, with the scripted trainer: what ends, goes on or is refused."""

import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.orchestrator.running import (
    GRID,
    family,
    interrupt,
    run,
    said,
    start,
    states,
    suspended,
    trials,
    url,
    values_of,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from trytable.records import Objective
from trytable.results.storage.reader import read_study

POINTS = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep in it, under a name that shells, URLs and formats dislike."""
    odd = tmp_path / 'it\'s {a} "sweep" 100% #1?\nhere'
    write_sweep(odd)
    return odd


def check_nothing_lost_or_doubled(folder: Path) -> None:
    """Every point completed once, with the value that its curve has, and the file is sound."""
    found = trials(folder)
    assert values_of(found, TrialState.COMPLETE) == POINTS
    for trial in found:
        if trial.state == TrialState.COMPLETE:
            assert sorted(trial.intermediate_values) == [1, 2, 3, 4]
            assert trial.value == max(trial.intermediate_values.values())
    with sqlite3.connect(folder / "runs" / "studies.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_sweep_ends_in_a_try_table_and_a_second_run_adds_nothing(folder: Path) -> None:
    code, printed = run(folder)
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert "Try 1" in printed
    assert "0.844" in printed  # 0.9 after 4 epochs
    home = folder / "runs" / "quality"
    assert (home / "report.html").exists()
    table = json.loads((home / "tables" / "try_table.json").read_text())
    assert table["rows"][0]["try"] == 5
    code, printed = run(folder)
    assert code == 0, printed
    assert len(trials(folder)) == len(POINTS)
    assert " starts " not in printed


def test_the_baseline_runs_first_then_the_grid_in_its_order(folder: Path) -> None:
    run(folder, SLOTS="1")
    assert [trial.params["value"] for trial in trials(folder)] == [0.5, 0.1, 0.3, 0.7, 0.9, 0.2]


def test_the_number_of_trials_is_one_for_all_runs(folder: Path) -> None:
    run(folder, TRIALS="2")
    assert len(trials(folder)) == 2
    run(folder, TRIALS="5")
    assert len(trials(folder)) == 5
    run(folder, TRIALS="3")
    assert len(trials(folder)) == 5


def test_a_killed_worker_is_tried_again(folder: Path) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 1)
    workers = [child for process in family(sweep) for child in process.children()]
    assert workers
    workers[0].kill()
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert len(trials(folder)) == len(POINTS)
    study = read_study(url(folder), "quality")
    attempts = [attempt for one in study.trials for attempt in one.attempts]
    retried = [attempt for attempt in attempts if attempt.outcome == "retried"]
    assert [attempt.message for attempt in retried] == [
        "worker exited without reporting a result (killed by SIGKILL)"
    ]
    assert len(attempts) == len(POINTS) + 1


@pytest.mark.parametrize("after_epochs", [1, 4, 9, 14])
def test_a_killed_orchestrator_takes_its_workers_along_and_a_rerun_finishes(
    folder: Path, after_epochs: int
) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= after_epochs)
    processes = family(sweep)
    sweep.kill()
    sweep.communicate()
    wait_all_gone(processes)
    code, printed = run(folder)
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert len(trials(folder)) == len(POINTS)


def test_a_result_that_was_never_told_is_adopted(folder: Path) -> None:
    """Killed just when the worker had written its result: not one epoch is trained again."""
    given = {"SLOTS": "1", "TRIALS": "1", "SET": "epoch_seconds=1"}
    sweep = start(folder, **given)
    wait_for(sweep, lambda: said(folder, "epoch") >= 3)
    os.kill(sweep.pid, signal.SIGSTOP)
    wait_for(sweep, lambda: said(folder, "finished") == 1)
    sweep.kill()
    sweep.communicate()
    assert states(folder) == ["RUNNING"]
    code, printed = run(folder, seconds=90, **given)
    assert code == 0, printed
    assert states(folder) == ["COMPLETE"]
    assert said(folder, "started") == 1


def test_one_interrupt_drains_and_the_next_run_goes_on(folder: Path) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 130, printed
    assert "The same command resumes them" in printed
    wait_all_gone(processes)
    assert said(folder, "checkpoint") == 2
    assert "drained" in printed
    code, printed = run(folder)
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert len(trials(folder)) == len(POINTS)
    assert said(folder, "epoch") == 4 * len(POINTS)


def test_two_interrupts_stop_now(folder: Path) -> None:
    write_sweep(folder, GRID.replace("0.15", "0.15, crash: hang, crash_at_epoch: 2"))
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") == 2)
    processes = family(sweep)
    interrupt(sweep, signal.SIGINT)
    wait_all_gone(processes)
    assert states(folder) == ["RUNNING", "RUNNING"]


def test_a_failed_point_is_asked_again_by_the_next_run_unless_told_not_to(folder: Path) -> None:
    write_sweep(folder, GRID.replace("0.15", "0.0, crash: user"))
    code, printed = run(folder, TRIALS="2")
    assert code == 1, printed
    assert states(folder) == ["FAIL", "FAIL"]
    run(folder, TRIALS="2", RETRY_FAILED="0")
    assert states(folder) == ["FAIL", "FAIL"]
    run(folder, TRIALS="2")
    assert states(folder) == ["FAIL"] * 4


def test_hours_end_a_sweep_in_good_order(folder: Path) -> None:
    code, printed = run(folder, HOURS=str(1.2 / 3600))
    assert code == 0, printed
    assert "COMPLETE" in states(folder) or "RUNNING" in states(folder)
    assert len(trials(folder)) < len(POINTS)
    code, printed = run(folder)
    check_nothing_lost_or_doubled(folder)


def test_a_second_orchestrator_is_refused(folder: Path) -> None:
    first = start(folder)
    wait_for(first, lambda: said(folder, "epoch") >= 1)
    with suspended(first):
        code, printed = run(folder)
    assert code == 2
    assert f"process {first.pid} on " in printed
    printed, _ = first.communicate(timeout=240)
    assert first.returncode == 0, printed
    check_nothing_lost_or_doubled(folder)


def test_two_sweeps_share_a_database(folder: Path) -> None:
    write_sweep(folder, name="other")
    both = [start(folder), start(folder, NAME="other")]
    for sweep in both:
        printed, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert states(folder, "other") == ["COMPLETE"] * len(POINTS)


def test_a_changed_baseline_is_refused_with_the_difference(folder: Path) -> None:
    run(folder, TRIALS="1")
    code, printed = run(folder, TRIALS="1", SET="epochs=2")
    assert code == 2
    assert "baseline.epochs: 4 then, 2 now" in printed
    assert "AS_NEW=1" in printed
    code, printed = run(folder, TRIALS="1", SET="epochs=2", AS_NEW="1")
    assert code == 0, printed
    assert states(folder, "quality@2") == ["COMPLETE"]
    code, printed = run(folder, NAME="quality@2", TRIALS="2", SET="epochs=2")
    assert code == 0, printed
    assert states(folder, "quality@2") == ["COMPLETE", "COMPLETE"]


def test_added_grid_values_go_on(folder: Path) -> None:
    run(folder)
    write_sweep(folder, GRID.replace("0.2]", "0.2, 0.95]"))
    code, printed = run(folder)
    assert code == 0, printed
    assert values_of(trials(folder), TrialState.COMPLETE) == [*POINTS, 0.95]


def test_a_resumed_sampler_does_not_repeat_its_first_points(folder: Path) -> None:
    for sampler in ("random", "tpe", "qmc"):
        write_sweep(
            folder,
            "trainer: scripted\nbaseline: {value: 0.5, epochs: 1}\n"
            f"parameters: {{value: {{low: 0.1, high: 0.9}}}}\nsampler: {sampler}\ntrials: 4\n",
            name=sampler,
        )
        run(folder, NAME=sampler)
        run(folder, NAME=sampler, TRIALS="8")
        drawn = [trial.params["value"] for trial in trials(folder, sampler)]
        assert len(set(drawn)) == 8, (sampler, drawn)


def test_known_tries_run_first(folder: Path) -> None:
    write_sweep(
        folder,
        "trainer: scripted\nbaseline: {value: 0.5, epochs: 1}\n"
        "parameters: {value: {low: 0.1, high: 0.9}}\nsampler: random\ntrials: 4\n"
        "enqueue: [{value: 0.25}, {value: 0.75}]\n",
    )
    run(folder, SLOTS="1")
    assert [trial.params["value"] for trial in trials(folder)][:3] == [0.5, 0.25, 0.75]


def test_only_the_best_three_keep_their_checkpoints(folder: Path) -> None:
    sweep = start(folder)
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=240)
    kept = folder / "runs" / "quality" / "trials"
    assert len(list(kept.glob("*/checkpoints/epoch.txt"))) == 2
    run(folder)
    numbers = {int(path.parts[-3]) for path in kept.glob("*/checkpoints/epoch.txt")}
    best = sorted(trials(folder), key=lambda trial: -(trial.value or 0))[:3]
    assert numbers <= {trial.number for trial in best}


LOSSES = """
trainer: scripted
objective: dev_loss
baseline: {value: 0.9, epochs: 3}
parameters:
  epochs: [3, 1, 5]
"""


def test_an_objective_to_be_minimised_is_from_its_epochs_to_its_table(tmp_path: Path) -> None:
    write_sweep(tmp_path, LOSSES)
    code, printed = run(tmp_path)
    assert code == 0, printed
    assert "Try 3 completed: dev loss 0.200 at epoch 5" in printed
    study = read_study(url(tmp_path), "quality")
    assert study.objective == Objective("dev_loss", "minimize")
    # A scripted trial's dev loss is 1 / epoch: the longest trial is the best.
    assert [(one.params["epochs"], one.best_value) for one in study.ranked] == [
        (5, 1 / 5),
        (3, 1 / 3),
        (1, 1.0),
    ]
    assert study.ranked[0].best_dev_accuracy == pytest.approx(0.9 * (1 - 0.5**5))
    for trial in trials(tmp_path):
        assert trial.value == min(trial.intermediate_values.values())


def test_a_seed_that_is_drawn_is_kept_with_the_study(tmp_path: Path) -> None:
    write_sweep(tmp_path, GRID.replace("epoch_seconds: 0.15", "epoch_seconds: 0") + "seed: null\n")
    assert run(tmp_path, TRIALS="2")[0] == 0
    first = read_study(url(tmp_path), "quality").sweep["seed"]
    assert run(tmp_path)[0] == 0
    assert read_study(url(tmp_path), "quality").sweep["seed"] == first
    jobs = (tmp_path / "runs" / "quality" / "trials").glob("*/job.json")
    assert {json.loads(job.read_text())["seed"] for job in jobs} == {first}
    write_sweep(tmp_path, GRID + "seed: null\n", name="other")
    assert run(tmp_path, NAME="other")[0] == 0
    assert read_study(url(tmp_path), "other").sweep["seed"] != first
