"""`make lr-range`, in processes of its own, on a small model and text."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.lr_range import read_freezes
from sweeps.spec import read_sweep
from tests.orchestrator.running import family, run, start, wait_all_gone, wait_for, write_sweep
from tests.trainers.small import lines, save_model
from trainers.protocol import TRAINERS

SWEEP = """
# what was tried by hand
baseline: {lr: 1e-3, batch_size: 4, epochs: 1, precision: fp32}
parameters:
  dropout: [0.0, 0.1]  # kept
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "small bert")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sweep(tmp_path, SWEEP)
    data = tmp_path / "data"
    data.mkdir()
    words = ["good film", "bad plot", "very good", "dull and cold", "fine warm film"]
    rows = [f"{i % 2} ||| {words[i % 5]} {words[(i // 5) % 5]}" for i in range(40)]
    for split in ("train", "dev"):
        (data / f"{split}.txt").write_text(lines(*rows))
    return tmp_path


def test_it_suggests_rates_and_writes_page_picture_and_sweep(folder: Path, model: Path) -> None:
    variables: dict[str, Any] = {
        "DATA": "data", "MODEL": str(model), "FREEZE": "none,2", "STEPS": "30", "SEEDS": "2",
        "LR_FROM": "1e-5", "LR_TO": "1", "APPLY": "1",
    }  # fmt: skip
    code, printed = run(folder, "lr-range", **variables)
    assert code == 0, printed
    assert "steepest" in printed
    home = folder / "runs" / "quality" / "lr_range"
    found = json.loads((home / "lr_range.json").read_text())
    assert [one["freeze"] for one in found] == ["none", "2"]
    assert [[curve["seed"] for curve in one["curves"]] for one in found] == [[42, 43], [42, 43]]
    assert (home / "lr_range.png").stat().st_size > 5000
    written = folder / "sweeps" / "quality-lr.yaml"
    assert "# what was tried by hand" in written.read_text()
    sweep = read_sweep(written, TRAINERS)
    assert 1e-3 in sweep.parameters["lr"].points()
    assert "dropout" in sweep.parameters
    run(folder, "lr-range", **variables)
    assert (folder / "sweeps" / "quality-lr2.yaml").exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LR_FROM": "1", "LR_TO": "0.1"}, "the rate must rise"),
        ({"LR_FROM": "x"}, "LR_FROM='x' is not a number"),
        ({"STEPS": "5", "SEEDS": "0"}, "STEPS=5 shows no slope"),
        ({"FREEZE": "none,hlaf"}, "'hlaf' is no freeze strategy"),
        ({"NAME": "qualiti"}, "Did you mean quality?"),
        ({"FREEZE": "99"}, "freeze 99: the model has 3 layers"),
    ],
)
def test_what_cannot_be_done_is_one_paragraph(
    folder: Path, model: Path, variables: dict[str, Any], said: str
) -> None:
    code, printed = run(folder, "lr-range", **{"DATA": "data", "MODEL": str(model), **variables})
    assert (code, said in printed) == (2, True), printed
    assert "Traceback" not in printed


def test_ctrl_c_leaves_no_process_and_no_file(folder: Path, model: Path) -> None:
    process = start(folder, "lr-range", DATA="data", MODEL=str(model), STEPS="100000", LR_TO="1e-6")
    wait_for(process, lambda: len(psutil.Process(process.pid).children(recursive=True)) > 0)
    members = family(process)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Traceback" not in printed
    wait_all_gone(members)
    assert not (folder / "runs" / "quality" / "lr_range").exists()


def test_freeze_strategies_are_words_numbers_and_patterns() -> None:
    assert read_freezes("none, half,3,embeddings.*") == ("none", "half", 3, "embeddings.*")
    assert read_freezes("") == ()
