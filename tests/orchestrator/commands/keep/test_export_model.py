"""The winner of a real sweep, handed over: the folder predicts what the study says."""

import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.orchestrator.running import family, run, start, wait_all_gone, wait_for
from tests.results.studies import Maker, Planned
from trytable.orchestrator.commands.keep.export_model import (
    export_model,
    output_folder,
    training_commands,
)
from trytable.orchestrator.commands.trial_record import read_record
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.sweeps.config import loader
from trytable.sweeps.config.overrides import parse_overrides
from trytable.trainers.protocol.messages import TRAINERS

LOAD = """
import csv, json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSequenceClassification.from_pretrained(".", trust_remote_code=True)
texts = [line.split(" ||| ")[1].strip() for line in open(sys.argv[1])]
batch = tokenizer(texts, truncation=True, max_length=128, padding=True, return_tensors="pt")
labels = model(**batch).logits.argmax(1).tolist()
print(json.dumps([model.config.id2label[label] for label in labels]))
"""


def handed_over(folders: Folders, out: Path, number: int | None = None) -> str:
    file = io.StringIO()
    export_model(folders, number, out, Console(file=file, width=200))
    return file.getvalue()


def refusal(folders: Folders, out: Path, number: int | None = None) -> str:
    with pytest.raises(UserError) as error:
        handed_over(folders, out, number)
    assert not out.exists()
    return str(error.value)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_the_winner_in_a_folder_that_transformers_loads(trained: Folders, tmp_path: Path) -> None:
    out = tmp_path / "new" / "it's $(my) model"
    printed = handed_over(trained, out)
    study = read_study(trained.url, "small")
    winner = study.ranked[0]
    assert f"small, {winner.label}: dev accuracy" in printed
    assert "dev: 40 predictions, all as in training" in printed
    for split in ("dev", "test"):
        found = rows(out / f"{split}.csv")
        assert tuple(int(row["predicted"]) for row in found) == winner.predictions[split]
        assert tuple(int(row["gold"]) for row in found) == study.gold[split]
    made = json.loads((out / "made_by.json").read_text())
    assert made["best_value"] == winner.best_value
    assert (made["seed"], made["data"]["sha256"]) == (42, winner.attempts[-1].data_hash)
    assert made["effective"] == dict(winner.effective)
    assert not [path for path in out.parent.iterdir() if path != out]
    classes = loaded_elsewhere(out, trained.runs.parent / "data" / "test.txt", tmp_path)
    assert classes == [row["predicted_class"] for row in rows(out / "test.csv")]


