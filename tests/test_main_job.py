"""The main job with the real encoder on real text: fine-tunes, survives, stores and compares."""

import json
import sqlite3
from pathlib import Path

import optuna
import optuna_dashboard
import pandas as pd
import psutil
import pytest
from optuna.trial import TrialState

from tests.orchestrator.running import (
    FRESH,
    HANG_SECONDS,
    family,
    run,
    said,
    start,
    trials,
    url,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from tests.trainers.small import save_model
from trytable.orchestrator.paths import Folders
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.trainers.data import docstrings

SWEEP = """
description: a small real sweep
baseline: {lr: 2e-4, dropout: 0.1, batch_size: 16, epochs: 2, precision: fp32}
parameters:
  dropout: [0.0, 0.1, 0.5]
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few hundred of the embedded sentences."""
    folder = tmp_path_factory.mktemp('it\'s my "data"')
    classes, splits = docstrings.read()
    for split, size in (("train", 240), ("dev", 120), ("test", 60)):
        texts, labels = splits[split]
        rows = list(zip(texts, (classes[label] for label in labels), strict=True))[:size]
        frame = pd.DataFrame(rows, columns=["a sentence", "package"])
        frame.to_csv(folder / f"{split}.csv", index=False)
    return folder


def test_a_real_sweep_survives_kills_and_compares(tmp_path: Path, text: Path) -> None:
    write_sweep(tmp_path, SWEEP, "dropout")
    columns = "data.text='a sentence' data.label=package"
    given = {"NAME": "dropout", "DATA": str(text), "SET": columns}
    first = start(tmp_path, command=(*FRESH, "sweep"), **given)
    wait_for(first, lambda: said(tmp_path, "step", "dropout") >= 2)
    workers = [child for one in family(first) for child in one.children()]
    workers[0].kill()
    wait_for(first, lambda: said(tmp_path, "started", "dropout") >= 3)
    processes = family(first)
    first.kill()
    first.communicate()
    wait_all_gone(processes)

    code, printed = run(tmp_path, "sweep", HANG_SECONDS, (*FRESH, "sweep"), SLOTS="2", **given)
    assert code == 0, printed
    assert f"dropout of minilm on {text} (240 train, 120 dev, 60 test), 2 slots" in printed
    found = trials(tmp_path, "dropout")
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 3
    assert sorted(trial.params["dropout"] for trial in found) == [0.0, 0.1, 0.5]
    for trial in found:
        assert sorted(trial.intermediate_values) == [1, 2]
        assert trial.value == max(trial.intermediate_values.values())
        assert trial.value > 0.4  # chance is 0.2
    _check_ledger(tmp_path, text)
    _check_files(tmp_path)
    assert not _left_behind(tmp_path)


def test_other_data_get_a_study_of_their_own(tmp_path: Path) -> None:
    """The same sweep on other data neither mixes with the first study nor stands in its way."""
    write_sweep(
        tmp_path, "baseline: {epochs: 1, batch_size: 4}\nparameters: {dropout: [0.1]}\n", "s"
    )
    model = save_model(tmp_path / "model")
    for data in ("one", "two"):
        (tmp_path / data).mkdir()
        for split in ("train", "dev"):
            rows = [f"{i % 2} ||| {data} good {i}\n" for i in range(12)]
            (tmp_path / data / f"{split}.txt").write_text("".join(rows))
        code, printed = run(tmp_path, NAME="s", DATA=data, MODEL=str(model))
        assert code == 0, printed
    assert "s@2: dropout of" in printed
    assert [len(trials(tmp_path, name)) for name in ("s", "s@2")] == [1, 1]
    code, printed = run(tmp_path, NAME="s", DATA="two", MODEL=str(model))
    assert code == 0, printed
    assert len(trials(tmp_path, "s@2")) == 1
    code, printed = run(tmp_path, NAME="s@2", DATA="one", MODEL=str(model))
    assert code == 2
    assert "the content of the data changed: two then, one now" in printed


def _check_ledger(folder: Path, text: Path) -> None:
    study = read_study(url(folder), "dropout")
    ledger = Ledger(url(folder)).read(str(study.uid))
    gold = {row.split: row.labels for row in ledger.gold}
    assert len(gold["dev"]) == 120
    for one in study.trials:
        predicted = next(
            row.labels
            for row in ledger.predictions
            if (row.trial_uid, row.split) == (one.uid, "dev")
        )
        agreed = sum(p == g for p, g in zip(predicted, gold["dev"], strict=True)) / 120
        assert agreed == pytest.approx(one.best_dev_accuracy)
        assert one.test_accuracy is not None
        assert one.effective["dropout.head"] == one.params["dropout"]
        assert one.effective["batch_size"] == 16
        assert one.trainable_share == 1.0
    assert study.facts["sizes"] == {"train": 240, "dev": 120, "test": 60}
    attempts = [attempt.outcome for one in study.trials for attempt in one.attempts]
    assert attempts.count("completed") == 3
    assert len(attempts) >= 5  # one was killed, and two died with their orchestrator
    assert study.sweep["data"]["name"] == str(text)


def _check_files(folder: Path) -> None:
    home = Folders(folder / "runs", "dropout").home
    table = json.loads((home / "tables" / "try_table.json").read_text())
    assert [row["state"] for row in table["rows"]] == ["completed"] * 3
    assert len(list(home.glob("trials/*/checkpoints/best/model.safetensors"))) == 3
    assert not list(home.glob("trials/*/checkpoints/last"))
    with sqlite3.connect(folder / "runs" / "studies.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    study = optuna.load_study(study_name="dropout", storage=url(folder, for_optuna=True))
    assert "Try table of dropout" in optuna_dashboard.get_note(study)


def _left_behind(folder: Path) -> list[str]:
    here = str(folder.resolve())
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] == here:
            found.append(str(process.info["cmdline"]))
    return found
