"""A try trained again: the same bits on the same machine, and nothing of the study touched."""

import io
import json
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.orchestrator.conftest import write_data
from tests.orchestrator.running import (
    family,
    run,
    start,
    states,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from tests.results.studies import Maker, Planned
from tests.trainers.small import save_model
from trytable.orchestrator.commands.train.rerun import RerunOutcome, rerun_trial
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import AttemptRow, EpochRow

SCRIPTED = """
trainer: scripted
baseline: {value: 0.5, epochs: 2, epoch_seconds: 1.0}
parameters:
  value: [0.5, 0.2, 0.7]
  crash: [none, user]
pruner: {name: median, startup_trials: 1, warmup_epochs: 0}
sampler: random
trials: 3
enqueue:
  - {value: 0.2}
  - {value: 0.7, crash: user}
"""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Try 1 completed, Try 2 was pruned after its first epoch, Try 3 failed before it."""
    folder = tmp_path_factory.mktemp("scripted") / "it's {a} study"
    write_sweep(folder, SCRIPTED)
    code, printed = run(folder, SLOTS="1")
    assert code == 0, printed
    assert states(folder) == ["COMPLETE", "FAIL", "PRUNED"]
    return Folders(folder / "runs", "quality")


def again(folders: Folders, number: int) -> tuple[RerunOutcome, str, dict[str, Any]]:
    """Run one here; returns how it ended, what was printed, and its newest report."""
    file = io.StringIO()
    outcome = rerun_trial(folders, number, Console(file=file, width=200))
    report = folders.reruns(int(number) - 1)[0] / "rerun.json"
    return outcome, file.getvalue(), json.loads(report.read_text())


def test_a_real_try_comes_again_to_the_last_bit(trained: Folders) -> None:
    database = trained.database.read_bytes()
    outcome, printed, report = again(trained, 2)
    assert outcome == RerunOutcome(interrupted=False, as_expected=True), printed
    assert "The same to the last bit: 2 epochs, 18 logged steps, 70 predictions." in printed
    assert printed.count("the same to the last bit") == 2
    assert report["same_to_the_last_bit"] is True
    assert report["obstacles"] == []
    assert report["epochs"][0]["recorded"]["dev_loss"] == report["epochs"][0]["again"]["dev_loss"]
    assert trained.database.read_bytes() == database
    weights = Path("checkpoints/best/model.safetensors")
    folder = trained.reruns(1)[0]
    assert (folder / weights).read_bytes() == (trained.trial(1) / weights).read_bytes()
    assert "The same to the last bit" in (folder / "rerun.md").read_text()


def test_data_and_model_that_changed_are_refused(trained: Folders) -> None:
    data, model = trained.runs.parent / "data", trained.runs.parent / "model"
    (data / "dev.txt").write_text("0 ||| a film\n1 ||| a good film\n")
    save_model(model, num_hidden_layers=2)
    try:
        with pytest.raises(UserError) as refusal:
            again(trained, 1)
    finally:
        write_data(data)
        save_model(model)
    assert f"DATA={data} has changed since Try 1 was trained: its sha256 was" in str(refusal.value)
    assert f"MODEL={model} has changed since Try 1 was trained" in str(refusal.value)
    assert trained.reruns(0) == []


def test_data_that_have_gone_are_refused(trained: Folders) -> None:
    data = trained.runs.parent / "data"
    shutil.rmtree(data)
    try:
        with pytest.raises(UserError, match="there is no such folder"):
            again(trained, 1)
    finally:
        write_data(data)
    assert trained.reruns(0) == []


def test_from_the_command_line(scripted: Folders) -> None:
    folder = scripted.runs.parent
    code, printed = run(folder, "rerun", TRY="1")
    assert code == 0, printed
    assert "The same to the last bit: 2 epochs, 2 logged steps." in printed
    assert states(folder) == ["COMPLETE", "FAIL", "PRUNED"]
    code, printed = run(folder, "rerun", TRY="4")
    assert code == 2
    assert printed == (
        "trytable: TRY=4 is not a try of quality. Use a number from 1 to 3, such as TRY=1.\n"
    )


def test_a_pruned_try_runs_as_far_as_it_did(scripted: Folders) -> None:
    outcome, _, report = again(scripted, 2)
    assert outcome.as_expected
    assert [one["same"] for one in report["epochs"]] == [True]
    assert report["end"] == {
        "recorded": "pruned: after epoch 1",
        "again": "stopped at the same point",
    }


def test_steps_that_were_logged_before_the_stop_came_are_waited_for(scripted: Folders) -> None:
    one = read_study(scripted.url, "quality").trials[1]
    late = replace(one.steps[-1], step=20, epoch=2, loss=0.5)
    Ledger(scripted.url).write(late)
    outcome, printed, _ = again(scripted, 2)
    assert outcome.as_expected
    assert "The same to the last bit: 1 epoch, 2 logged steps." in printed


def test_a_try_that_failed_fails_again(scripted: Folders) -> None:
    outcome, printed, report = again(scripted, 3)
    assert outcome.as_expected
    assert "nothing to compare" in printed
    assert report["end"]["again"] == "failed: a value of no use"
    assert report["same_to_the_last_bit"] is False


def test_where_it_parted_and_why(scripted: Folders) -> None:
    """The record is changed here: that is how it would look had the training been another."""
    study = read_study(scripted.url, "quality")
    one = study.trials[0]
    ledger = Ledger(scripted.url)
    row = _first_epoch(ledger, str(study.uid), str(one.uid))
    ledger.write(replace(row, dev_loss=0.25))
    outcome, printed, report = again(scripted, 1)
    assert not outcome.as_expected
    assert "The first difference is at epoch 1: dev_loss 0.25 then, 1.0 now." in printed
    assert report["first_difference"]["place"] == "epoch 1"
    assert [one["same"] for one in report["epochs"]] == [False, True]
    ledger.write(replace(one.attempts[0], code_hash="f" * 64))
    outcome, printed, report = again(scripted, 1)
    assert outcome.as_expected
    assert report["obstacles"] == ["trainer's sha256: ffffffffffff then, unknown now"]
    ledger.write(row, one.attempts[0])


def _first_epoch(ledger: Ledger, study_uid: str, uid: str) -> EpochRow:
    return next(row for row in ledger.read(study_uid).epochs if row.trial_uid == uid)


def test_the_recorded_threads_and_each_rerun_a_folder(scripted: Folders) -> None:
    one = read_study(scripted.url, "quality").trials[0]
    before = scripted.reruns(0)
    row: AttemptRow = replace(one.attempts[0], threads=3)
    Ledger(scripted.url).write(row)
    _, printed, _ = again(scripted, 1)
    Ledger(scripted.url).write(one.attempts[0])
    assert "CPU threads: 3" in printed
    newest, *rest = scripted.reruns(0)
    assert rest == before
    assert newest.name == f"0000-{len(before) + 1}"
    assert json.loads((newest / "job.json").read_text())["threads"] == 3


@pytest.mark.parametrize(
    ("hindrance", "times"), [({"epoch_seconds": 60.0}, 1), ({"crash": "hang"}, 2)]
)
def test_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, hindrance: dict[str, Any], times: int
) -> None:
    write_sweep(tmp_path, "trainer: scripted\nbaseline: {epochs: 9}\nparameters: {value: [0.5]}\n")
    assert run(tmp_path, SLOTS="1")[0] == 0
    folders = Folders(tmp_path / "runs", "quality")
    _hinder(folders, hindrance)
    process = start(tmp_path, "rerun", TRY="1")
    wait_for(process, lambda: any(folders.home.glob("reruns/*/events.jsonl")))
    processes = family(process)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # two signals at once would be one
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    wait_all_gone(processes)
    assert folders.reruns(0) == []


def _hinder(folders: Folders, hindrance: dict[str, Any]) -> None:
    ledger = Ledger(folders.url)
    study = read_study(folders.url, "quality")
    (row,) = ledger.read(str(study.uid)).trials
    ledger.write(replace(row, requested={**row.requested, **hindrance}))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("running", "Try 1 is running. Use a try that has ended"),
        ("completed", "settings \\(schedule, dropout\\)"),
    ],
)
def test_what_cannot_be_trained_again(tmp_path: Path, status: Any, message: str) -> None:
    maker = Maker(tmp_path / "studies.db", sweep={"trainer": "scripted"})
    maker.add(Planned({"dropout": 0.1}, (0.5,), status=status))
    with pytest.raises(UserError, match=message):
        rerun_trial(Folders(tmp_path, "dropout"), 1, Console(file=io.StringIO()))


def test_a_trial_of_somebody_elses(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "studies.db")
    maker.add_foreign({"dropout": 0.1}, (0.5,))
    with pytest.raises(UserError, match="never trained here"):
        rerun_trial(Folders(tmp_path, "dropout"), 1, Console(file=io.StringIO()))