def loaded_elsewhere(out: Path, texts: Path, home: Path) -> list[str]:
    """What a program that knows nothing of Trytable makes of the folder."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(texts)],
        cwd=out,
        env={**environment, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_weights_that_have_gone_come_from_an_exact_repetition(
    trained: Folders, tmp_path: Path
) -> None:
    without_reruns = shutil.ignore_patterns("reruns")
    shutil.copytree(trained.runs, tmp_path / "runs", ignore=without_reruns)
    folders = Folders(tmp_path / "runs", trained.study)
    folder = folders.new_rerun(1)
    folders.checkpoints(1).rename(folder / "checkpoints")
    told = refusal(folders, tmp_path / "out", 2)
    assert "The weights of Try 2 are gone" in told
    assert "make rerun NAME=small TRY=2" in told
    (folder / "rerun.json").write_text(json.dumps({"same_to_the_last_bit": False}))
    assert "are gone" in refusal(folders, tmp_path / "out", 2)
    (folder / "rerun.json").write_text(json.dumps({"same_to_the_last_bit": True}))
    with other_predictions(folders, 1):
        printed = handed_over(folders, tmp_path / "out", 2)
    assert "small, Try 2" in printed
    assert "dev: 40 predictions, only 39 as in training" in printed


@contextmanager
def other_predictions(folders: Folders, number: int) -> Iterator[None]:
    """The record as another machine would have left it: one dev text is predicted otherwise."""
    study, ledger = read_study(folders.url, folders.study), Ledger(folders.url)
    made = ledger.read(str(study.uid)).predictions
    dev = next(
        row for row in made if (row.trial_uid, row.split) == (study.trials[number].uid, "dev")
    )
    ledger.write(replace(dev, labels=[1 - dev.labels[0], *dev.labels[1:]]))
    yield
    ledger.write(dev)


def test_the_commands_ask_for_the_very_same(trained: Folders) -> None:
    record = read_record(trained, 2)
    ours = training_commands(record.study, record)
    assert shlex.split(ours["again"]) == ["make", "rerun", "NAME=small", "TRY=2"]
    words = shlex.split(ours["anew"])
    given = dict(word.split("=", 1) for word in words[2:])
    assert (given["NAME"], given["TRIALS"], given["AS_NEW"]) == ("small", "1", "1")
    overrides = parse_overrides(given["SET"]) | {"trials": 1, "model": given["MODEL"]}
    path = trained.runs.parent / "sweeps" / "small.yaml"
    sweep = loader.read_sweep(path, KINDS, overrides)
    asked = TRAINERS["finetune"].model_validate(sweep.baseline)
    assert asked == record.settings
    assert sweep.seed == record.study.sweep["seed"]


def test_awkward_settings_survive_the_command(trained: Folders) -> None:
    record = read_record(trained, 1)
    sweep = {**record.study.sweep, "data": {"name": "my data", "text": "a 'b' c", "label": "1"}}
    settings = record.settings.model_copy(update={"class_weights": [1.0, 2.5], "freeze": 1})
    study = replace(record.study, sweep=sweep)
    words = shlex.split(training_commands(study, replace(record, settings=settings))["anew"])
    assert "DATA=my data" in words
    found = parse_overrides(next(word for word in words if word.startswith("SET="))[4:])
    assert found["class_weights"] == [1.0, 2.5]
    assert found["freeze"] == 1
    assert (found["data.text"], found["data.label"]) == ("a 'b' c", "1")


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for name in ("file", "link", "full"):
        with pytest.raises(UserError, match="Use a new folder or an empty one"):
            output_folder(tmp_path / name)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/one"):
        assert output_folder(tmp_path / name) == tmp_path / name
    with pytest.raises(UserError, match="OUT=my/folder"):
        output_folder(None)
    with pytest.raises(UserError, match="is not a valid folder name"):
        output_folder(Path("~nobody-of-that-name/x"))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (None, "No try of dropout has completed"),
        (1, "Try 1 is pruned. Use a try that has completed"),
        (0, "TRY=0 is not a try of dropout"),
        (99, "TRY=99 is not a try of dropout"),
    ],
)
def test_no_try_to_hand_over(tmp_path: Path, number: int | None, message: str) -> None:
    maker = Maker(tmp_path / "studies.db", sweep={"trainer": "scripted"})
    maker.add(Planned({"value": 0.1}, (0.5,), status="pruned"))
    trial = maker.ledger.read(maker.uid).trials[0]
    maker.ledger.write(replace(trial, requested={"value": 0.1}))
    folders = Folders(tmp_path, "dropout")
    assert message in refusal(folders, tmp_path / "out", number)


def test_a_try_of_a_trainer_without_a_model(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "studies.db", sweep={"trainer": "scripted"})
    maker.add(Planned({"value": 0.1}, (0.5,)))
    trial = maker.ledger.read(maker.uid).trials[0]
    maker.ledger.write(replace(trial, requested={"value": 0.1}))
    assert "trained no model" in refusal(Folders(tmp_path, "dropout"), tmp_path / "out")


def test_from_the_command_line(trained: Folders) -> None:
    folder = trained.runs.parent
    code, printed = run(folder, "best", NAME="small", OUT="runs")
    assert (code, printed) == (
        2,
        "trytable: OUT=runs is not empty. Use a new folder or an empty one.\n",
    )
    code, printed = run(folder, "best", NAME="smal", OUT="out")
    assert code == 2
    assert "Existing studies: 'small'" in printed


def test_ctrl_c_leaves_nothing_behind(trained: Folders, tmp_path: Path) -> None:
    process = start(trained.runs.parent, "best", NAME="small", OUT=str(tmp_path / "out"))
    wait_for(process, lambda: any(tmp_path.iterdir()))
    processes = family(process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    wait_all_gone(processes)
    assert not list(tmp_path.iterdir())
